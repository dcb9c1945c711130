"""Print the two commands that come next, and what the second one installs."""

print(
    """
Your project is ready. Next:

    cd {{ cookiecutter.project }}
    uv run {{ cookiecutter.project }} fit --config configs/digits_cnn.yaml

On Linux this installs PyTorch with CUDA, 5.9 GB in all. Without a GPU: see README.md.
"""
)
