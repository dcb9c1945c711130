"""What each verb of the command line does with the five rooms."""
