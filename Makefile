# Each target does all of its own set-up in .venv; it needs Python 3.11 or later and a network once.
# The first that really runs and is new enough: a name on the PATH may be a shim for nothing.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run test check bench clean

run: $(VENV)/.run  ## set up, fetch the models, listen on http://127.0.0.1:8765
	$(BIN)/streamd serve

test: $(VENV)/.dev  ## set up, fetch the models, run every check and test
	$(BIN)/streamd models pull
	$(MAKE) --no-print-directory check

check: $(VENV)/.dev  ## format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

bench: $(VENV)/.run  ## what a core carries, and what each model pass costs
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/streamd bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" \
	  || { echo "streamd needs Python 3.11 or later: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.run
