# The two commands that matter: `make reproduce` and `make test`. `make help` lists the others.
# Everything runs in .venv, which is made from requirements.lock on first use and again whenever the lock changes.
# Another interpreter: make reproduce PYTHON=python3.12
# PyTorch without CUDA, on Linux: make reproduce TORCH=cpu

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SITE_VENV ?= .venv-site
OUT ?= runs
# the first interpreter on the PATH that has wheels for the whole lock, unless PYTHON is given
FITS := import sys; sys.exit(not (3, 11, 5) <= sys.version_info[:3] < (3, 15))
PYTHON ?= $(shell for p in python3 python3.13 python3.14 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)

# cpu: PyTorch's own build without CUDA. Left out: the build of the package index. An environment keeps the build it was
# made with; its name stands in .ready.
BUILT := $(shell cat $(READY) 2>/dev/null)
TORCH ?= $(BUILT)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# lines of the lock that the CPU build replaces or does without
OF_TORCH := ^(torch|torchvision)==
OF_CUDA := ^(triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==

# Notebooks run in this environment whatever kernels the user has registered elsewhere.
export JUPYTER_PATH := $(abspath $(VENV))/share/jupyter
export JUPYTER_PREFER_ENV_PATH := 1
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

WORKERS ?= 2
PIP = $(BIN)/python -m pip install --no-deps

ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is unknown: TORCH=cpu is PyTorch without CUDA; without TORCH, make installs the usual build)
endif
ifneq ($(wildcard $(READY)),)
ifneq ($(strip $(TORCH)),$(strip $(BUILT)))
$(error $(VENV) has the other build of PyTorch: remove it (make distclean), or name another environment (VENV=.venv-$(or $(TORCH),cuda)))
endif
endif

.PHONY: help setup reproduce test test-notebooks test-slow test-gpu test-browser fuzz benchmark notebooks lab lint doctor pins site links spelling clean distclean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 20

setup: $(READY)  ## make .venv from requirements.lock (done by itself when needed)

$(READY): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { \
		echo "Python 3.11.5 or newer, 3.12, 3.13 or 3.14 is needed; here, $(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1)."; \
		echo "If you have one of them, name it:  make $(MAKECMDGOALS) PYTHON=/path/to/python3.13"; \
		echo "If you have none, get one:         uv python install 3.13, then make $(MAKECMDGOALS) PYTHON=\"\$$(uv python find 3.13)\""; \
		echo "With conda:                        conda env create -f environment.yml (see README.md)"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); } || { \
		rm -rf $(VENV); \
		echo "Could not create a virtual environment. On Debian and Ubuntu: apt install python3-venv, then run make again."; exit 1; }
	@echo "Installing the locked environment (several minutes and about $(if $(TORCH),1.5,7) GB the first time)"
	@rm -f $(VENV)/.failed; { { \
	 $(if $(TORCH),$(PIP) --index-url $(TORCH_INDEX) $$(grep -E '$(OF_TORCH)' requirements.lock) && \
	 grep -vE '$(OF_TORCH)|$(OF_CUDA)' requirements.lock >$(VENV)/requirements-cpu.lock && \
	 $(PIP) -r $(VENV)/requirements-cpu.lock,$(PIP) -r requirements.lock) && \
	 PYTHONWARNINGS=ignore $(PIP) --quiet --no-build-isolation --editable .; \
	 } || touch $(VENV)/.failed; } | sed '/^Requirement already satisfied/d; /^Ignoring /d'; test ! -e $(VENV)/.failed || { \
		echo; echo "The installation stopped; pip's last lines above say why. The usual causes:"; \
		echo "  no network, or a proxy that pip does not know   -> set HTTPS_PROXY, or pip config set global.index-url"; \
		echo "  less than $(if $(TORCH),3,8) GB free on the disk                 -> free some, or VENV=/other/disk/venv"; \
		echo "  no wheel for this platform or Python            -> Python 3.11 to 3.14 on 64-bit Linux or macOS 14 (arm64)"; \
		echo "Running the same make command again goes on from here."; exit 1; }
	@echo $(TORCH) >$@

reproduce: $(READY)  ## ten minutes: three methods trained (notebook 06), tables (07), compared with the committed runs
	@$(BIN)/python -m mmdg_lite reproduce --out $(OUT)/short

test: $(READY)  ## every default test: units, properties, notebooks end to end, nbval on deterministic cells
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 15
	@$(MAKE) --no-print-directory test-notebooks

test-notebooks: $(READY)  ## nbval in lax mode: cells tagged nbval-check-output must print what is committed
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval-lax --nbval-kernel-name python3 $$(grep -l nbval-check-output notebooks/*.ipynb)

test-slow: $(READY)  ## tests that take minutes: compiled trunks, ViT-B/16, a run killed five times
	@$(BIN)/python -m pytest -m slow -rs --durations 0 --ignore tests/benchmarks

test-gpu: $(READY)  ## tests that need an NVIDIA GPU; skipped without one
	@$(BIN)/python -m pytest -m gpu -rs

test-browser: $(READY)  ## notebook 08 in JupyterLab in a headless Chromium; screenshots in runs/browser
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser -rs tests/explorers/test_in_browser.py

fuzz: $(READY)  ## damaged and hostile files for every reader, and a table; CASES=20000 SEED=1
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.fuzz --cases $(or $(CASES),20000) --seed $(or $(SEED),1)

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

pins:  ## write the pins of both locks into pyproject.toml, for uv
	@$(BIN)/python -m tests.support.pins

site: $(SITE_VENV)/.ready  ## the notebooks, guides and API as web pages in build/site; executes nothing
	@$(SITE_VENV)/bin/python docs/build.py --out build/site

links: $(SITE_VENV)/.ready  ## try every link to other sites (needs a network)
	@$(SITE_VENV)/bin/python docs/build.py --builder linkcheck --out build/links

spelling: $(SITE_VENV)/.ready  ## look for usual typing errors in texts, code and notebooks
	@$(SITE_VENV)/bin/codespell

$(SITE_VENV)/.ready: requirements-docs.lock
	@test -x $(SITE_VENV)/bin/python || $(or $(PYTHON),python3) -m venv $(SITE_VENV)
	@$(SITE_VENV)/bin/python -m pip install --quiet --no-deps -r requirements-docs.lock
	@touch $@

clean:  ## remove runs and caches, keep the environment
	rm -rf $(OUT) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

distclean: clean  ## clean, and remove the environment too
	rm -rf $(VENV) $(SITE_VENV)
