# make run    the main job on real input: portals, gateway, two administrations, every service
# make test   every check and every test
SHELL := /bin/bash
# The newest that really runs: version managers leave names behind that start nothing.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import venv' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ENV := .venv/.ready
INSTALL := $(shell command -v uv >/dev/null && echo uv pip install -q --python $(BIN)/python \
	|| echo $(BIN)/python -m pip install -q --disable-pip-version-check) -c deploy/constraints.txt -e

.PHONY: run test check fix bench chaos constraints rules sbom audit clean
.DEFAULT_GOAL := run

run: $(ENV)
	@$(BIN)/nahtlos demo

# What check has run is not run twice.
test: check
	@tests/prerequisites.sh
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --ignore-glob='tests/unit/test_deploy_*'

# The last line: compose, Kubernetes, systemd, alarms, image and publication, read by the tools that will read them later.
check: $(ENV)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@tests/prerequisites.sh deploy
	@$(BIN)/python -m pytest -q -p no:cacheprovider --confcutdir=tests/unit tests/unit/test_deploy_*.py

fix: $(ENV)
	@$(BIN)/ruff check --fix .

bench: $(ENV)
	@$(INSTALL) '.[dev,bench]'
	@tests/prerequisites.sh || true  # what is missing is said by the part that needs it
	@$(BIN)/python -m tests.bench

# TIMES: how often each fault is repeated.
TIMES ?= 10
chaos: $(ENV)
	@tests/prerequisites.sh
	@rm -f .cache/kill-matrix.jsonl
	@$(BIN)/python -m pytest -n 1 tests/chaos tests/contract --long $(TIMES)
	@$(BIN)/python -m tests.chaos.matrix

# The environment follows pyproject.toml and the pinned versions; uv where it is there, else venv and pip.
$(ENV): pyproject.toml deploy/constraints.txt
	@echo 'Einrichten: Python-Umgebung .venv mit den festgelegten Paketen, einmalig, etwa eine Minute … / Setting up .venv, once'
	@if command -v uv >/dev/null; then \
	    uv venv -q --allow-existing --python $(PYTHON) .venv; \
	else \
	    $(PYTHON) -m venv .venv || { echo 'No venv in this Python: as root, apt-get install python3-venv, then make again.' >&2; exit 1; }; \
	fi
	@$(INSTALL) '.[dev]'
	@touch $@

# Pins what is installed now: edit pyproject.toml, install, test, then write it down here.
constraints:
	@$(BIN)/python -m pip freeze --exclude-editable > deploy/constraints.txt

# The alarms of Prometheus once more, as the Prometheus Operator wants them.
rules:
	@{ sed '/^spec:/q' deploy/kubernetes/monitoring/rules.yaml; sed -n '/^groups:/,$$s/^./  &/p' deploy/prometheus/rules.yml; } \
	    > .rules.draft && mv .rules.draft deploy/kubernetes/monitoring/rules.yaml

# What the product is made of, without the tools that make and test it.
PRODUCT := .cache/product
$(PRODUCT)/requirements.txt: pyproject.toml deploy/constraints.txt $(ENV)
	@$(INSTALL) '.[dev,supply]'
	@rm -rf $(PRODUCT) && $(PYTHON) -m venv $(PRODUCT)
	@$(PRODUCT)/bin/python -m pip install -q --disable-pip-version-check -c deploy/constraints.txt '.[postgres,schematron]'
	@$(PRODUCT)/bin/python -m pip freeze --all | grep -v -e '^nahtlos' -e '^pip==' > $@.draft
	@$(PRODUCT)/bin/python -m pip uninstall -q --yes pip
	@mv $@.draft $@

sbom: $(PRODUCT)/requirements.txt
	@mkdir -p dist
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --of JSON \
	    --output-file dist/nahtlos.cdx.json $(PRODUCT)/bin/python
	@echo "dist/nahtlos.cdx.json: $$($(BIN)/python -c 'import json; print(len(json.load(open("dist/nahtlos.cdx.json"))["components"]))') parts"

# Silence is no answer: a dependency that the service does not know makes this fail.
audit: $(PRODUCT)/requirements.txt
	@$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $< 2> $(PRODUCT)/audit.log \
	    && { cat $(PRODUCT)/audit.log; exit 0; }; cat $(PRODUCT)/audit.log >&2; \
	    if grep -q -e 'not found on' -e 'onnection' -e 'imed out' $(PRODUCT)/audit.log; then \
	        echo 'Not audited: the service with the known vulnerabilities (PyPI) gave no answer from here.' >&2; fi; exit 1

clean:
	rm -rf .venv .cache build dist
