# `make help` lists the targets. Every target sets up what it needs, on a bare machine too.

VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)

# The first Python here that will do; override with `make PYTHON=/path/to/python`.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import ensurepip, venv; $(NEW_ENOUGH)' 2>/dev/null \
	&& { echo "$$python"; break; }; done),python3)

# `make install PIP_FLAGS=` shows everything pip says.
PIP_FLAGS ?= --quiet --quiet
PIP := $(BIN)/pip --no-input install
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test check docs build clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile | expand -t 14

install: $(VENV)/.installed ## set up .venv with every extra and the development tools
	@echo "Ready in $(VENV): try $(BIN)/holdfast --help, or make demo"

# A full installation serves the demo as well.
demo: $(or $(wildcard $(VENV)/.installed),$(VENV)/.installed-demo) ## upgrade a real gallery, from start to report
	@$(BIN)/holdfast demo $(ARGS)

# Small arrays: more threads than one only wait for each other. A file stays with one process,
# since its tests share what is dear to make. `make test JOBS=0` runs all in one process.
JOBS ?= 2
test: check ## check, then run every test
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

check: $(VENV)/.installed ## lint, formatting, types, and the direction of imports
	@echo "ruff, mypy, import-linter"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff --quiet .; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed ## write the pages of the reference that come from the code
	@$(BIN)/python docs/generate.py

build: $(VENV)/.installed ## build the wheel into dist/
	@$(BIN)/pip wheel $(PIP_FLAGS) --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove caches and built files
	@rm -rf build dist .*_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	@rm -rf $(VENV)

# Set-up. A stamp is touched only after its step succeeded: an interrupted run starts there.

$(VENV)/.ready:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "Holdfast: expected Python 3.11 or newer, found no '$(PYTHON)'." \
			"Install python3, or name yours: make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
		echo "Holdfast: expected Python 3.11 or newer, got $$("$(PYTHON)" -V)." \
			"Name a newer one: make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Holdfast: expected Python's venv module, but $(PYTHON) comes without it." \
			"On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "[1/3] $(VENV), by $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) $(PIP_FLAGS) --upgrade pip
	@touch $@

# Alone and before everything else: asked for in any other way, or pulled in by another
# package, pip may choose a build with gigabytes of GPU libraries where a small one is at hand.
$(VENV)/.torch: constraints.txt | $(VENV)/.ready
	@echo "[2/3] $(TORCH), the largest download"
	@$(BIN)/pip install $(TORCH)
	@touch $@

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(VENV)/.torch
	@echo "[3/3] holdfast and what its demo needs: some minutes on a slow line"
	@$(PIP) $(PIP_FLAGS) -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.torch
	@echo "[3/3] holdfast, its extras and its tools: some minutes on a slow line"
	@$(PIP) $(PIP_FLAGS) -c constraints.txt -e '.[all,dev]'
	@touch $@
