# `make demo` and `make test` need Python 3.11 or newer and nothing else: both install what they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# More arguments for the command behind a target, such as `make test ARGS="-k router"`.
ARGS ?=
# What `make train` trains.
FUNCTION ?= flights

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo train images pin-base test e2e e2e-lite lint format types bench compare loadtest lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z2-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the main job on this machine: flights in, delays out
	$(BIN)/tidegate demo $(ARGS)

train: $(VENV)/.demo ## Train the example, or a model function of yours: FUNCTION=name
	$(BIN)/python -m functions.$(FUNCTION).train $(ARGS)

images: ## Build every image and push it: REGISTRY=… TAG=… [BUILDER=buildah] [PUSH=false]
	REGISTRY="$(REGISTRY)" TAG="$(TAG)" BUILDER="$(BUILDER)" PUSH="$(PUSH)" functions/images.sh

pin-base: ## Write the digest of the base image into functions/Dockerfile
	functions/pin-base.sh

test: $(VENV)/.dev ## Run every test that needs no cluster (minutes)
	$(BIN)/pytest -n 2 --dist loadfile -m "not cluster and not e2e" $(ARGS) --cov

e2e-lite: $(VENV)/.dev ## Test manifests and API calls on an API server with Knative's CRDs alone (KUBECONFIG)
	$(BIN)/pytest -m cluster $(ARGS)

# What skaffold builds and pushes first. REGISTRY is where; PROFILE is docker's unless named, such as buildah.
e2e: $(VENV)/.dev functions/flights/models ## Test all of it on the cluster of KUBECONFIG, which has Knative: REGISTRY=…
	@test -n "$(REGISTRY)$(E2E_IMAGES)" || { echo "Name the registry that the cluster pulls from: make e2e REGISTRY=localhost:5000 [PROFILE=buildah]" >&2; exit 2; }
	@mkdir -p .tidegate
	test -n "$(E2E_IMAGES)" || skaffold build --default-repo=$(REGISTRY) $(addprefix --profile=,$(PROFILE)) --file-output=.tidegate/images.json
	E2E_IMAGES=$(or $(E2E_IMAGES),.tidegate/images.json) E2E_REGISTRY=$(or $(E2E_REGISTRY),$(REGISTRY)) E2E_BUILDER=$(or $(PROFILE),docker) $(BIN)/pytest -m e2e $(ARGS)

lint: $(VENV)/.dev ## Check format, style, and who imports whom
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev ## Check the types
	$(BIN)/mypy

bench: $(VENV)/.dev functions/flights/models ## Measure the model function's cold start
	$(BIN)/python -m loadtest.coldstart $(ARGS)

compare: $(VENV)/.dev ## Measure beside MLServer and KServe (installs both; minutes)
	$(BIN)/python -m loadtest.compare --write docs $(ARGS)

loadtest: $(VENV)/.dev functions/flights/models ## Load a gateway: a burst from zero, a steady load
	$(BIN)/python -m loadtest burst steady $(ARGS)

lock: $(VENV)/.dev ## Pin versions again (newer: ARGS=--upgrade)
	BIN=$(BIN) requirements/lock.sh $(ARGS)

clean: ## Remove what was built and measured; .venv stays
	rm -rf .tidegate .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist loadtest/results
	find functions -mindepth 2 -maxdepth 2 -name models ! -path functions/runtime/models -exec rm -rf {} +
	find common eventing functions loadtest tests tidegate training -name __pycache__ -prune -exec rm -rf {} +

functions/flights/models: | $(VENV)/.demo
	$(BIN)/python -m functions.flights.train

# A set of packages is installed again only when the pins or the project's own metadata have changed.
$(VENV)/.demo: requirements/demo.txt
$(VENV)/.dev: constraints.txt
$(VENV)/.demo $(VENV)/.dev: pyproject.toml | $(BIN)/pip
	@echo "Installing the packages of $(filter %.txt,$^) into $(VENV): about a minute, once."
	@$(PIP) install --quiet --no-deps --require-hashes -r $(filter %.txt,$^)
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is not a Python 3.11 or newer: install one, or name it, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)." >&2; exit 1; }
