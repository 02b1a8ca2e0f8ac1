# make setup   .venv with fairlead and the tools that tests and lint need
# make demo    fairlead up examples/host-date; PORT=9090 make demo for another port, make demo EXAMPLE=photos for another
# make test    every test this machine can run
# make lint    style, types, import rules
# make soak    half an hour of load and random kills; MINUTES=5 make soak for less
# make bench   figures, as ratios measured side by side (needs nginx and wrk; h2load for HTTP/2)
# make clean   removes what these made; run `.venv/bin/fairlead down --all` first, running stacks are left alone

PYTHON ?= python3
MINUTES ?= 30
WORKERS ?= 2
EXAMPLE ?= host-date
# What an example needs beyond fairlead itself, and the secrets that are made up for it once.
EXTRAS_photos := --extra postgres --extra s3
SECRETS_photos := FLASK_SECRET
VENV := .venv
UV := $(VENV)/bin/uv
# Nothing a caller's shell has activated may be installed into.
unexport VIRTUAL_ENV
export PIP_ROOT_USER_ACTION := ignore
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)

.PHONY: setup demo test lint format soak bench clean

setup: $(VENV)/.dev
	@echo "ready: $(VENV)/bin/fairlead --help"

demo: $(VENV)/.installed
	@$(if $(EXTRAS_$(EXAMPLE)),$(UV) sync --quiet --locked --no-dev --inexact $(EXTRAS_$(EXAMPLE)))
	@for name in $(SECRETS_$(EXAMPLE)); do \
	  $(VENV)/bin/fairlead secret list --stack $(EXAMPLE) 2>/dev/null | grep -qw "$$name" || \
	  $(VENV)/bin/python -c 'import secrets; print(secrets.token_hex(32))' | \
	  $(VENV)/bin/fairlead secret set "$$name" --stack $(EXAMPLE) || exit; done
	@$(VENV)/bin/fairlead up examples/$(EXAMPLE)
	@echo "(here \`fairlead\` is $(VENV)/bin/fairlead; \`. $(VENV)/bin/activate\` makes the short name work)" >&2

test: $(VENV)/.dev
	$(VENV)/bin/pytest -n $(WORKERS) $(TESTS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check src tests bench examples
	$(VENV)/bin/ruff format --check src tests bench examples
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev
	$(VENV)/bin/ruff format src tests bench examples
	$(VENV)/bin/ruff check --fix src tests bench examples

soak: $(VENV)/.dev
	FAIRLEAD_SOAK_MINUTES=$(MINUTES) $(VENV)/bin/pytest -m soak -s tests/soak

bench: $(VENV)/.dev
	$(VENV)/bin/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests bench examples -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.dev: $(UV) pyproject.toml uv.lock
	@$(UV) sync --quiet --locked --group dev
	@touch $@ $(VENV)/.installed

$(VENV)/.installed: $(UV) pyproject.toml uv.lock
	@$(UV) sync --quiet --locked --no-dev --inexact
	@touch $@

# uv comes from PyPI. Debian and Ubuntu keep the venv module in a package of its own; without it pip can still fetch uv,
# and uv makes the environment.
$(UV):
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "there is no $(PYTHON). Run: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fairlead needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	elif command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(VENV)/bin/python uv; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target build/bootstrap uv && \
	  build/bootstrap/bin/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  build/bootstrap/bin/uv pip install --quiet --python $(VENV)/bin/python uv && rm -rf build; \
	else \
	  echo "this Python has no venv module and no pip. Run: sudo apt install python3-venv" >&2; exit 1; \
	fi
