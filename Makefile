# The front door. `make demo` and `make test` set up all that they need; `make help` lists the rest.
#
#   make test PYTHON=python3.13               another Python (the environment is made anew when its version changes)
#   make demo INPUT=flags.jsonl SUMMARY=s.json
#   make bench BENCH=bench.json

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
IMAGE := .make/contract.binpb

# An environment is for one version of Python, and its marks say how far it is set up.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BARE := $(VENV)/bare-$(VERSION)
RUNTIME := $(VENV)/runtime-$(VERSION)
DEV := $(VENV)/dev-$(VERSION)
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
LOCAL := --no-deps --no-build-isolation --editable client --editable server
# Extras stay in the pins: pip before 23.3 takes no hash of `coverage` for what a package asks as `coverage[toml]`.
PIN := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url \
	--no-emit-package panji --no-emit-package panji-server --custom-compile-command 'make pins' $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help demo test check format protos contract pins bench chaos serve clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | sort | expand -t 12

demo: $(RUNTIME) ## play the founding case, or the flags of INPUT=<file>; SUMMARY=<file> writes JSON
	$(BIN)/python examples/demo.py $(if $(INPUT),--input $(INPUT)) $(if $(SUMMARY),--summary $(SUMMARY))

test: $(DEV) ## run the tests and hold the coverage: panji.core 100 %, the whole 90 %
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup --cov --cov-report=
	$(BIN)/coverage report --include='*/panji/core/*' --fail-under=100
	$(BIN)/coverage report --fail-under=90

check: $(DEV) ## format, lint, types, import rules, the contract, the examples of the README
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy client/src server/src tests examples .ci
	$(BIN)/lint-imports
	$(BIN)/python .ci/contract.py check
	$(BIN)/python .ci/contract.py image $(IMAGE)
	$(BIN)/buf lint $(IMAGE) --config buf.yaml
	$(BIN)/buf breaking $(IMAGE) --against .ci/contract.binpb --config buf.yaml
	$(BIN)/python .ci/readme_examples.py

format: $(DEV) ## format the code and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

protos: $(DEV) ## generate client/src/panji/v1 from protos/
	$(BIN)/python .ci/contract.py generate

# The contract of the last release, frozen as an image, so that a clone of any depth can compare with it.
contract: $(DEV) ## at a release: make today's protos the contract that nobody may break
	$(BIN)/python .ci/contract.py image $(IMAGE)
	$(BIN)/buf build $(IMAGE) --config buf.yaml --exclude-source-info --output .ci/contract.binpb

pins: $(DEV) ## pin the requirements by version and hash; UPGRADE=1 takes the newest
	$(PIN) --python-version 3.11 .ci/requirements.in --output-file .ci/requirements.txt
	$(PIN) --python-version 3.11 .ci/requirements-dev.in --output-file .ci/requirements-dev.txt
	$(PIN) --python-version 3.12 --no-deps .ci/requirements-witness.in --output-file .ci/requirements-witness.txt

bench: $(DEV) ## measure against a bare echo, appending at a million entries, deadlines that fall at once; BENCH=<file> writes JSON
	$(BIN)/python tests/load/bench.py $(if $(BENCH),--json $(BENCH))
	$(BIN)/python tests/load/growth.py $(if $(BENCH),--json $(BENCH))
	$(BIN)/python tests/load/firing.py $(if $(BENCH),--json $(BENCH))

chaos: $(DEV) ## kill the exchange under load, again and again, and account for every receipt
	$(BIN)/python tests/chaos/run.py

serve: $(RUNTIME) ## serve a development exchange from .demo/exchange, made at the first run
	@test -d .demo/exchange || $(BIN)/panji init .demo/exchange > /dev/null
	@$(BIN)/panji serve --config .demo/exchange/exchange/exchange.toml

clean: ## remove what make, the tools and the demo wrote
	rm -rf $(VENV) .make .demo dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -prune -exec rm -rf {} +

# Nothing here names a registry: pip asks the one that the machine is set up for, and the hashes hold whichever it is.
$(RUNTIME): .ci/requirements.txt client/pyproject.toml server/pyproject.toml | $(BARE)
	$(INSTALL) --require-hashes --requirement $<
	$(INSTALL) $(LOCAL)
	touch $@

$(DEV): .ci/requirements-dev.txt client/pyproject.toml server/pyproject.toml | $(BARE)
	$(INSTALL) --require-hashes --requirement $<
	$(INSTALL) $(LOCAL)
	touch $@ $(RUNTIME)

$(BARE):
	@$(PYTHON) -c 'import sys; sys.exit("make PYTHON=<python>: Panji needs 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	touch $@
