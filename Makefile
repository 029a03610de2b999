# `make demo` and `make test` each work alone in a fresh clone: they make the environment that they need.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
INSTALLED = $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install learn2learn demo app docs screenshots reliability test test-all lint clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## virtual environment with the package and its tools, in .venv

$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

learn2learn: $(VENV)/.learn2learn  ## add learn2learn (needs a C compiler): MAML, ANIL, Meta-SGD, its task sets

# without its declared dependencies, most of which it never imports; the C code is generated anew for this Python
$(VENV)/.learn2learn: $(INSTALLED)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[learn2learn]'
	CYTHON_FORCE_REGEN=1 $(RUN) pip install --quiet --disable-pip-version-check --no-deps --use-pep517 \
		--config-settings=--build-option=build_ext learn2learn==0.2.0
	$(RUN) fewshot_film.extras
	touch $@

demo: $(INSTALLED)  ## train on generated pictures for two minutes, evaluate, and draw an episode
	$(RUN) benchmarks.demo

app: $(INSTALLED)  ## everything in the browser: teach, ask, compare
	$(RUN) fewshot_film app --open

docs: $(INSTALLED)  ## the documentation into site/, strictly: a dead link ends it
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet

screenshots: $(INSTALLED)  ## take the pictures of the app for the docs anew (needs chromium)
	FEWSHOT_FILM_SCREENSHOTS=docs/images $(RUN) pytest tests/app/test_browser.py

reliability: $(INSTALLED)  ## try to break every command, and count: kills, full disks, damaged files, made-up inputs
	OMP_NUM_THREADS=1 $(RUN) benchmarks.reliability

lint: $(INSTALLED)  ## style, types, import direction
	$(RUN) ruff check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

test: lint  ## lint and the fast tests, by two workers
	$(RUN) pytest -m 'not slow' -n 2 --dist worksteal --durations=20

test-all: lint  ## lint and all tests, with new made-up examples each time
	$(RUN) pytest --hypothesis-profile explore -n 2 --dist worksteal --durations=20

clean:  ## remove the environment and what the tools leave
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
