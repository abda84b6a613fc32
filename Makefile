# Every target first installs what it needs; see tools/setup.py.
PYTHON ?= python3
# In the checkout, or in the user's home if the checkout belongs to someone else.
BIN = $(shell $(PYTHON) tools/setup.py --bin)

.DEFAULT_GOAL := help
.PHONY: help setup run dev test lint bench soak screenshots wheel

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 13

setup: ## install everything that the other targets need
	@$(PYTHON) tools/setup.py

run: setup ## serve the pages and the API, with the demo, on http://localhost:3000
	@BILLING_DEMO=1 $(BIN)/billing serve

dev: setup ## like run, but reload when the code changes
	@BILLING_DEMO=1 $(BIN)/billing serve --dev

test: ## run every test
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

lint: setup ## check style, types and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: setup ## build the installable wheel, with the built pages inside, into dist/
	@$(BIN)/python tools/wheel.py

screenshots: ## save screenshots of every page to screenshots/
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m tests.e2e.screenshots

bench: ## run the benchmarks, print a table, and append it to the history
	@$(PYTHON) tools/setup.py --browser
	@$(BIN)/python -m bench

soak: setup ## run real servers under load for half an hour, and cause faults
	@$(BIN)/python -m soak
