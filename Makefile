# Every entry sets up what it needs: python3 (3.11 or newer), pip and make are enough. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
# Processes for the default suite; more than two gain little, because crash tests start processes of their own.
JOBS ?= 2
ARGS ?=

.PHONY: help demo demo-fleet bench-queues test check cover test-all test-live prove mutate soak bench lint types fmt lock clean env env-run env-bench

help: ## list these entries
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: env-run ## the main job on real input: audit this environment's packages; no key, no server
	@tools/demo.sh $(ARGS)

demo-fleet: env ## the same job on a fleet: PostgreSQL and Valkey from wheels, supervisor, workers, autoscaler
	@$(BIN)/python tools/demo_fleet.py $(ARGS)

test: env ## the default suite at reduced sizes (ARGS="-k gate" selects)
	@$(BIN)/python -m pytest -n $(JOBS) -m "not browser and not node and not model and not tasks and not live" $(ARGS)

check: lint types test cover ## lint, import contracts, types, tests, coverage of the core: green before a push

cover: env ## branch coverage of the core by its own tests: all of it
	@$(BIN)/python -m pytest -q --cov=orchestrator.core --cov-branch --cov-report=term-missing --cov-fail-under=100 tests/core

test-all: env ## what needs node, Chromium, a real small model or task packages
	@$(BIN)/python -m pytest -m "browser or node or model or tasks" $(ARGS); code=$$?; \
	if [ $$code = 5 ]; then echo "no test needs any of these"; exit 0; fi; exit $$code

test-live: env ## a real model on this machine, chat to `ask`, as it answers (ORCHESTRATOR_LIVE=qwen: a better, slower one)
	@ORCHESTRATOR_LIVE=$${ORCHESTRATOR_LIVE:-smollm2} $(BIN)/python -m pytest -s -m live tests/ask $(ARGS)

prove: env ## the default suite at full sizes (long; goes on where it was interrupted)
	@JOBS=$(JOBS) tools/prove.sh $(ARGS)

mutate: env ## a seeded sample of changes to the core, each against its tests; fails under 85 % noticed
	@$(BIN)/python tools/mutate.py --least 85 $(ARGS)

soak: env ## the crash tests at full sizes, over and over, until one fails or SOAK_ROUNDS (default 10) are done
	@for round in $$(seq 1 $${SOAK_ROUNDS:-10}); do \
	  echo "soak: round $$round"; ORCHESTRATOR_PROVE=full $(BIN)/python -m pytest -x -m crash $(ARGS) || exit $$?; done

bench: env-bench ## speed beside the contestants, in an environment of its own
	@.venv-bench/bin/python -m benchmarks.performance $(ARGS)

bench-queues: env ## our queue beside those of other projects, each in an environment of its own
	@benchmarks/performance/queues/environments.sh
	@$(BIN)/python -m benchmarks.performance.queues $(ARGS)

lint: env ## style, format, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache # its cache outlives renamed modules and then finds breaches that are none

types: env ## mypy, strict
	@$(BIN)/mypy --strict orchestrator workers tests/typing

fmt: env ## format, and mend what ruff can mend
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: ## write the hashed lock files (UPGRADE=1 renews versions)
	@tools/lock.sh

clean: ## remove environments, caches and outputs
	@rm -rf .venv .venv-bench .tools .prove build dist demo-output bench-output .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@tools/venv.sh .venv dev
env-run:
	@tools/venv.sh .venv run
env-bench:
	@tools/venv.sh .venv-bench bench
