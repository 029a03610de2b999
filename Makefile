# `make demo` and `make test` each work alone in a fresh clone: they make the environment that they need.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
INSTALLED = $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## virtual environment with the package and its tools, in .venv

$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)  ## train on generated pictures for two minutes, evaluate, and draw an episode
	$(RUN) benchmarks.demo

lint: $(INSTALLED)  ## style, types, import direction
	$(RUN) ruff check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

test: lint  ## lint and the fast tests
	$(RUN) pytest -m 'not slow'

test-all: lint  ## lint and all tests
	$(RUN) pytest

clean:  ## remove the environment and what the tools leave
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
