# What a developer does, in one environment: .venv. PYTHON=python3.12 make setup takes another Python.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup fast test lint docs bench

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -e '.[dev]'
	@touch $@

setup: .venv/installed ## create .venv with everything that developers need, and the git hooks
	$(BIN)/pre-commit install --install-hooks

fast: .venv/installed ## run the tests of a minute
	$(BIN)/pytest -m fast -n 2

test: .venv/installed ## run all tests
	$(BIN)/pytest -n 2 --dist worksteal

lint: .venv/installed ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python --baselinemode discard

docs: .venv/installed ## build the site of the documentation; a broken link fails
	$(BIN)/pip install -q -e '.[docs]'
	$(BIN)/mkdocs build --strict

bench: .venv/installed ## measure training, sweeps and reports on this machine
	$(BIN)/python benchmarks/benchmark.py
