PYTHON ?= python3
BIN := .venv/bin
# Where Python may not write bytecode, as in many containers, each import of torch would compile 3,000 files anew.
UV := $(BIN)/uv pip install --compile-bytecode --python .venv
LOWEST := $(BIN)/uv pip install --compile-bytecode --python build/lowest
# Cookiecutter keeps answers in the home folder, over those of the user, and leaves files in the temporary one.
BAKE := mkdir -p build/home && HOME="$(CURDIR)/build/home" TMPDIR="$(CURDIR)/build/home" \
	$(BIN)/cookiecutter . --no-input --default-config --output-dir
PROJECT := build/project/image-classifier
DEMO := build/demo/image-classifier

# OpenMP's threads spin while they wait, unless told to sleep: tests run side by side, and would starve each other.
test lowest: export OMP_WAIT_POLICY := PASSIVE

.PHONY: help setup project test lowest demo bench torture lessons docs lint clean

help:  ## List what make can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready  ## Set up .venv: this template's tools and what a generated project needs

# A project's dependencies are installed, then the project itself as a link to build/, so that a
# project generated there anew needs no second installation.
.venv/ready: pyproject.toml {{cookiecutter.project}}/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(UV) --group dev
	rm -rf build/project && $(BAKE) build/project
	$(UV) --requirements $(PROJECT)/pyproject.toml --all-extras --group $(PROJECT)/pyproject.toml:dev
	$(UV) --no-deps --editable $(PROJECT)
	touch $@

project: setup  ## Generate a project with the default answers in build/project
	rm -rf build/project && $(BAKE) build/project

test: project  ## Test the template, then a project generated from it
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder  # files of few, long tests are not last
	cd $(PROJECT) && "$(CURDIR)/$(BIN)/python" -m pytest --numprocesses auto --dist loadfile

lowest: project  ## Test a project with the lowest versions that it declares, in build/lowest
	$(BIN)/uv venv --quiet --allow-existing --python $(PYTHON) build/lowest
	$(LOWEST) --resolution lowest-direct --requirements $(PROJECT)/pyproject.toml --all-extras --group $(PROJECT)/pyproject.toml:dev
	$(LOWEST) --no-deps --editable $(PROJECT)
	cd $(PROJECT) && "$(CURDIR)/build/lowest/bin/python" -m pytest --numprocesses auto --dist loadfile

bench: project  ## Measure speed against peers and limits; needs CLASSIFIER_DATA
	$(BIN)/python benchmarks/run.py

torture: project  ## Kill commands 100 times, and train 200 times in one process; takes over an hour
	$(BIN)/python torture/campaign.py
	$(BIN)/python torture/soak.py

# Kernels read and write in the home folder, too.
lessons: project  ## Run the ten lessons and write their pages for docs/learn; needs CLASSIFIER_DATA
	HOME="$(CURDIR)/build/home" $(BIN)/python scripts/lessons.py $(PROJECT)

demo: setup  ## Generate a project, train three models and show the results
	rm -rf build/demo && $(BAKE) build/demo
	$(BIN)/python scripts/demo.py $(DEMO)

docs: setup  ## Build the site in build/site
	$(BIN)/mkdocs build --strict --site-dir build/site

lint: setup  ## Check style and types of the Python that is here
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/ruff check --no-cache --extend-ignore N999 {{cookiecutter.project}}/src # a cache there would be baked
	$(BIN)/ruff format --no-cache --check {{cookiecutter.project}}/src

clean:  ## Remove all that make has made
	rm -rf build .venv .mypy_cache .pytest_cache .ruff_cache
