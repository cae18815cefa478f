# Each target sets up what it needs by itself. `make help` lists them; options go into ARGS: make up ARGS="--detach".
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
COMPILE := $(shell command -v uv || echo .tools/uv/bin/uv) pip compile pyproject.toml --quiet --universal --generate-hashes \
	--no-header --no-emit-index-url --no-annotate

.PHONY: help up down test test-all check proto bench bench-peers lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.ready: requirements-dev.lock
	@infra/local/install.sh

up: .venv/.ready ## start the whole gateway on this machine, until Ctrl-C
	@$(PY) -m infra.local up $(ARGS)

down: .venv/.ready ## stop the gateway that runs in the background
	@$(PY) -m infra.local stop $(ARGS)

test: .venv/.ready ## everyday tests, a few minutes
	@$(PY) -m pytest -m "not slow" $(ARGS)

test-all: .venv/.ready ## all tests, the slow and the destructive ones too
	@infra/s3/versitygw.sh >/dev/null || true
	@$(PY) -m pytest $(ARGS)

check: .venv/.ready ## style, types, floors, protos, generated files
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	.venv/bin/buf lint proto
	$(PY) -m infra.proto --check

proto: .venv/.ready ## generate gateway/v1 from proto/gateway/v1
	$(PY) -m infra.proto

bench: .venv/.ready ## measure overhead, throughput, streams and jobs
	$(PY) -m bench $(ARGS)

bench-peers: .venv/.ready ## the same load on other gateways and on this one, turn by turn
	$(PY) -m bench.peers $(ARGS)

lock: .venv/.ready ## pin what pyproject.toml asks for
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --group local --group dev --output-file requirements-dev.lock
