# LambdaZoom's commands. Each does all of its own set-up; nothing is installed outside this folder, but for Chromium (see below).
#
#   make demo [PORT=8001]   set everything up, draw three samples, serve and process the folders under data/
#   make test               all tests, browser tests included     make test-long   what takes minutes
#   make check              ruff, mypy strict                     make bench-quick us against libvips, two minutes
#   make bench              us against all our peers, half an hour: docs/performance.md
#   make bench-kinds        kinds that are converted or turned    make conformance what becomes of each kind of file: docs/formats.md
#   make venv               a new .venv, to deploy from           make exiftool    exiftool with a perl, what `doctor` misses
#   make assets             the viewer's script                   make test-deploy the part of test-long that deploys
#   make requirements       pin requirements*.in anew             make clean       remove what these commands made, but for data/

PORT ?= 8000
# the first Python that is new enough and can make virtual environments; 3.13 is what is deployed
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)
PIP_INSTALL = -m pip install --quiet --quiet --disable-pip-version-check

.PHONY: demo venv test test-long test-deploy check bench bench-quick bench-kinds conformance requirements clean assets exiftool exiftool-dev chromium

demo: .venv/.done assets exiftool
	@.venv/bin/python samples/draw.py data/source
	@.venv/bin/python -m lambdazoom serve --port $(PORT) --other-port-hint "make demo PORT={port}"

test: .venv-dev/.done assets exiftool-dev chromium
	.venv-dev/bin/python -m pytest -n 3 --dist worksteal

test-long: .venv-dev/.done assets exiftool-dev chromium
	.venv-dev/bin/python -m pytest -m long --durations=10

# the part of test-long that deploys, against an AWS that runs the zip
test-deploy: .venv-dev/.done assets exiftool-dev
	.venv-dev/bin/python -m pytest -m long tests/long/test_deploy.py tests/long/test_package.py

check: .venv-dev/.done
	.venv-dev/bin/ruff check
	.venv-dev/bin/ruff format --check
	.venv-dev/bin/mypy

# half an hour, and docs/performance.md is written anew; interrupted, it goes on where it was
bench: .venv-dev/.done exiftool-dev
	@.venv-dev/bin/python -m benchmarks.full

# the table against libvips, in two minutes once the images are drawn
bench-quick: .venv-dev/.done
	@.venv-dev/bin/python -m benchmarks.quick

# kinds that have to be converted or turned, against libvips on the same work, ten minutes
bench-kinds: .venv-dev/.done
	@.venv-dev/bin/python -m benchmarks.kinds

# anew, whatever is there: of PYTHON, and with nothing that was added by hand
venv:
	@rm -f .venv/.done && $(MAKE) --no-print-directory .venv/.done

# what is deployed: requirements.txt and nothing else, for Zappa zips it
.venv/.done: requirements.txt
	@$(if $(PYTHON),,echo "LambdaZoom needs Python 3.11 or newer, with its venv module." >&2; exit 1)
	@echo "Setting up .venv (Python packages) ..."
	@$(PYTHON) -m venv --clear .venv && .venv/bin/python $(PIP_INSTALL) -r requirements.txt && touch $@

.venv-dev/.done: requirements-dev.txt
	@$(if $(PYTHON),,echo "LambdaZoom needs Python 3.11 or newer, with its venv module." >&2; exit 1)
	@echo "Setting up .venv-dev (Python packages for tests) ..."
	@$(PYTHON) -m venv --clear .venv-dev && .venv-dev/bin/python $(PIP_INSTALL) -r requirements-dev.txt && touch $@

node_modules/.done: package.json package-lock.json
	@command -v npm >/dev/null || { echo "LambdaZoom needs Node.js with npm for the viewer and exiftool." >&2; exit 1; }
	@echo "Fetching the viewer and exiftool ..."
	@npm ci --silent --no-audit --no-fund --ignore-scripts && touch $@

assets: static/vendor/openseadragon/.done

static/vendor/openseadragon/.done: node_modules/.done
	@mkdir -p $(@D) && cp node_modules/openseadragon/build/openseadragon/openseadragon.min.js node_modules/openseadragon/LICENSE.txt $(@D) && touch $@

exiftool: .venv/.done node_modules/.done
	@.venv/bin/python -m lambdazoom.operations.bundle

exiftool-dev: .venv-dev/.done node_modules/.done
	@.venv-dev/bin/python -m lambdazoom.operations.bundle

chromium:
	@tests/chromium.sh

# docs/formats.md; a test compares it with what stands there
conformance: .venv-dev/.done exiftool-dev
	@.venv-dev/bin/python -m tests.conformance.table

# versions are chosen in the .in files; uv finds all that they need, for every Python and system at once
requirements: .venv-dev/.done
	.venv-dev/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --upgrade requirements.in -o requirements.txt
	.venv-dev/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header -c requirements.txt requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .venv-dev node_modules static/vendor build .mypy_cache .pytest_cache .ruff_cache .hypothesis
