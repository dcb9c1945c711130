"""What is printed at the end can be typed as it stands."""

from __future__ import annotations

from pathlib import Path

from baking import cookiecutter


def test_two_commands_and_what_they_install(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", "project_title=Leaf Doctor")
    printed = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert printed == [
        "Your project is ready. Next:",
        "cd leaf-doctor",
        "uv run leaf-doctor fit --config configs/digits_cnn.yaml",
        "On Linux this installs PyTorch with CUDA, 5.9 GB in all. Without a GPU: see README.md.",
    ]
    assert result.stderr == ""
    assert (tmp_path / "out/leaf-doctor/configs/digits_cnn.yaml").is_file()
    readme = (tmp_path / "out/leaf-doctor/README.md").read_text(encoding="utf-8")
    assert "### A machine without a GPU" in readme
    assert "uv pip install --torch-backend cpu" in readme
