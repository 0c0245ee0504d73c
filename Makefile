# One short target a chore. `make up` and `make test` do all set-up by themselves.
PYTHON ?= python3
BIN := .venv/bin

# Some machines say that Python keeps no bytecode: then each process of a test run would compile all tests anew, and each that
# these start all of the system.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# A step that failed is not taken for done the next time.
.DELETE_ON_ERROR:
.PHONY: help install up down test quick test-ui check types lint words unit slow faults contract client client-ts bench mutants load eval head images k8s-check render lock house format clean

help:             ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

# uv knows neither the machine's certificates nor pip's index by itself: a company's proxy signs with the one, its mirror is the other.
ifneq ($(wildcard /etc/ssl/certs/*.crt /etc/ssl/certs/*.pem /etc/ssl/cert.pem /etc/pki/tls/certs/*),)
export UV_SYSTEM_CERTS ?= 1
endif
INDEX = $${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-`$(BIN)/python -m pip config get global.index-url 2>/dev/null`}}
# Where nothing can be kept between two runs, as in the account of a container that has no home, uv would not run at all.
NO_CACHE := $(shell d="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}}"; while ! test -e "$$d"; do d=`dirname "$$d"`; done; test -w "$$d" || echo yes)
UV = UV_DEFAULT_INDEX="$(INDEX)" VIRTUAL_ENV=.venv $(BIN)/uv $(if $(NO_CACHE),--no-cache)

# $(1): the lock file; $(2): megabytes that it takes in .venv; $(3): an option of uv. Half of the time is downloading: a terminal sees how far it is.
define sync
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Eco² needs Python 3.11 or newer: make PYTHON=python3.x $@")'
	@df -Pm . | awk 'NR == 2 && $$4 < $(2) * 2 {print "Eco² needs $(2) MB in .venv and as much while it is unpacked: " $$4 " MB are free here"; exit 1}'
	@echo "installing the locked versions into .venv ($(2) MB)"
	@test -z "$(MOVED)" && $(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install $(if $(NO_CACHE),--no-cache-dir) --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@if [ -t 1 ]; then while sleep 1; do printf '\r  %s of $(2) MB ' `du -sm .venv | cut -f1`; done & fi; \
	$(UV) pip sync --quiet --require-hashes $(3) $(1) locks/uv.txt; code=$$?; \
	if [ -t 1 ]; then kill $$!; printf '\r\033[K'; fi; exit $$code
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@cd .venv/lib/python3*/site-packages && echo ../../../.. > _eco2.pth # Python up to 3.12 reads it by the locale, and under LC_ALL=C not one with 가 in it
	@mkdir -p build && touch $@
endef

install: .venv/installed ## make .venv with all locked versions: the system's, and those of tests and checks
.venv/installed: locks/dev.txt locks/uv.txt pyproject.toml
	$(call sync,locks/dev.txt,1180,--compile-bytecode)
# Who only wants the system up needs half of it, and nothing that installs more (`make install` brings that anew); who has all of it has that too.
.venv/system: locks/up.txt locks/uv.txt pyproject.toml
	$(call sync,locks/up.txt,500)
	@$(BIN)/python -m emulator.compiled
	@rm -f $(BIN)/uv $(BIN)/uvx && $(BIN)/python -m pip uninstall -qq --yes uv setuptools pip
SYSTEM = $(if $(wildcard .venv/installed),.venv/installed,.venv/system)
# Scripts of an environment begin with the path that it was made in: a checkout that was moved makes its own anew.
MOVED := $(shell test -e $(BIN)/eco2 && ! grep -qF "$(CURDIR)/.venv" $(BIN)/eco2 && echo yes)
ifdef MOVED
.PHONY: .venv/installed .venv/system
endif

up: $(SYSTEM)     ## start the whole system; Ctrl-C stops it
	@$(BIN)/eco2 up

down: $(SYSTEM)   ## stop a detached system
	@$(BIN)/eco2 down

test: check unit  ## formatting, lint, types and the tests; those that take minutes are in `make slow`; all in one run: make test ARGS=tests

check: install    ## formatting, lint, import rules, strict types, items, words
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target types lint words
# One beside the other: where no type has been read yet, mypy alone takes as long as all others twice.
types: install
	$(BIN)/mypy
lint: install
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports > build/lint-imports.log 2>&1 || { cat build/lint-imports.log; exit 1; }
words: install
	$(BIN)/python -m tests.wiring
	$(BIN)/python -m functions.recycle_info.checker
	$(BIN)/python -m functions.ai.checker

# Each process of pytest has servers of its own, and half of the suite waits: four left two cores idle a fifth of the time.
WORKERS ?= 5
PYTEST = $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15 --durations-min=3
unit: install     ## the tests alone, without the slow ones; those that you name, slow or not: make unit ARGS="tests/auth -x"
	$(PYTEST) $(or $(ARGS),-m "not slow")

slow: install     ## the tests that take minutes: the fault table, kills, replays, generated requests; make slow ARGS=tests/faults
	$(PYTEST) -m slow $(ARGS)

test-ui: install  ## the dashboard and docs/FRONTEND.md in a real browser; screenshots in build/screenshots
	@tests/ui/run.sh

quick: install    ## the tests that your change reaches, nearest first, in about a minute
	@$(BIN)/python -m tests.quick $(ARGS)

faults: install   ## the whole fault table, with seeds that replay it, and kill -9 at each step of a rotation and a deploy, and within a start (long)
	$(BIN)/python -m tests.faults --full
	ECO2_KILLS=all $(BIN)/pytest -q tests/k8s/test_killed.py tests/emulator/test_up.py -k "test_killed or kill_9"

contract: install ## Schemathesis over every service, 200 examples an operation
	ECO2_EXAMPLES=200 $(BIN)/pytest -q tests/contract $(ARGS)

client: install   ## a typed Python client in build/client, and its wheel
	$(BIN)/python -m tests.contract.client
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/client build/client

client-ts: install ## a typed TypeScript client in build/client-ts, and its archive for npm
	$(BIN)/python -m tests.contract.client_ts

bench: install    ## the budgets, each beside the raw thing, as ratios; make bench ARGS=host
	$(BIN)/python -m tests.bench $(ARGS)

growth: install   ## every statement's plan, time and pages as the system grows to a million people; make growth SIZES=0.01,0.1,1
	$(BIN)/python -m tests.growth --sizes $(or $(SIZES),$(GROWN)) $(ARGS)
GROWN := 0.01,0.1,1

CROWDS := 50,200,1000
load: install     ## virtual users on the whole system, a table and build/load.svg; make load USERS=50,200,1000 MINUTES=1
	$(BIN)/python -m tests.load --users $(or $(USERS),$(CROWDS)) --minutes $(or $(MINUTES),1) $(ARGS)
mutants: install  ## put deliberate slips into the code and see which ones the tests notice (long)
	@$(BIN)/python -m tests.mutants $(ARGS)

eval: install     ## how often the classifier, the search and the answers are right
	$(BIN)/python -m tests.eval

head: install     ## whether the classifier's head comes out again of ../shared's photographs (a quarter of an hour of a core)
	$(BIN)/python -m tests.eval.head --check

images: install   ## build every image and run each as its manifest says (buildah and podman, as root; minutes)
	@test `id -u` = 0 && command -v buildah > /dev/null && command -v podman > /dev/null || { echo "make images needs root, buildah and podman: apt-get install buildah podman runc mmdebstrap"; exit 1; }
	ECO2_IMAGES=all $(BIN)/pytest -q -rA tests/k8s/test_images.py $(ARGS)

k8s-check: install ## checkov over the manifests, in an environment of its own
	test -x build/checkov/bin/checkov || $(PYTHON) -m venv build/checkov
	VIRTUAL_ENV=build/checkov UV_DEFAULT_INDEX="$(INDEX)" $(BIN)/uv pip sync --quiet --require-hashes locks/checkov.txt
	$(BIN)/eco2 render --show prod > build/prod.yaml
	build/checkov/bin/checkov --config-file k8s/checkov.yaml --file build/prod.yaml

render: install   ## write the manifests from the service.toml files
	@$(BIN)/eco2 render

lock: install     ## resolve the dependencies anew
	echo uv | $(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 - -o locks/uv.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --group dev -o locks/dev.txt
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 pyproject.toml --group up -c locks/dev.txt -o locks/up.txt
	$(UV) pip compile --quiet --universal --no-header --python-version 3.11 -c locks/dev.txt -c locks/uv.txt locks/dev.txt locks/uv.txt -o build/pylock.toml
	$(BIN)/python -m tests.wheels build/pylock.toml > locks/wheels.txt
	echo checkov | $(UV) pip compile --quiet --generate-hashes --no-header --python-version 3.11 - -o locks/checkov.txt

house: install    ## the figures of the house; fails on a new import circle or a broken wall
	@$(BIN)/python -m tests.house

format: install   ## rewrite the code in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:            ## remove what was built; the state in .eco2 stays
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
