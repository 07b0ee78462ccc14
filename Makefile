# `make` lists the targets. Each builds what it needs: Python 3.11 or newer, pip and make are all that has to be there.

PORT ?= 8000
export PYTHON

RUNTIME := .venv/runtime.stamp
DEV := .venv/dev.stamp
MUTATION := .venv/mutation.stamp

.DEFAULT_GOAL := help
.NOTPARALLEL: # one .venv: two pips in it at once would break it
.PHONY: help setup run test check bench fuzz mutate lock clean

# Stamps of a .venv that was copied with its tree, or whose Python is gone, are worth nothing.
$(shell [ -x .venv/bin/python ] && [ "$$(cat .venv/place 2>/dev/null)" = "$$(pwd -P)" ] || rm -f .venv/*.stamp)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile

setup: $(RUNTIME) ## build .venv with the locked packages; .venv/bin/idp-bridge is there afterwards

run: $(RUNTIME) ## serve the demo on http://127.0.0.1:8000; another port: make run PORT=8123
	@exec .venv/bin/idp-bridge demo --port $(PORT)

test: $(DEV) ## run the tests; some of them: make test ARGS="-k scim"
	@exec .venv/bin/python -m pytest -n logical --maxprocesses 8 --dist loadgroup $(ARGS)

check: $(DEV) ## lint, format, types, import rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

bench: $(DEV) ## run the benchmarks against their floor
	@exec .venv/bin/python -m tests.bench $(ARGS)

fuzz: $(DEV) ## try SCIM and SAML with random cases, beside other implementations: make fuzz ARGS="--minutes 5"
	@exec .venv/bin/python -m tests.fuzz $(ARGS)

mutate: $(MUTATION) ## break the SAML door in small ways, each to be noticed by a test: make mutate ARGS="idp_bridge.saml.profile*"
	@.venv/bin/mutmut run $(ARGS)
	@.venv/bin/mutmut results

lock: .tools/bin/uv ## write the locks anew from pyproject.toml; newest versions: make lock ARGS=--upgrade
	$(COMPILE) pyproject.toml -o requirements.txt $(ARGS)
	$(COMPILE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt $(ARGS)
	$(COMPILE) --group mutation -c requirements-dev.txt -o requirements-mutation.txt $(ARGS)
	$(COMPILE) --group build -c requirements-dev.txt -o requirements-build.txt $(ARGS)

clean: ## remove everything that was built; the demo's data in var/ stays
	rm -rf .venv .tools build dist mutants htmlcov test-results .coverage *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The locks carry hashes and no address of any index.
COMPILE = .tools/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--universal --python-version 3.11

.tools/bin/uv:
	$(or $(PYTHON),python3) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

$(RUNTIME): requirements.txt requirements-build.txt pyproject.toml tools/setup.sh
	@tools/setup.sh runtime requirements.txt requirements-build.txt

$(DEV): requirements-dev.txt pyproject.toml tools/setup.sh
	@tools/setup.sh dev requirements-dev.txt

$(MUTATION): $(DEV) requirements-mutation.txt
	@tools/setup.sh mutation requirements-mutation.txt
