# Everything here sets itself up in .venv, from nothing but Python 3.11 (or newer) and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RIVALS := $(VENV)/.bench
ETCD := $(VENV)/.etcd

.PHONY: demo test faults bench lint fuzz clean

demo: $(READY)
	$(BIN)/mesh demo $(DEMO_ARGS)

# Three at a time, on two cores too: most of them wait for processes and sockets.
test: $(READY)
	$(BIN)/pytest -n 3 --dist worksteal $(TEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(READY)
	$(BIN)/python -m tests.faults.table

bench: $(RIVALS)
	$(BIN)/mesh bench all --markdown docs/benchmarks.md $(BENCH_ARGS)

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.fuzz_wire $(FUZZ_ARGS)

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

$(RIVALS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $(RIVALS)

# The client of etcd, without which its tests skip.
$(ETCD): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[etcd]'
	touch $(ETCD)
