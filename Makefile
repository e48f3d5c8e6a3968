# `make` alone says what there is. Everything runs in .venv, which is made at the first use.
# Another interpreter:  make test PYTHON=/usr/bin/python3.13
# More or fewer workers: make test WORKERS=4
# Your own payments:     make demo DEMO="--data payments.parquet --column TX_AMOUNT=amount"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Tests start many Python processes: without .pyc files, each compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?=
WORKERS ?= 2
DEMO ?=
TESTS ?=
VERSION ?=
LABFLAGS ?=

# Of a file's tests one worker runs all; conftest.py puts the slow files first.
DISTRIBUTION := --dist loadfile --no-loadscope-reorder

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
PACKAGE := $(VENV)/installed-package
READY := $(VENV)/installed
LAB := $(VENV)/installed-lab
COVERAGE := $(VENV)/installed-coverage
RELEASE := $(VENV)/installed-release
SITE := $(VENV)/installed-docs
# JupyterLab asks for this word where root runs it, as in a container.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help
help:  ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(PACKAGE)  ## Load transactions into the embedded PostgreSQL, show their fraud rates, write a report
	@$(VENV)/bin/synfin demo --out out/demo $(DEMO)

.PHONY: install
install: $(READY)  ## Make .venv with the package and what tests and checks need

.PHONY: test
test: $(READY)  ## Run the tests (one file: make test TESTS=tests/database/test_config.py)
	@$(RUN) -m pytest -n $(WORKERS) $(DISTRIBUTION) $(TESTS)

.PHONY: docs
docs: $(SITE)  ## Build the documentation site into out/docs/html
	@$(RUN) docs/build.py

.PHONY: coverage
coverage: $(COVERAGE)  ## Run the tests and measure which lines they run: out/coverage/index.html
	@$(RUN) -m pytest -n $(WORKERS) $(DISTRIBUTION) --cov --cov-report=term --cov-report=html \
		$(if $(TESTS),--cov-fail-under=0) $(TESTS)

.PHONY: lowest
lowest: $(PACKAGE)  ## Run some tests on the oldest versions that pyproject.toml allows
	@bash .ci/lowest

.PHONY: lint
lint: $(READY)  ## Check style, format and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

.PHONY: format
format: $(READY)  ## Format the code, and mend what ruff can mend
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

.PHONY: lab
lab: $(LAB)  ## Open the notebooks in JupyterLab
	@cd notebooks && ../$(RUN) -m jupyterlab $(AS_ROOT) $(LABFLAGS)

.PHONY: notebooks
notebooks: $(READY)  ## Make the notebooks anew from their scripts
	@$(RUN) notebooks/make.py

.PHONY: kernel
kernel: $(LAB)  ## Offer .venv as "Python (synfin)" in any JupyterLab of yours
	@$(RUN) -m ipykernel install --user --name synfin --display-name "Python (synfin)"

.PHONY: picture
picture: $(PACKAGE)  ## Draw the README's picture again
	@$(RUN) docs/picture.py

.PHONY: wheel
wheel: $(PACKAGE)  ## Build the wheel into dist/
	@$(PIP) wheel --no-deps --wheel-dir dist .

.PHONY: changelog
changelog: $(RELEASE)  ## Show the next section of CHANGELOG.md; with VERSION=1.2.0, write it
	@$(RUN) -m towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version Unreleased)

.PHONY: release
release: $(RELEASE)  ## Check and build the version of pyproject.toml into dist/, and tag it
	@PYTHON=$(RUN) bash .ci/release

.PHONY: clean
clean:  ## Remove .venv and what tools left behind; databases stay (README: "Where the data live")
	@rm -rf $(VENV) build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf docs/reference/api docs/lessons/*.ipynb
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- Set-up ---------------------------------------------------------------------------------------

# The demo, and JupyterLab, do without what tests need, which takes minutes; the demo's second model
# needs scikit-learn.
$(PACKAGE): pyproject.toml
	@sh .ci/venv "$(PYTHON)"
	@echo "Installing the packages that pyproject.toml names into .venv"
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --editable '.[models]'
	@touch $@

$(READY): $(PACKAGE)
	@echo "Installing what tests and checks need into .venv"
	@$(PIP) install --group test --group lint
	@touch $@

# Pages run code as the tests do.
$(SITE): $(READY)
	@echo "Installing what the documentation site needs into .venv"
	@$(PIP) install --group docs
	@touch $@

$(COVERAGE): $(READY)
	@echo "Installing coverage into .venv"
	@$(PIP) install --group coverage
	@touch $@

$(RELEASE): $(PACKAGE)
	@echo "Installing what a release needs into .venv"
	@$(PIP) install --group release
	@touch $@

$(LAB): $(PACKAGE)
	@echo "Installing JupyterLab into .venv"
	@$(PIP) install --editable '.[notebooks]'
	@touch $@
