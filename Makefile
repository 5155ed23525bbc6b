# Everything sets itself up: `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# `make TORCH=cpu ...`: torch from the CPU-only index, where that can be reached.
TORCH  ?= default
TORCH_FLAGS_cpu := --torch-backend cpu
READY  := $(VENV)/.ready-$(TORCH)
# Compiled once, whatever the environment says: torch takes seconds in every process that imports it.
export PYTHONDONTWRITEBYTECODE :=

# What pages and examples need besides: `make test` does without.
PAGES  := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
    --editable '.[docs,examples]'

.PHONY: help demo test test-long mutation proof cost lint requirements derived docs bench wheel clean

help:
	@echo "make demo      evaluate the embedded model in integers, every register checked, run it as a program, emit and verify vectors"
	@echo "make test      lint and the test suite (what CI runs)"
	@echo "make test-long the tests that take minutes"
	@echo "make mutation  mutation of the simulator, the torch path and the reference RTL"
	@echo "make proof     the claims of SPEC.md proved, and the reference RTL against them"
	@echo "make cost      gates, LUTs and logic levels of each choice; bitlog2 golden cost --place: clocks"
	@echo "make lint      ruff and mypy"
	@echo "make requirements  the matrix of requirements and what covers them"
	@echo "make derived   what follows from declarations: tables, limits of the C model, schemas"
	@echo "make docs      the pages as a site, into build/site"
	@echo "make bench     speed against named peers"
	@echo "make wheel     build a wheel into dist/"
	@echo "make TORCH=cpu demo   with a CPU-only build of torch, where its index can be reached"

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(BIN)/uv pip install --python $(BIN)/python $(TORCH_FLAGS_$(TORCH)) \
	    --constraint constraints.txt --editable '.[models,report,rtl,place,bench,test,lint]'
	rm -f $(VENV)/.ready-*
	touch $@

# Digest of the logits of digits in integer arithmetic, on every machine.
DIGITS := 1326ca5ca1cbd61569a56e062ab104ee2e83f61057d94e4cfbf01eca2dd63531

demo: $(READY)
	mkdir -p build
	$(BIN)/bitlog2 selftest
	$(BIN)/bitlog2 evaluate --model digits --arithmetic integer --check all --expect $(DIGITS)
	$(BIN)/bitlog2 lower digits --out build/digits.bitlog2 --pixels build/digits.npz
	cmp build/digits.bitlog2 models/zoo/data/digits.bitlog2
	$(BIN)/bitlog2 run build/digits.bitlog2 --images build/digits.npz --out build/logits.npz \
	    --expect $(DIGITS)
	$(BIN)/bitlog2 golden emit --out build/vectors
	$(BIN)/bitlog2 golden verify build/vectors

# Kernels and modules are compiled once, beside lint: else each process of the tests compiles them.
# One process more than cores: tests wait for simulators and for processes that they end.
test: $(READY)
	($(BIN)/bitlog2 selftest && $(BIN)/python -m pytest --collect-only -q >/dev/null) & compiled=$$!; \
	    $(MAKE) lint && wait $$compiled
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not long"

test-long: $(READY)
	$(PAGES)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long

mutation: $(READY)
	$(BIN)/python -m pytest -s tests/test_mutation.py -k "not any"
	$(BIN)/bitlog2 golden mutation --seed 1

proof: $(READY)
	$(BIN)/bitlog2 golden proof

cost: $(READY)
	$(BIN)/bitlog2 golden cost

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/mypy && mkdir -p build/mypy/bitlog2
	ln -s $(CURDIR)/bitlog2/* $(CURDIR)/sim $(CURDIR)/golden $(CURDIR)/models $(CURDIR)/scripts build/mypy/bitlog2
	cd build/mypy && ../../$(BIN)/mypy --config-file ../../setup.cfg -p bitlog2

requirements: $(READY)
	$(BIN)/python scripts/make_requirements.py

derived: $(READY)
	$(BIN)/python scripts/make_derived.py

docs: $(READY)
	$(PAGES)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(READY)
	$(BIN)/bitlog2 bench

wheel: $(READY)
	$(BIN)/uv build --wheel --out-dir dist .

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
