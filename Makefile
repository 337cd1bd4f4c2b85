# Everything a developer does here, one word each. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
# Extra words for the command behind `run`, `test` or `bench`:  make run ARGS="-p 11301"
ARGS ?=
PYTHONS ?= python3.11 python3.12 python3.13

.DEFAULT_GOAL := help
.PHONY: help run venv peers check test bench durability performance wheel pythons clean

help:  ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 19

# Compiled where that can be had; beanrow needs nothing but Python, so elsewhere it is run straight
# from the source. By exec, so that no shell is left for Ctrl-C to end with a complaint of make.
run:  ## serve on 127.0.0.1:11300, with the journal in ./data (ARGS="--help" tells more)
	@folder=$$($(PYTHON) -m scripts.choose_build) && \
	    exec env PYTHONPATH="$$folder" $(PYTHON) -m beanrow serve -b data $(ARGS)

venv: $(VENV)/.complete  ## make .venv, with beanrow (editable), the tests' needs and the linters

$(VENV)/.complete: pyproject.toml scripts/make-venv
	PYTHON="$(PYTHON)" scripts/make-venv $(VENV)
	@touch $@

peers:  ## fetch the programs that the tests compare beanrow with into .peers
	@scripts/get-peers

check: venv  ## ruff, ruff format and mypy, changing nothing
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: venv peers check  ## check, then test both builds (ARGS="tests/unit -k heap" for some tests)
	scripts/test-builds $(VENV) $(ARGS)

bench: venv peers  ## measure beanrow beside beanstalkd
	@folder=$$($(VENV)/bin/python -m scripts.choose_build) && \
	    exec env PYTHONPATH="$$folder" $(VENV)/bin/python -m benchmarks $(ARGS)

durability: venv peers  ## measure what the journal costs, beside beanstalkd with one
	@folder=$$($(VENV)/bin/python -m scripts.choose_build) && \
	    exec env PYTHONPATH="$$folder" $(VENV)/bin/python -m benchmarks.durability $(ARGS)

performance: venv peers  ## make the whole performance report, in about twelve minutes
	@folder=$$($(VENV)/bin/python -m scripts.choose_build) && \
	    exec env PYTHONPATH="$$folder" $(VENV)/bin/python -m benchmarks.performance $(ARGS)

wheel: venv  ## make a source package and a wheel in dist, compiled where a C compiler is
	$(VENV)/bin/python -m build

# Others than those on PATH: make pythons PYTHONS="/opt/python3.12/bin/python3 python3.13"
pythons: venv  ## make, install and try the packages with every Python here of 3.11 to 3.13
	BEANROW_PYTHONS="$(PYTHONS)" $(VENV)/bin/pytest tests/e2e/test_packages.py $(ARGS)

clean:  ## remove all that the other words have made
	rm -rf $(VENV) .peers tests/clients/npm/node_modules benchmarks/.build
	rm -rf build dist src/*.egg-info __pycache__
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +
