# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILE = $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --upgrade --no-header --no-emit-index-url --no-annotate --quiet
# Compiled once at install, or every Airflow process pays two seconds more at its start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo demo-capture test lint lock docs drills bench bench-webhook clean
help:            ## list what can be made
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(READY)  ## install the project and its tools into .venv
$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -e .
	touch $(READY)

demo: $(READY)   ## PostgreSQL, sandbox and Airflow: 2,000 sample prospects by hand, on a schedule, at once; ONCE=1 ends by itself
	$(BIN)/python -m sandbox.demo $(if $(ONCE),--once)

demo-capture: $(READY) ## post a signed capture to the running demo's webhook, and tell how long it takes to be in Dynamics
	@$(BIN)/python -m sandbox.demo.capture

test: $(READY)   ## every test, on a real PostgreSQL and the sandbox over HTTPS
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)   ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY)   ## resolve requirements.txt (what runs) and requirements-dev.txt (and what tests it) anew from pyproject.toml
	$(COMPILE) --extra dev -o requirements-dev.txt
	$(COMPILE) --extra deployment --extra test --constraint requirements-dev.txt -o requirements.txt

docs: $(READY)   ## the page of transforms, made of their docstrings
	$(BIN)/python -m dynamics.core.mapping.transforms.page > docs/transforms.md

drills: $(READY) ## the reliability drills; ONLY="F02 F05" for some, SEEDS=3 for fewer runs
	$(BIN)/python -m tests.drills $(ONLY) $(if $(SEEDS),--seeds $(SEEDS))

bench: $(READY)  ## the benchmarks, with ratios; SIZES="1000 100000" for other races than of 1,000 and 10,000 prospects
	$(BIN)/python -m tests.bench $(SIZES)

bench-webhook: $(READY) ## from webhook to record, alone and under load; CAPTURES=100 for fewer than 500
	$(BIN)/python -m tests.bench.webhook $(CAPTURES)

clean:           ## remove what make has made
	rm -rf $(VENV) .demo .bench
