"""What the HTML pages of all verbs share: style, number formats, pictures and diagrams."""
