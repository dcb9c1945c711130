"""The names that are derived from a title are valid ones."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import pytest
from baking import bake, bake_at_the_prompt

TITLES = [
    ("Image Classifier", "image-classifier", "image_classifier"),
    ("Café Müller", "cafe-muller", "cafe_muller"),
    ("3D Scans", "3d-scans", "project_3d_scans"),
    ("Cats & Dogs: who's who?", "cats-dogs-who-s-who", "cats_dogs_who_s_who"),
    ("  __Leaf.Doctor--2 ", "leaf-doctor-2", "leaf_doctor_2"),
    ("🙂", "image-classifier", "image_classifier"),
]


def package_of(project: Path) -> str:
    (package,) = (project / "src").iterdir()
    return package.name


@pytest.mark.parametrize(("title", "project", "package"), TITLES)
def test_names_follow_the_title(title: str, project: str, package: str, tmp_path: Path) -> None:
    baked = bake_at_the_prompt(tmp_path / "out", project_title=title)
    assert (baked.name, package_of(baked)) == (project, package)


@pytest.mark.parametrize("title", ["猫と犬", "Кошки", "Ελιά", "ßÆ"])
def test_titles_in_other_scripts(title: str, tmp_path: Path) -> None:
    baked = bake(tmp_path / "out", project_title=title)
    assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", baked.name)
    assert package_of(baked).isidentifier()
    assert not keyword.iskeyword(package_of(baked))


def test_package_follows_the_project(tmp_path: Path) -> None:
    baked = bake(tmp_path / "out", project="My.Leaf-Doctor")
    assert (baked.name, package_of(baked)) == ("My.Leaf-Doctor", "my_leaf_doctor")


@pytest.mark.parametrize(
    ("project", "package"), [("console", "classes"), ("com10", "jsons"), ("null-2", "torches"), ("X", "x")]
)
def test_names_that_only_look_refused(project: str, package: str, tmp_path: Path) -> None:
    baked = bake(tmp_path / "out", project=project, package=package)
    assert (baked.name, package_of(baked)) == (project, package)
