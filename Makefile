# The door to bitpim: `make demo` and `make test` need Python 3.11 or newer with pip, nothing else.
#
# Variables: PYTHON (interpreter to use), VENV (environment to make, .venv), JOBS (test processes),
# PYTEST_ARGS and PIP_ARGS (further arguments); for mutants MUTANTS_VENV and MUTANTS_ARGS.

VENV ?= .venv
OLDEST_VENV ?= .venv-oldest
MUTANTS_VENV ?= .venv-mutants
JOBS ?= 2
PYTEST_ARGS ?=
MUTANTS_ARGS ?=
export VENV PYTHON PIP_ARGS

BIN := $(VENV)/bin
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
OLDEST := $(OLDEST_VENV)/.oldest-installed
MUTANTS := $(MUTANTS_VENV)/.mutants-installed
SUPPLIES := pyproject.toml constraints.txt

.PHONY: help demo test oldest check hooks bench mutants clean
.SILENT:

help:
	echo "make demo    replay the shipped network on neural_cache, bit by bit, and verify it"
	echo "make test    install the development tools and run all tests"
	echo "make oldest  try some of them with the oldest libraries allowed"
	echo "make check   style, types, import contracts, spelling"
	echo "make hooks   run the checks at each commit"
	echo "make bench   run the benchmarks"
	echo "make mutants plant bugs in the sources and tell which no test finds; an hour or more"
	echo "make clean   remove the environments that these make"

demo: $(CORE)
	$(BIN)/python -m bitpim demo

test: $(DEV)
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

oldest: $(OLDEST)
	$(OLDEST_VENV)/bin/python -m pytest -q $(PYTEST_ARGS) tests/test_examples.py \
		tests/bitpim/test_face.py tests/bitpim/report tests/bitpim/config \
		tests/traces/test_samples.py tests/traces/test_writer_reader.py \
		tests/kernels/test_bitline.py tests/kernels/test_crossbar.py

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/codespell .

hooks: $(DEV)
	$(BIN)/pre-commit install

bench: $(DEV)
	$(BIN)/python -m pytest bench $(PYTEST_ARGS)

mutants: $(MUTANTS)
	$(MUTANTS_VENV)/bin/python -m pytest -q tests/mutation
	$(MUTANTS_VENV)/bin/python -m tests.mutation $(MUTANTS_ARGS)

clean:
	rm -rf $(VENV) $(OLDEST_VENV) $(MUTANTS_VENV)

$(CORE): $(SUPPLIES)
	sh .ci/environment core

$(DEV): $(SUPPLIES)
	sh .ci/environment dev

$(OLDEST): pyproject.toml .ci/oldest.txt
	VENV=$(OLDEST_VENV) sh .ci/environment oldest

$(MUTANTS): $(SUPPLIES)
	VENV=$(MUTANTS_VENV) sh .ci/environment mutants
