# The two commands: `make lab` to learn, `make test` to check everything.
# Needs Python 3.10-3.13 with pip. `make lab PYTHON=python3.12` picks another one.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
LAB_ARGS ?=
CHAPTER ?= 00
WORKERS ?= 2

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
SOURCES := circuits_course tests exercises solutions

# Tests use the language model that everybody can load, one thread for each notebook or worker,
# and a progress file of their own.
TEST_ENV := CIRCUITS_COURSE_MODEL=smollm2-135m OMP_NUM_THREADS=1 TQDM_DISABLE=1
SCRATCH = scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && export CIRCUITS_COURSE_HOME="$$scratch"
PYTEST = $(PY) -m pytest -q -n $(WORKERS) --dist loadscope

.PHONY: help lab book book-tests test setup format lint types rooms model unit claims claims-table notebooks slides test-colab test-hub test-bundle clean

help:
	@echo "make lab     set up what is needed, then JupyterLab on chapter 00 (CHAPTER=04: on that one)"
	@echo "make book    the course as a site in build/book"
	@echo "make test    set up what is needed, then every test and every notebook"
	@echo "make unit    every test but the next two; make notebooks  every notebook, three ways"
	@echo "make claims  test the headline claims again (claims-table: and write the table)"
	@echo "make test-colab  every student notebook from the wheel, with Colab's versions"
	@echo "make slides  six drawings for the projector"
	@echo "make test-hub  five learners on a real JupyterHub; make test-bundle  a stick by the real pip"
	@echo "make format  ruff's format and safe fixes"
	@echo "make clean   remove $(VENV)"

# JupyterLab refuses to run as root unless told. Where the user is root (a container, a cloud machine)
# it may, bound to this machine and with its token as ever.
AS_ROOT := $(filter 0,$(shell id -u 2>/dev/null))
ROOT_ARGS := $(if $(AS_ROOT),--allow-root --ip=127.0.0.1)
ROOT_NOTE := You are root: JupyterLab answers on this machine only and asks for its token.

lab: $(VENV)/.lab
	@$(if $(AS_ROOT),echo "$(ROOT_NOTE)",true)
	$(BIN)/jupyter lab $(ROOT_ARGS) $(LAB_ARGS) notebooks/$(CHAPTER)_*.ipynb

test: lint types rooms model unit claims notebooks
	@echo "Every test, every claim and every notebook passed."

setup: $(VENV)/.test

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v <= (3, 13) and "Python 3.10 to 3.13 is needed, this is %d.%d: say make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.lab: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[lab]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[test]'
	@touch $(VENV)/.lab $@

format: $(VENV)/.test
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

lint: $(VENV)/.test
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)

types: $(VENV)/.test
	$(PY) -m mypy

# Who may know whom among the rooms of the package: docs/architecture.md.
rooms: $(VENV)/.test
	$(BIN)/lint-imports

# Fetched and converted once, before several workers ask for it.
model: $(VENV)/.test
	$(TEST_ENV) CIRCUITS_COURSE_TIMEOUT=60 $(PY) -c 'from circuits_course import load_model; load_model("auto")'

# In random order (pytest-randomly): a test that leaves something behind is found out.
# Browsers and class reports wait for clocks, so one worker more than cores keeps both busy.
unit: WORKERS = 3
unit: $(VENV)/.test
	$(TEST_ENV) $(PYTEST) --no-loadscope-reorder -m "not rebuild" --ignore=tests/claims tests

# The chapters as a site that anyone can open; complains of every link that leads nowhere.
book: $(VENV)/.test
	$(PY) -m circuits_course.cli book build/book

# The same in a scratch folder, twice, and used in a real browser where there is one; `unit` does so too.
book-tests: $(VENV)/.test
	$(TEST_ENV) $(PYTEST) tests/book

# The headline claims on data that no notebook uses; fails where one no longer holds.
claims: $(VENV)/.test
	$(TEST_ENV) $(PYTEST) --no-loadscope-reorder tests/claims

# The same, and what was found becomes the table that the chapters show.
claims-table: $(VENV)/.test
	found=$$(mktemp -d) && trap 'rm -rf "$$found"' EXIT && $(TEST_ENV) CIRCUITS_COURSE_CLAIMS="$$found" $(PYTEST) tests/claims && $(PY) -m circuits_course.authoring.claims_table "$$found"

# Every notebook: as shipped, solved again (it says what it says in the repository), and with models
# of other shapes. A worker takes one when it is free, the longest first.
notebooks: $(VENV)/.test
	$(TEST_ENV) $(PY) -m pytest -q -p no:randomly -n $(WORKERS) --dist load --maxschedchunk 1 -m rebuild tests/notebooks

# As on Colab: its versions, the course from its wheel alone, an empty folder. Not part of `make test`.
COLAB_VENV := .venv-colab
test-colab:
	rm -rf $(COLAB_VENV) && $(PYTHON) -m venv $(COLAB_VENV)
	$(COLAB_VENV)/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints-colab.txt build ipykernel ipython ipywidgets nbclient nbformat numpy plotly torch transformers
	$(COLAB_VENV)/bin/python -m pip freeze > $(COLAB_VENV)/before.txt
	$(COLAB_VENV)/bin/python -m build -q --wheel --outdir $(COLAB_VENV)/dist .
	for turn in 1 2; do $(COLAB_VENV)/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) $(COLAB_VENV)/dist/*.whl || exit 1; done
	$(COLAB_VENV)/bin/python -m pip freeze | grep -xF -e "$$(grep -iE '^(torch|numpy|ipython|ipywidgets|plotly|transformers)==' $(COLAB_VENV)/before.txt)" | sort
	cp tests/notebooks/run_installed.py $(COLAB_VENV)/ && cd $(COLAB_VENV) && $(SCRATCH) && $(TEST_ENV) bin/python run_installed.py

# Six drawings for the projector, on one page that needs nothing but itself.
slides: $(VENV)/.test
	$(PY) -m circuits_course.authoring.slides slides.html
	@echo "Open slides.html in a browser; space and arrows lead on."

# A real JupyterHub with five learners at once, who share one model. Needs node; started by root,
# every learner is a user of their own. Not part of `make test`.
HUB_VENV := .venv-hub
HUB_CHAPTER ?= 03_previous_token_heads
test-hub:
	$(PYTHON) -m venv $(HUB_VENV)
	$(HUB_VENV)/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[lab]' jupyterhub
	npm install --silent --prefix $(HUB_VENV) configurable-http-proxy
	HUB_PROXY=$(abspath $(HUB_VENV))/node_modules/.bin/configurable-http-proxy $(HUB_VENV)/bin/python tests/hub/run_hub.py $(HUB_CHAPTER)

# A stick for this machine, Windows and Mac by the real pip: half a gigabyte each. Not part of `make test`.
test-bundle: $(VENV)/.test
	$(PY) -m pip install -q --disable-pip-version-check uv
	$(PY) tests/classroom/real_bundle.py

clean:
	rm -rf $(VENV) $(COLAB_VENV) $(HUB_VENV)
