# `make demo` and `make test` need only Python 3.11 or newer: they install everything else into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Additional arguments of a target's command, such as `make test ARGS="-k router"`.
ARGS ?=
# The function that `make train` trains.
FUNCTION ?= flights

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup engines azurite demo demo-rollback train images pin-base test e2e e2e-lite lint format types docs bench bench-batch bench-stream compare loadtest chaos chaos-planted lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z2-]*:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.dev ## Install everything for development into .venv

engines: $(VENV)/.engines ## Install Spark and Dask for the tests of tidegate.frames (Spark has 430 MB and needs Java)

azurite: $(VENV)/.azurite ## Install the server of Azure Blob Storage for tests of batches (190 MB; needs Node.js and npm)

demo: $(VENV)/.demo ## Run the main job on this machine: flights in, delays out
	$(BIN)/tidegate demo $(ARGS)

demo-rollback: $(VENV)/.demo ## Roll out a model that is wrong, and see it rolled back by the outcomes
	$(BIN)/tidegate demo --rollback $(ARGS)

train: $(VENV)/.demo ## Train the example, or another model function: FUNCTION=name
	$(BIN)/python -m functions.$(FUNCTION).train $(ARGS)

images: ## Build every image and push it: REGISTRY=… TAG=… [BUILDER=buildah] [PUSH=false]
	REGISTRY="$(REGISTRY)" TAG="$(TAG)" BUILDER="$(BUILDER)" PUSH="$(PUSH)" functions/images.sh

pin-base: ## Write the digest of the base image into functions/Dockerfile
	functions/pin-base.sh

# The coverage floor (pyproject.toml) applies to all tests: it is off with ARGS, which may select some of them.
# tests/fixtures/distribution.py says how many processes there are, and what begins first.
test: $(VENV)/.dev ## Run every test that needs no cluster (minutes)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not cluster and not e2e" $(ARGS) $(if $(ARGS),--cov-fail-under=0) --cov

e2e-lite: $(VENV)/.dev ## Test manifests and API calls on an API server with Knative's CRDs (KUBECONFIG)
	$(BIN)/pytest -m cluster $(ARGS)

# Skaffold first builds the images and pushes them to REGISTRY, with Docker unless PROFILE names another builder, such
# as buildah.
e2e: $(VENV)/.dev functions/flights/models ## Test everything on the cluster of KUBECONFIG, with Knative: REGISTRY=…
	@test -n "$(REGISTRY)$(E2E_IMAGES)" || { echo "Name the registry that the cluster pulls from: make e2e REGISTRY=localhost:5000 [PROFILE=buildah]" >&2; exit 2; }
	@mkdir -p .tidegate
	test -n "$(E2E_IMAGES)" || skaffold build --default-repo=$(REGISTRY) $(addprefix --profile=,$(PROFILE)) --file-output=.tidegate/images.json
	E2E_IMAGES=$(or $(E2E_IMAGES),.tidegate/images.json) E2E_REGISTRY=$(or $(E2E_REGISTRY),$(REGISTRY)) E2E_BUILDER=$(or $(PROFILE),docker) $(BIN)/pytest -m e2e $(ARGS)

# The types are part of it: an error that promises a remedy is one.
lint: types ## Check format, style, words, import contracts and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/codespell --dictionary=- --dictionary=.codespell.txt

format: $(VENV)/.dev ## Format the code and fix lint errors
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev ## Check the types
	$(BIN)/mypy

# `.venv/bin/mkdocs serve` shows the site and follows edits.
docs: $(VENV)/.docs ## Build the documentation site, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

bench: $(VENV)/.dev functions/flights/models ## Measure the cold start of the model function
	$(BIN)/python -m loadtest.coldstart $(ARGS)

bench-batch: $(VENV)/.dev ## Measure a batch of 10 million rows beside plain XGBoost (ARGS="--rows N --kills N --zero N --mlserver N")
	$(BIN)/python -m loadtest.batch $(ARGS)

bench-stream: $(VENV)/.dev functions/flights/models ## Measure the stream worker beside other ways on an Apache Kafka (ARGS="--only NAME … --strict")
	$(BIN)/python -m loadtest.stream $(ARGS)

compare: $(VENV)/.dev ## Compare with MLServer and KServe (installs both; minutes)
	$(BIN)/python -m loadtest.compare --write docs $(ARGS)

loadtest: $(VENV)/.dev functions/flights/models ## Load-test a gateway: a burst from zero, a steady load
	$(BIN)/python -m loadtest burst steady $(ARGS)

chaos: $(VENV)/.dev ## Disturb a stream on three brokers, and check what it wrote (ARGS="--seed N --client confluent --runs N")
	$(BIN)/python -m loadtest.chaos $(ARGS)

chaos-planted: $(VENV)/.dev ## Show that `make chaos` finds bugs: one planted into the worker at a time (minutes)
	$(BIN)/python -m tests.loadtest.chaos.planting $(ARGS)

lock: $(VENV)/.dev ## Pin the versions of packages (ARGS=--upgrade for newer ones)
	BIN=$(BIN) requirements/lock.sh $(ARGS)

clean: ## Remove build products and measurements; keep .venv
	rm -rf .tidegate .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist site loadtest/results
	find functions -mindepth 2 -maxdepth 2 -name models -exec rm -rf {} +
	find common eventing functions loadtest tests tidegate training -name __pycache__ -prune -exec rm -rf {} +

functions/flights/models: | $(VENV)/.demo
	$(BIN)/python -m functions.flights.train

# Packages are installed again only if the pins or the project's metadata have changed.
$(VENV)/.demo: requirements/demo.txt
$(VENV)/.docs: requirements/docs.txt
$(VENV)/.engines: requirements/engines.txt
$(VENV)/.dev: constraints.txt
$(VENV)/.demo $(VENV)/.docs $(VENV)/.engines $(VENV)/.dev: pyproject.toml | $(BIN)/pip
	@echo "Installing the packages of $(filter %.txt,$^) into $(VENV): about a minute, once."
	@$(PIP) install --quiet --no-deps --require-hashes -r $(filter %.txt,$^)
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Not installed into the tree: linters and images would find it there.
$(VENV)/.azurite: requirements/azurite/package.json requirements/azurite/package-lock.json | $(BIN)/pip
	@echo "Installing Azurite into $(VENV)/azurite: half a minute, once."
	@mkdir -p $(VENV)/azurite
	@cp $^ $(VENV)/azurite
	@npm ci --prefix $(VENV)/azurite --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: install one, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot create a virtual environment: install its venv module (Debian: apt install python3-venv)." >&2; exit 1; }
