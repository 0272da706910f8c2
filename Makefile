# Everything runs in .venv; `make demo` and `make test` are all a fresh machine needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=
# Last in a whole run: what trains or exports a model, then what starts a cluster, which wants the machine alone.
TRAINED := tests/exports tests/train
CLUSTER := tests/ray tests/e2e tests/gpu
PAIRED := -n 2 --dist loadfile
FAST := tests $(addprefix --ignore=,$(TRAINED) $(CLUSTER)) $(PAIRED)
# And, for two minutes at most, what attacks servers, plays campaigns of load, estimates by bootstrap or draws thousands of cases.
HEAVY := tests/benchmark tests/elasticity tests/gate tests/card tests/pricing/test_promise.py tests/test_imports.py \
  tests/serve/test_hostile.py tests/serve/test_schema_driven.py tests/serve/test_tracing.py tests/models/test_adapters.py

.PHONY: help install demo check test clean

help:
	@echo "make demo      install, then the whole line: shop -> model -> server -> three searches (ARGS=--exit to stop at the end)"
	@echo "make test      install, then the whole test suite"
	@echo "make check     the fast loop: ruff, types, import layers, unit tests"
	@echo "make install   install into $(VENV) alone"
	@echo "make clean     remove $(VENV) and caches"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: install
	$(BIN)/planogram demo $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -x $(FAST) $(addprefix --ignore=,$(HEAVY))

test: install
	$(BIN)/python -m pytest $(FAST) $(ARGS)
	$(BIN)/python -m pytest $(TRAINED) $(PAIRED) $(ARGS)
	$(BIN)/python -m pytest $(CLUSTER) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
