# The two commands that matter: `make reproduce` and `make test`. `make help` lists the others.
# Everything runs in .venv, which is made from requirements.lock on first use and again whenever the lock changes.
# Another interpreter: make reproduce PYTHON=python3.12

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= runs
# the first interpreter on the PATH that is recent enough, unless PYTHON is given
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

# Notebooks run in this environment whatever kernels the user has registered elsewhere.
export JUPYTER_PATH := $(abspath $(VENV))/share/jupyter
export JUPYTER_PREFER_ENV_PATH := 1
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

WORKERS ?= 2

.PHONY: help setup reproduce test test-notebooks test-slow test-gpu test-browser benchmark notebooks lab lint doctor clean distclean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20

setup: $(READY)  ## make .venv from requirements.lock (done by itself when needed)

$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 found on the PATH (python3 is: $$(python3 --version 2>&1))."; \
		echo "Install one of them and run make again, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; \
		echo "With conda: conda env create -f environment.yml (see README.md)."; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11, 3.12 or 3.13 is needed (make ... PYTHON=python3.12)."; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); } || { \
		rm -rf $(VENV); \
		echo "Could not create a virtual environment. On Debian and Ubuntu: apt install python3-venv, then run make again."; exit 1; }
	@echo "Installing the locked environment (several minutes and about 7 GB the first time)"
	@set -o pipefail; \
	 $(BIN)/python -m pip install --no-deps -r requirements.lock | sed '/^Requirement already satisfied/d; /^Ignoring /d' && \
	 PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . || { \
		echo; echo "The installation stopped; pip's last lines above say why. The usual causes:"; \
		echo "  no network, or a proxy that pip does not know   -> set HTTPS_PROXY, or pip config set global.index-url"; \
		echo "  less than 8 GB free on the disk                 -> free some, or VENV=/other/disk/venv"; \
		echo "  no wheel for this platform or Python            -> Python 3.11 to 3.13 on 64-bit Linux or macOS (arm64)"; \
		echo "Running the same make command again goes on from here."; exit 1; }
	@touch $@

reproduce: $(READY)  ## the quick reproduction: notebooks 00, 01, 06, 07 on the synthetic benchmark, then the table
	@$(BIN)/python -m mmdg_lite reproduce --profile quick --out $(OUT)/quick

test: $(READY)  ## every default test: units, properties, notebooks end to end, nbval on deterministic cells
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 15
	@$(MAKE) --no-print-directory test-notebooks

test-notebooks: $(READY)  ## nbval in lax mode: cells tagged nbval-check-output must print what is committed
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval-lax --nbval-kernel-name python3 --ignore notebooks/assignments notebooks

test-slow: $(READY)  ## tests that take minutes: compiled trunks, ViT-B/16, a run killed five times
	@$(BIN)/python -m pytest -m slow -rs --durations 0 --ignore tests/benchmarks

test-gpu: $(READY)  ## tests that need an NVIDIA GPU; skipped without one
	@$(BIN)/python -m pytest -m gpu -rs

test-browser: $(READY)  ## notebook 08 in JupyterLab in a headless Chromium; screenshots in runs/browser
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser -rs tests/explorers/test_in_browser.py

benchmark: $(READY)  ## speed of the renderer and of training, printed, never asserted
	@$(BIN)/python -m pytest -m slow -s tests/benchmarks

notebooks: $(READY)  ## execute every notebook at the quick profile and keep the cleaned outputs
	@$(BIN)/python -m mmdg_lite notebooks

lab: $(READY)  ## JupyterLab in this environment
	@$(BIN)/python -m jupyterlab --notebook-dir notebooks

lint: $(READY)  ## ruff (rules and format) and mypy on the package
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

doctor: $(READY)  ## check the environment, line by line
	@$(BIN)/python -m mmdg_lite doctor

clean:  ## remove runs and caches, keep the environment
	rm -rf $(OUT) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

distclean: clean  ## clean, and remove the environment too
	rm -rf $(VENV)
