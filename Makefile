# make demo | test | lint | format | bench | bench-peers: each sets up .venv by itself (Python 3.11 or newer, pip, make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .bench-peers
SBX := .bench-sbx
TORCH := .bench-torch
LINGAM := .bench-lingam
PIP := -m pip --disable-pip-version-check install --quiet

.PHONY: setup demo test lint format bench bench-peers clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("rlx needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing rlx into $(VENV) (about a minute)"
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/python experiments/demo.py

test: lint
	$(BIN)/python -m pytest --numprocesses logical --dist loadgroup

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python experiments/benchmark.py speed

bench-peers: $(PEERS)/.installed $(SBX)/.installed $(TORCH)/.installed $(LINGAM)/.installed

# Peers in environments of their own: sets known to work together on Python 3.11.
$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(PIP) jax==0.9.2 jaxlib==0.9.2 gymnax==0.0.9 rejax==0.1.3 brax==0.14.2 flashbax==0.1.3
	touch $@

$(SBX)/.installed:
	$(PYTHON) -m venv $(SBX)
# sbx uses PyTorch only for its buffers: without its dependencies, and best as the CPU build (pip's --find-links).
	$(SBX)/bin/python $(PIP) --no-deps torch==2.13.0
	$(SBX)/bin/python $(PIP) sbx-rl==0.28.0
	touch $@

# Best as the CPU build, too: the other brings gigabytes of libraries for GPUs.
$(TORCH)/.installed:
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python $(PIP) torch==2.13.0
	touch $@

$(LINGAM)/.installed:
	$(PYTHON) -m venv $(LINGAM)
	$(LINGAM)/bin/python $(PIP) lingam==1.13.0
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(SBX) $(TORCH) $(LINGAM) build *.egg-info
