# Two commands on a fresh machine: `make demo` and `make test`. Both need Python 3.11 or newer and pip.
# `make demo GPU=1` installs the build of torch for this machine's GPU in place of the small CPU build.

PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip
GPU ?= 0

# As many files of tests at a time as there are cores; each starts processes of its own, so not more than four.
IN_PARALLEL = --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

# Python keeps what it compiled, whatever the machine sets: the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-quick test-real coverage lint docs clean

demo: $(VENV)/demo.done
	$(VENV)/bin/rrtf run

test: $(VENV)/test.done
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) -m "not real" --ignore=tests/sandbox
	$(VENV)/bin/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder tests/sandbox # by itself: it is about limits of time
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) -m "not real" plugins

test-real: $(VENV)/test.done # with real weights, downloaded once (docs/real-models.md); and vLLM's engine where RRTF_VLLM_PYTHON names one
	$(PIP) install --quiet --editable '.[real]'
	$(VENV)/bin/python -m pytest -m real tests plugins/rrtf-sampler-vllm

test-quick: $(VENV)/test.done # some of every room, in minutes: without what is marked as slow, and without the plugins
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) -m "not slow"

coverage: $(VENV)/test.done # by what runs in the tests' own process; it takes a quarter longer than without
	$(VENV)/bin/python -m pytest $(IN_PARALLEL) --cov --cov-report=term

lint: $(VENV)/test.done
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/test.done
	$(VENV)/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build build dist

$(VENV)/torch.done: constraints-cpu.txt
	$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(VENV)
	sh scripts/install_torch.sh $(VENV) $(GPU)
	touch $@

$(VENV)/demo.done: $(VENV)/torch.done pyproject.toml
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/test.done: $(VENV)/torch.done pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PIP) install --quiet --editable '.[dev]'
	$(PIP) install --quiet --no-deps evalplus==0.3.1 # its judge; what else it asks for is clients of model services
	$(PIP) install --quiet --no-deps --no-build-isolation $(addprefix --editable ,$(wildcard plugins/*/))
	touch $@
