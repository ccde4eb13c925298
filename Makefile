# Everything runs from .venv, which the first target that needs it makes; `make` alone lists the targets.

PYTHON ?= python3
BIN := .venv/bin
TOGETHER := --numprocesses 3 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve test test-long soak bench check schema requirements clean \
        check-style check-types check-imports check-schema check-compose

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/.project ## Fill a demo workspace, serve it, print its address and a token
	@$(BIN)/proteus demo

serve: .venv/.project ## Serve an empty workspace, or the database of PROTEUS_DATABASE_URL
	@$(BIN)/proteus serve

test: .venv/.project ## Run the tests, several at a time; ARGS="-k board -x" goes to pytest
	@$(BIN)/pytest --ignore tests/long --ignore tests/faults $(TOGETHER) $(ARGS)

test-long: .venv/.project ## Prove it on real histories and by independent readers, break it once in each way, take every figure once
	@$(BIN)/pytest tests/long tests/faults $(TOGETHER) $(ARGS)

soak: .venv/.project ## Break it on purpose for an hour or more; ROUNDS=5 or MINUTES=10 make it shorter, SEED=7 repeats one, ARGS="-k fence"
	@PROTEUS_SOAK=1 PROTEUS_SOAK_ROUNDS=$(ROUNDS) PROTEUS_SOAK_MINUTES=$(MINUTES) PROTEUS_SOAK_SEED=$(SEED) \
	  $(BIN)/pytest tests/faults --verbose $(ARGS)

bench: .venv/.project ## Measure Proteus beside its limits and peers, about 15 minutes; ARGS="append board" takes parts
	@$(BIN)/python -m bench $(ARGS)

check: check-style check-types check-imports check-schema check-compose ## Lint, types, import rules, GraphQL schema, compose file

schema: .venv/.project ## Write the GraphQL schema to api/schema.graphql
	@$(BIN)/proteus schema > api/schema.graphql.new || { rm -f api/schema.graphql.new; exit 1; }
	@mv api/schema.graphql.new api/schema.graphql

clean: ## Remove .venv, caches and build results; databases stay
	rm -rf .venv .venv-readers build dist proteus.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-style: .venv/.project
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

check-types: .venv/.project
	@$(BIN)/mypy
	@$(BIN)/basedpyright

check-imports: .venv/.project
	@$(BIN)/lint-imports

check-schema: .venv/.project
	@$(BIN)/proteus schema --check

check-compose: .venv/.project
	@$(BIN)/pytest --quiet tests/test_compose.py

# ---- the environment: a change of the requirements makes it anew, a change of the project's own description only
# ---- registers the project again

.venv/.requirements: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	  echo "Proteus needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2> /dev/null || echo missing)." >&2; \
	  echo "Install it (Debian: apt install python3 python3-venv), or name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments. Install them (Debian: apt install python3-venv) and run make again." >&2; \
	  exit 1; }
	@echo "Setting up .venv, once; this takes a minute or two."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

.venv/.project: .venv/.requirements pyproject.toml
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Extra package locations of this machine must not leak into the files: neither their addresses nor their hashes.
COMPILE = env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet --generate-hashes \
          --strip-extras --allow-unsafe --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-config

requirements: .venv/.requirements ## Pin the dependencies of pyproject.toml anew; ARGS=--upgrade raises them
	@$(COMPILE) --all-build-deps --output-file requirements.txt $(ARGS) pyproject.toml
	@$(COMPILE) --all-build-deps --extra dev --extra telemetry --constraint requirements.txt --output-file requirements-dev.txt $(ARGS) pyproject.toml
	@$(COMPILE) --output-file tests/readers/requirements.txt $(ARGS) tests/readers/requirements.in
