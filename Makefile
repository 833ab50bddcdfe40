# Everything goes through the environment in .venv; each target makes it first where it is missing.
PYTHON ?=
BIN := .venv/bin
UV := $(shell command -v uv)
PIP := $(BIN)/pip --disable-pip-version-check install -q --no-compile
INSTALL := $(if $(UV),uv pip install -q --python $(BIN)/python,$(PIP))
TORCH := 2.13.0
TORCHED := .venv/.torch-$(TORCH)
ARGS ?= --datasets tiktok movielens --offline --artifacts all
BENCH_ARGS ?=
PAPER_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-latest lock demo run paper test test-all bench scale docs board lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.complete  ## make the environment in .venv, with the releases in requirements.lock

# --no-deps, because RecBole's ray is left out, see pyproject.toml
.venv/.complete: requirements.lock pyproject.toml | $(TORCHED)
	$(INSTALL) --no-deps --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

setup-latest: $(TORCHED)  ## likewise, with the newest releases that pyproject.toml allows
	$(INSTALL) -e ".[dev]"
	$(INSTALL) --no-deps recbole==1.2.1
	@touch .venv/.complete

lock:  ## write requirements.lock anew, with the newest releases; needs uv
	uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" | \
	  awk '/^[a-z]/ {keep = !/^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==/} /^#/ {keep = 1} keep' > .lock.tmp
	@grep -q '^recbole==' .lock.tmp && mv .lock.tmp requirements.lock

# torch comes first and is not in the lock file, because its builds differ between machines. Without an NVIDIA driver a
# CPU build is taken: from the configured package index, or from PyTorch's own. Where neither has one, the default
# build is taken, which brings 3 GB of CUDA libraries on Linux.
$(TORCHED):
	@$(MAKE_VENV)
	@if ! command -v nvidia-smi >/dev/null 2>&1; then \
	  $(PIP) "torch==$(TORCH)+cpu" 2>/dev/null || \
	  $(PIP) --retries 1 --timeout 15 --index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH)" 2>/dev/null || \
	  echo "note: no CPU build of torch found; installing the default build"; \
	fi
	@$(PIP) "torch==$(TORCH)"
	@touch $@

# uv downloads a Python if there is none
define MAKE_VENV
if [ -n "$(UV)" ]; then uv venv -q --seed --allow-existing --python "$(or $(PYTHON),>=3.11,<3.13)" .venv; exit; fi; \
for python in $(or $(PYTHON),python3.11 python3.12 python3 python); do \
  $$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null || continue; \
  $$python -m venv .venv && exit; \
  echo "error: no venv could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; \
done; \
printf '%s\n' \
  "error: Python 3.11 or 3.12 is needed$(if $(PYTHON),; $(PYTHON) is neither). Three ways to go on:" \
  "  uv      curl -LsSf https://astral.sh/uv/install.sh | sh    then make setup; uv downloads a Python" \
  "  conda   conda env create -f environment.yml && conda activate ludp-bench && make setup" \
  "  docker  docker build -t ludp-bench . && docker run -it -v $(CURDIR)/results:/ludp-bench/results ludp-bench" \
  "Or name one: make setup PYTHON=/path/to/python3.12"; exit 2
endef

demo: setup  ## a first look: all models on MovieLens-100K, 5 epochs at most, two minutes on two cores
	$(BIN)/python run_all.py --profile demo --datasets movielens --source embedded --offline

run: setup  ## every table and figure on both data sets, in the quick profile, offline
	$(BIN)/python run_all.py $(ARGS)

paper: setup  ## the same on the real data in the full profile: days on two cores
	$(BIN)/python run_all.py --profile full --datasets tiktok movielens --source real --artifacts all $(PAPER_ARGS)

# One thread in each test process, so that processes x threads stay within the cores. Files start in the order of their names: by
# the number of tests, those with few long tests would come last, and one core would wait.
# Python keeps what it compiles, in a folder of its own and even where a variable forbids it, because tests start many processes;
# of what tests wrote, nothing is kept.
PYTEST := rm -rf .venv/pycache/tmp; PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/.venv/pycache OMP_NUM_THREADS=1 \
  $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

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

board: setup  ## docs/leaderboard/ from the committed records, scores and trials
	$(BIN)/python docs/_board.py

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
