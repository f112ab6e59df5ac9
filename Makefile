# The commands of the project. Each makes what it lacks: the virtual environment, the extension module, the tools.

.DEFAULT_GOAL := help
.PHONY: help demo test test-full test-torch web-test gpu-test gpu-bench onnx-table lint bench results docs wheel clean
.DELETE_ON_ERROR:

PYTHON ?= python3
CARGO ?= cargo
CASE ?=
DEVICE ?= auto
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# maturin installs into the environment that these name, whichever the caller has active.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1

RUST := Cargo.toml Cargo.lock rust/Cargo.toml $(shell find rust/src -name '*.rs' 2>/dev/null)
CORE := $(VENV)/.core
MATURIN := $(BIN)/maturin develop --release --locked

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(CORE) $(VENV)/.extra-progress $(VENV)/.extra-plot $(VENV)/.export  ## train on real text, show what was learned, stream it, save it, load it
	$(BIN)/rnnrs demo

test: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## all tests but those against torch
	$(CARGO) test --locked --quiet
	$(BIN)/python -m pytest -q -m "not torch"

test-full: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## the property tests at length
	PROPTEST_CASES=4096 $(CARGO) test --locked --quiet
	$(BIN)/python -m pytest -q -m "not torch" --hypothesis-profile=full

test-torch: $(CORE) $(VENV)/.extra-test $(VENV)/.extra-torch $(VENV)/.export  ## random configurations live against torch.nn
	$(BIN)/python -m pytest -q -m torch tests/torch_parity

web-test: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## exported models in headless Chromium against the engine
	$(BIN)/python tests/web/run.py

gpu-test: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## exported models on CUDA, or the same on the CPU (DEVICE=cuda: there or not at all)
	NVIDIA_TF32_OVERRIDE=0 $(BIN)/python -m pytest -q tests/gpu --device=$(DEVICE)

gpu-bench: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## their times, against torch where it is installed (DEVICE likewise)
	NVIDIA_TF32_OVERRIDE=0 $(BIN)/python -m benchmarks.gpu --device=$(DEVICE)

onnx-table: $(CORE) $(VENV)/.extra-test $(VENV)/.export  ## what every cell becomes in ONNX: operator, parity, time against the engine
	$(BIN)/python -m benchmarks.exported

lint: $(CORE) $(VENV)/.extra-dev $(VENV)/.export  ## rustfmt, clippy, ruff, mypy, stubtest
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	$(CARGO) clippy --locked --all-targets --features python --quiet -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/stubtest rnnrs._core

bench: $(CORE) $(VENV)/.extra-bench  ## speed against torch, onnxruntime and jax (CASE=name for one of them)
	$(BIN)/python -m benchmarks $(CASE)

results: $(CORE) $(VENV)/.extra-results  ## claims of the literature measured again, hours (CASE=name for one of them)
	$(BIN)/python -m results $(CASE)

docs: $(CORE) $(VENV)/.extra-docs  ## reference of the crate and of the package, in target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(BIN)/pdoc --docformat google --math -o target/doc/python rnnrs

wheel: $(VENV)/.tools  ## the wheel and the source distribution, in dist
	$(BIN)/maturin build --release --locked --sdist --out dist

clean:  ## remove all that make made
	rm -rf $(VENV) target dist
	rm -f python/rnnrs/_core.*.so python/rnnrs/_core.pyd

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "maturin>=1.9,<2"
	@touch $@

# The extension module, again whenever the sources are newer.
$(CORE): $(RUST) pyproject.toml | $(VENV)/.tools
	$(MATURIN)
	@touch $@

# The exporter, from where it stands.
$(VENV)/.export: export/pyproject.toml | $(CORE)
	$(BIN)/python -m pip install --quiet --editable "./export[cpu]"
	@touch $@

# An extra of pyproject.toml; the module is not built again, cargo sees that it is there.
$(VENV)/.extra-%: pyproject.toml | $(CORE)
	$(MATURIN) --quiet --extras $*
	@touch $@
