# FedState: everything a developer or a curious visitor does, from a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Python's development mode, and warnings are errors, in every process that the tests start too.
PYTEST := PYTHONDEVMODE=1 PYTHONWARNINGS=error $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo bench bench-watch bench-informer bench-scheduler bench-scheduler-e2e bench-api test test-fast check lint types arrows format docs lock clean

##@ Try it
demo: $(VENV)/.demo ## Show the main job on real mongod processes: three clusters, one database, a lost primary (ARGS="--stay --no-chaos")
	@$(BIN)/fedstate local demo $(ARGS)

##@ Test it
test: check ## All checks and all tests; with a real Kubernetes too where KUBEBUILDER_ASSETS names one
	$(PYTEST) --numprocesses auto --dist loadfile -m "not e2e" $(ARGS)
	$(PYTEST) -m e2e $(ARGS)

test-fast: $(VENV)/.dev ## The tests that start neither mongod nor a real Kubernetes: at most a minute
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "not mongod and not kubernetes and not e2e" $(ARGS)

check: lint types arrows ## Style, types and the arrows between the layers

lint: $(VENV)/.dev ## Ruff: style and known mistakes
	$(BIN)/ruff check fedstate tests benchmarks
	$(BIN)/ruff format --check fedstate tests benchmarks

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

arrows: $(VENV)/.dev ## import-linter: who may import whom
	$(BIN)/lint-imports

##@ Measure it
bench: $(VENV)/.bench ## All benchmarks, one after the other, and docs/benchmarks.md from what they found (ARGS="--rounds 5")
	$(BIN)/python -m benchmarks $(ARGS)

bench-watch: $(VENV)/.bench ## What a watch event costs, beside its peers (ARGS="--rounds 5", "--kubeconfig FILE")
	$(BIN)/python -m benchmarks.watch $(ARGS)

bench-informer: $(VENV)/.bench ## From the stream to the reconcile, and a cache of 100,000 pods, beside its peers
	$(BIN)/python -m benchmarks.informer $(ARGS)

bench-scheduler: $(VENV)/.bench ## Placements per CPU-second, against the plain form that must decide the same
	$(BIN)/python -m benchmarks.scheduler $(ARGS)

bench-scheduler-e2e: $(VENV)/.bench ## 1,000 instances created at once, until all are placed: decisions and their writes
	$(BIN)/python -m benchmarks.scheduler_e2e $(ARGS)

bench-api: $(VENV)/.bench ## What a small write costs, beside its peers
	$(BIN)/python -m benchmarks.api $(ARGS)

##@ Work on it
format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix fedstate tests benchmarks
	$(BIN)/ruff format fedstate tests benchmarks

docs: $(VENV)/.dev ## Write the reference pages that are made from the code: settings, messages, figures
	$(BIN)/python -m tests.docs.settings
	$(BIN)/python -m tests.badinput.document
	$(BIN)/python -m benchmarks.page

lock: $(VENV)/.dev ## Pin the newest allowed versions of all dependencies again
	$(BIN)/pip install --quiet uv
	for extra in local dev bench; do \
	  target=$$( [ $$extra = local ] && echo demo || echo $$extra ); \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra $$extra --generate-hashes \
	    --custom-compile-command "make lock" pyproject.toml --output-file requirements/$$target.txt; \
	done

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "FedState needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/.python
	@echo "Installing (once) into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.python
	@echo "Installing (once) into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: requirements/bench.txt | $(VENV)/.demo
	@echo "Installing (once) the peers into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@
