# One short target a chore. `make up` and `make test` do all set-up by themselves.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install up down test format lint types check lock clean

help:             ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

install: .venv/installed ## make .venv with the locked versions
.venv/installed: locks/dev.txt locks/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Eco² needs Python 3.11 or newer: make PYTHON=python3.x install")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode locks/dev.txt locks/uv.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

up: install       ## start the whole system; Ctrl-C stops it
	@$(BIN)/eco2 up

down: install     ## stop a detached system
	@$(BIN)/eco2 down

lock: install     ## resolve the dependencies anew
	echo uv | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 - -o locks/uv.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --group dev -o locks/dev.txt

format: install   ## rewrite the code in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
