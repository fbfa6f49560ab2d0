# `make` lists the targets.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=

# A version younger than this is not taken into a lock file: a poisoned release is usually found within days.
LOCK_AGE ?= 10 days

PIP_INSTALL = -m pip install --quiet --no-input --disable-pip-version-check
# Only ready-built packages: nothing here may need a compiler.
WHEELS = --only-binary :all:

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
# How many random models are compared with pymdp; `make test` looks at a few.
SHAPES ?= 200

.PHONY: help setup demo test test-all lint types contracts unit crash bench page format lock clean check-python

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv ## Set up .venv with everything that development needs

demo: .venv-demo ## Set up .venv-demo and run the demo (REPO=path: on that repository)
	@echo "== demo"
	@.venv-demo/bin/python examples/demo/run.py $(if $(REPO),"$(REPO)")

test: lint types contracts ## Check everything that must hold: lint, types, contracts, all tests
	@echo "== tests: pytest"
	@.venv/bin/python -m pytest -n auto --dist loadfile -m "not crash" $(PYTEST_ARGS)

test-all: test ## The same, and SHAPES (200) random models against pymdp
	@echo "== tests: agreement with pymdp, $(SHAPES) shapes"
	@HOCKET_SHAPES=$(SHAPES) .venv/bin/python -m pytest -n auto tests/population/test_agreement.py $(PYTEST_ARGS)

lint: .venv ## Check style and formatting
	@echo "== lint: ruff check, ruff format --check"
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: .venv ## Check types
	@echo "== types: mypy --strict"
	@.venv/bin/mypy

contracts: .venv ## Check that imports run one way and pure rooms stay pure
	@echo "== contracts: import-linter"
	@.venv/bin/lint-imports --no-cache

unit: .venv ## Run the tests, less the crash tests
	@echo "== tests: pytest, without tests/crash"
	@.venv/bin/python -m pytest -n auto --dist loadfile --ignore=tests/crash $(PYTEST_ARGS)

crash: .venv ## Run the crash tests alone
	@echo "== crash tests: pytest tests/crash"
	@.venv/bin/python -m pytest tests/crash $(PYTEST_ARGS)

bench: .venv-bench ## Set up .venv-bench and compare with the peers
	@echo "== bench"
	@.venv-bench/bin/python bench/run.py $(BENCH_ARGS)

page: ## Build the live page from web/ into src/hocket/server/page (needs Node 20)
	@echo "== page: npm ci, svelte-check, vite build"
	@cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent check && npm run --silent build

format: .venv ## Rewrite files in the house format
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

clean: ## Remove the environments and what tools left behind
	rm -rf .venv .venv-* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- environments: each has one stamp for its packages and one for the project in it ----

.PHONY: .venv .venv-demo .venv-bench
.venv: .venv/.project
.venv-demo: .venv-demo/.project
.venv-bench: .venv-bench/.project

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Hocket needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 ..." >&2; \
	  exit 1; }

# The environment is built anew, so that a package that is no longer listed is gone.
define packages
	@echo "== $(@D): installing the pinned packages of $<"
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) $(WHEELS) --require-hashes -r $<
	@touch $@
endef

.venv/.packages: requirements/dev.txt | check-python
	$(packages)

.venv-demo/.packages: requirements/demo.txt | check-python
	$(packages)

.venv-bench/.packages: requirements/bench.txt | check-python
	$(packages)

.venv-lock/.packages: requirements/lock.txt | check-python
	$(packages)

.venv/.project .venv-demo/.project .venv-bench/.project: %/.project: %/.packages pyproject.toml
	@echo "== $(@D): installing the project itself"
	@$(@D)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# ---- lock files ----

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --no-header --exclude-newer "$(LOCK_AGE)"

lock: .venv-lock/.packages ## Pin requirements/*.txt anew, from pyproject.toml and requirements/*.in
	$(COMPILE) requirements/lock.in -o requirements/lock.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml requirements/demo.in --extra local -o requirements/demo.txt
	$(COMPILE) pyproject.toml requirements/dev.in --all-extras -o requirements/dev.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra cluster --extra models --extra mcp --extra otel --extra population \
	  --constraint requirements/dev.txt -o requirements/deploy.txt
	# pip takes no extra of a package that it finds pinned without it.
	$(COMPILE) --no-strip-extras pyproject.toml requirements/bench.in -o requirements/bench.txt
	@! grep -nE '(https?|file)://' requirements/*.txt
