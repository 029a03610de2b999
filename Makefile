# `make demo` and `make test` each work alone in a fresh clone: they make the environment that they need.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python -m
INSTALLED = $(VENV)/.installed
LEARN2LEARN ?= auto
COMPILER = $(firstword $(CC))
PIP = $(RUN) pip install --quiet --disable-pip-version-check
# without its declared dependencies, most of which it never imports; the C code is generated anew for this Python
ADD_LEARN2LEARN = $(PIP) --constraint constraints.txt --editable '.[learn2learn]' \
	&& CYTHON_FORCE_REGEN=1 $(PIP) --no-deps --use-pep517 \
		--config-settings=--build-option=build_ext learn2learn==0.2.0 \
	&& $(RUN) fewshot_film.extras

.DEFAULT_GOAL := help
.PHONY: help install learn2learn demo app docs screenshots reliability test test-all lint clean

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create a virtual environment in .venv (LEARN2LEARN=no omits learn2learn)

# where `make learn2learn` would fail, this continues without it and says so in one line
$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@if [ '$(LEARN2LEARN)' = no ]; then \
		echo 'learn2learn is omitted, as requested (LEARN2LEARN=no); MAML, ANIL and Meta-SGD need it'; \
	elif ! command -v $(COMPILER) >/dev/null; then \
		echo 'no C compiler ($(COMPILER)): learn2learn is left out; MAML, ANIL and Meta-SGD need it, nothing else'; \
	elif ! { $(ADD_LEARN2LEARN); } >$(VENV)/learn2learn.log 2>&1; then \
		echo 'learn2learn could not be built and is left out ($(VENV)/learn2learn.log says why); only MAML, ANIL and' \
			'Meta-SGD need it'; \
	else \
		touch $(VENV)/.learn2learn; \
	fi
	touch $@

learn2learn: $(INSTALLED) $(VENV)/.learn2learn  ## install learn2learn, which needs a C compiler

$(VENV)/.learn2learn: | $(INSTALLED)
	$(ADD_LEARN2LEARN)
	touch $@

demo: $(INSTALLED)  ## classify images, train a learner, ask about scenes: a few minutes, no data to download
	$(RUN) benchmarks.demo

app: $(INSTALLED)  ## open the browser app: teach, ask, compare
	$(RUN) fewshot_film app --open

docs: $(INSTALLED)  ## build the documentation into site/; a dead link or reference is an error
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build

screenshots: $(INSTALLED)  ## retake the screenshots of the app: those of the docs, and of every state in runs/screenshots (needs chromium)
	FEWSHOT_FILM_SCREENSHOTS=docs/images FEWSHOT_FILM_STATES=runs/screenshots $(RUN) pytest tests/app/test_browser.py \
		tests/app/test_ask_tab.py tests/app/test_compare_tab.py tests/app/test_looks.py

reliability: $(INSTALLED)  ## try to break every command, and count the outcomes: kills, full disks, damaged files
	OMP_NUM_THREADS=1 $(RUN) benchmarks.reliability

lint: $(INSTALLED)  ## check style, types and import direction
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

test: lint  ## run lint and the fast tests, with two workers
	$(RUN) pytest -m 'not slow' -n 2 --dist worksteal --durations=20

test-all: lint  ## run lint and all tests, with new random examples each time
	$(RUN) pytest --hypothesis-profile explore -n 2 --dist worksteal --durations=20

clean:  ## remove the environment and all build and cache files
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
