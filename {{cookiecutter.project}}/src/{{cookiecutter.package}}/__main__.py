"""``python -m`` entry point, the same as the console script."""

from .cli import run_process

if __name__ == "__main__":
    run_process()
