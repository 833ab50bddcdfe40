# Everything goes through the environment in .venv; each target makes it first where it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
TORCH := 2.13.0
ARGS ?= --datasets tiktok movielens --offline
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all bench scale docs lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/.complete  ## make the environment in .venv

# Without an NVIDIA driver a CPU build of torch is taken: first from the configured package index, then from
# PyTorch's own; only where neither is reachable does the range in pyproject.toml decide.
.venv/.complete: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no python3 found; install Python 3.11 or run make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: $(PYTHON) is not Python 3.11, which RecBole needs; run make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "error: no venv could be made; on Debian: apt-get install python3.11-venv"; exit 2; }
	@if ! command -v nvidia-smi >/dev/null 2>&1; then \
	  $(BIN)/pip install -q --disable-pip-version-check "torch==$(TORCH)+cpu" 2>/dev/null || \
	  $(BIN)/pip install -q --disable-pip-version-check --retries 1 --timeout 15 \
	    --index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH)+cpu" 2>/dev/null || \
	  echo "note: no CPU build of torch found; installing the default build"; \
	fi
	$(BIN)/pip install -q --disable-pip-version-check -e ".[dev]"
	@touch $@

run: setup  ## the main job: both data sets, all models, tables under results/tables
	$(BIN)/python run_all.py $(ARGS)

# One thread in each test process, so that processes x threads stay within the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

test: setup  ## all tests but the slow ones, on all cores
	$(PYTEST) -m "not slow"

test-all: setup  ## all tests
	$(PYTEST)

bench: setup  ## speed against RecBole and plain formulations, ten minutes on a quiet machine
	PYTHONPATH=tests:. $(BIN)/python -m speed $(BENCH_ARGS)

scale: setup  ## memory and growth at the size of Amazon Electronics, half an hour on one core
	PYTHONPATH=tests:. $(BIN)/python -m scale

docs: setup  ## the documentation as pages under site/, which need no server and no network
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build -q

lint: setup  ## ruff, mypy and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, keep results and data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
