# minigrad: every chore is one command, and each installs first what it needs (once).

VENV := .venv
BIN := $(VENV)/bin
NUMPY_VENV := .venv-numpy
JOBS ?= 2
SOURCES := pyproject.toml minigrad/_version.py

PIP := -m pip --disable-pip-version-check install

# Two test processes on two cores: a BLAS with threads of its own would only make them wait for each other.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(JOBS)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-fast test-slow test-numpy-only lint format bench bench-asv docs clean distclean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 26

setup: $(VENV)/.extra-dev  ## make .venv with all that development needs, PyTorch (the reference) included

demo: $(VENV)/.extra-demo  ## train a CNN and a small GPT, here and (if installed) in PyTorch
	$(BIN)/python examples/demo.py

test: lint test-fast test-slow test-numpy-only  ## everything that must hold before a change lands

test-fast: $(VENV)/.extra-dev  ## the tests that take no more than seconds each
	$(PYTEST) -m "not slow"

# pytest exits with 5 when no test carries the mark.
test-slow: $(VENV)/.extra-dev  ## the others
	$(PYTEST) -m slow || [ $$? -eq 5 ]

test-numpy-only: $(NUMPY_VENV)/.installed  ## minigrad computes in an environment that holds NumPy and nothing else
	$(NUMPY_VENV)/bin/python tests/numpy_only.py

lint: $(VENV)/.extra-dev  ## style, format, layers, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright minigrad/core minigrad/backend minigrad/export.py

format: $(VENV)/.extra-dev  ## rewrite the code in the style that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# docs/benchmarks.md tells more; BENCH="--family conv" measures less, BENCH="minigrad torch jax" others.
bench: $(VENV)/.extra-dev  ## minigrad beside PyTorch: a table, and out/bench/report.html
	$(BIN)/python -m minigrad.warmup
	$(BIN)/python -m benchmarks.compare --json out/bench/report.json --html out/bench/report.html \
		--png out/bench/report.png $(BENCH)

bench-asv: $(VENV)/.extra-dev  ## measure this commit for asv's pages; ASV="--quick" or "-b Ops"
	$(BIN)/asv machine --yes
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash $$(git rev-parse HEAD) \
		--show-stderr $(ASV)
	$(BIN)/asv publish

docs: $(VENV)/.extra-docs  ## build the documentation and asv's pages into site/
	$(BIN)/mkdocs build --strict
	$(BIN)/asv publish --html-dir site/asv

clean:  ## remove what the other commands made, except the environments
	rm -rf out site build dist .asv .benchmarks .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -path ./$(NUMPY_VENV) -prune -o -name __pycache__ -type d \
		-exec rm -rf {} +

distclean: clean  ## and the environments too
	rm -rf $(VENV) $(NUMPY_VENV)

# A stamp an extra: installed once, and again when the package's own description changes.
$(VENV)/.extra-%: $(SOURCES) | $(BIN)/python
	$(BIN)/python $(PIP) --editable ".[$*]"
	@touch $@

$(NUMPY_VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m venv --clear $(NUMPY_VENV)
	$(NUMPY_VENV)/bin/python $(PIP) numpy
	$(NUMPY_VENV)/bin/python $(PIP) --no-deps --editable .
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$python -m venv $(VENV)"; $$python -m venv $(VENV); exit; \
		fi; \
	done; \
	echo "minigrad needs Python 3.11 or newer; PYTHON=/path/to/python make ... names one" >&2; exit 1
