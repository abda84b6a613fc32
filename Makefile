# Everything here sets up what it needs first; see tools/setup.py.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run dev test lint bench screenshots

help: ## list these
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 13

setup: ## install all that the others need, start nothing
	@$(PYTHON) tools/setup.py

run: setup ## serve everything, with the demo, on http://localhost:3000
	@BILLING_DEMO=1 $(BIN)/billing serve

dev: setup ## the same, reloading what is edited
	@BILLING_DEMO=1 $(BIN)/billing serve --dev

test: ## run every test
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests

lint: setup ## check style, types and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: ## take one of every page, into screenshots/
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m tests.e2e.screenshots

bench: ## measure, print a table, add it to the history
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m bench
