"""Print the two commands that come next."""

print(
    """
Your project is ready. Next:

    cd {{ cookiecutter.project }}
    uv run {{ cookiecutter.project }} fit --config configs/digits_cnn.yaml
"""
)
