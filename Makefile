# Kontinuum: the few commands. Needs Python 3.11+, Rust 1.88+, a C compiler and GNU make (3.81 or newer);
# everything else is set up in .venv. `make help` lists the commands.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
NATIVE_MODULE := src/kontinuum/_native.abi3.so
NATIVE_SOURCES := native/Cargo.toml $(wildcard native/Cargo.lock native/build.rs) $(shell find native/src)

# Arguments of the person who types the command: make run ARGS="--nodes 7", make test ARGS="-k identity".
ARGS ?=
# How long each fuzz target runs.
SECONDS ?= 5
PYTHON ?=
# Our pins hold for every pip below, maturin's own call included. (A relative path: pip splits it at spaces.)
PINNED := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
# One set of features, so that the module, the wheel, clippy and the Rust tests share what is compiled.
CARGO_FEATURES := --no-default-features --features python,pyo3/extension-module

# A venv is kept only if its Python still runs and the checkout is where it was made (its scripts name that place).
HOME_OF_VENV := $(shell $(BIN)/python -c '' 2>/dev/null && cat $(STAMPS)/home 2>/dev/null)
ifneq ($(HOME_OF_VENV),$(CURDIR))
$(STAMPS)/home: FORCE
endif
# The module may be deleted on its own (git clean, another branch's make clean).
ifeq ($(wildcard $(NATIVE_MODULE)),)
$(STAMPS)/native: FORCE
endif

.PHONY: help setup run test check lint wheel fuzz bench docs changelog constraints clean FORCE

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMPS)/native  ## create .venv, install the pinned tools, build the native module

run: setup  ## start five nodes of a private network (ARGS="--check" runs once and ends)
	@$(BIN)/kontinuum up --nodes 5 $(ARGS)

test: setup  ## run every test (ARGS="-m 'not slow'" for the fast ones)
	@$(BIN)/python -m pytest $(ARGS)

check: setup lint test  ## all that CI runs: lint, types, floors, formats, clippy, news, tests

lint: setup  ## the fast half of check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo fmt --manifest-path native/Cargo.toml --check
	cargo clippy --manifest-path native/Cargo.toml --release --locked $(CARGO_FEATURES) --all-targets -- -D warnings
	$(BIN)/towncrier build --draft --version next >/dev/null

wheel: setup  ## build one abi3 wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

fuzz: setup  ## run every fuzz target for SECONDS=5 each
	@FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/fuzz $(ARGS)

bench: setup  ## compare with aioquic and a pure Rust peer (ARGS="--quick")
	@$(BIN)/python benchmarks/transport.py $(ARGS)

docs: setup  ## write the generated pages
	$(BIN)/python tools/limits.py
	$(BIN)/python -m kontinuum.node.config_docs docs/configuration.md

changelog: setup  ## turn newsfragments/ into CHANGELOG.md (VERSION=1.2.3)
	$(BIN)/towncrier build --yes --version $(VERSION)

constraints:  ## renew constraints.txt: the newest versions that pyproject.toml allows
	@python=$$(PYTHON='$(PYTHON)' tools/preflight) && rm -rf build/constraints && mkdir -p build \
		&& "$$python" -m venv build/constraints \
		&& build/constraints/bin/python tools/requirements.py cli dev > build/requirements.txt \
		&& build/constraints/bin/pip install --quiet -r build/requirements.txt \
		&& { sed -n '/^#/p' constraints.txt; build/constraints/bin/pip freeze; } > build/constraints.txt \
		&& mv build/constraints.txt constraints.txt && rm -rf build/constraints

clean:  ## remove what was built, .venv included
	rm -rf $(VENV) build dist native/target native/fuzz/target .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f src/kontinuum/_native*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv made for another place, or whose Python is gone, is replaced; one without our mark is completed.
$(STAMPS)/home:
	@python=$$(PYTHON='$(PYTHON)' tools/preflight) || exit 1; \
	if [ -e $@ ] || ! $(BIN)/python -c '' 2>/dev/null; then rm -rf $(VENV); fi; \
	echo "setup: creating $(VENV) with $$python" >&2; \
	"$$python" -m venv $(VENV) && mkdir -p $(STAMPS) && printf '%s' '$(CURDIR)' > $@

$(STAMPS)/packages: $(STAMPS)/home constraints.txt pyproject.toml tools/requirements.py
	@echo "setup: installing the packages of constraints.txt" >&2
	@$(BIN)/python tools/requirements.py cli dev > $(STAMPS)/requirements.txt
	@$(PINNED) $(BIN)/python -m pip install --quiet -r $(STAMPS)/requirements.txt
	@touch $@

$(STAMPS)/native: $(STAMPS)/packages $(NATIVE_SOURCES) pyproject.toml
	@PYTHON='$(PYTHON)' tools/preflight >/dev/null
	@echo "setup: building the native engine (two to four minutes the first time)" >&2
	@$(PINNED) PIP_QUIET=1 VIRTUAL_ENV='$(CURDIR)/$(VENV)' $(BIN)/maturin develop --release --locked --quiet
	@touch $@
