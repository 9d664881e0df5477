# Everything a person or a CI job does with this checkout.  Needs make and Python 3.11 or newer; `make help` lists the targets.

# First interpreter on PATH that is new enough; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

unexport PYTHONDONTWRITEBYTECODE  # what one process has compiled, hundreds of others need not

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# $(call install,VENV,WHAT): by uv, which takes seconds; by pip where uv can't be had or does not reach the index that pip is told.
install = $(BIN)/uv pip install --quiet --python $(1)/bin/python $(2) 2>/dev/null || $(PIP) --python $(1)/bin/python install --quiet $(2)
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
WHEEL_VENV := build/wheel-venv
INSTALLED := commands/test_init_schema.py dashboard test_cli.py test_cold_start.py test_doctor.py
# Tests of what being installed could change: the command, its bundled files, what a plan imports.  The rest is the same code and data:
# tests/wheel/ compares the files.
ENGINES_ALONE := test_run_reliability.py test_real_runs_teach.py test_sandbox.py
UV_LOCK := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	--no-annotate --quiet --custom-compile-command "make lock"
UV_COMPILE := $(UV_LOCK) pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-tree test-wheel test-engines test-slow check house pictures bench bench-store fuzz lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: $(RUNTIME)  ## plan the RLCEF example, then plan and run the quickstart here: planned against actual in two minutes
	@echo "==> what would reinforcement learning on code take on rented GPUs?"
	@$(BIN)/clusterctl plan templates/specs/rlcef.yaml
	@$(BIN)/clusterctl doctor --fix >/dev/null
	@echo; echo "==> the same loop, small, on this machine: the plan"
	@$(BIN)/clusterctl plan templates/specs/quickstart.yaml
	@echo; echo "==> and the run, about a minute; Ctrl-C leaves it running, make demo follows it again"
	@$(BIN)/clusterctl dashboard --sample --background >/dev/null 2>&1 || true  # it says why below
	@$(BIN)/clusterctl up templates/specs/quickstart.yaml --yes --again
	@echo; echo "==> the dashboard: this run, and a simulated day of 64 GPUs (choose in the side bar)"
	@$(BIN)/clusterctl dashboard --sample --background

# The wheel is built and tried beside the tests of the tree, which often wait; what it says is shown after theirs.
test: $(DEV) $(WHEEL_VENV)/.stamp  ## run the tests, from the tree and from the built wheel; COVERAGE=1 measures their coverage
	@$(MAKE) --no-print-directory test-wheel > build/wheel.log 2>&1 & wheel=$$!; \
	$(MAKE) --no-print-directory test-tree; tree=$$?; \
	wait $$wheel; wheel=$$?; cat build/wheel.log; [ $$tree = 0 ] && [ $$wheel = 0 ]
	@echo "left out: engines (make test-engines), what is slow (make test-slow), the fuzzer (make fuzz); run from the tree only: what being installed can't change"
	@command -v cc >/dev/null || echo "left out: the tests on NVML, whose stand-in library needs a C compiler (cc)"

# With COVERAGE=1 under coverage, which must not fall.
test-tree: $(DEV)
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(if $(COVERAGE),$(BIN)/coverage run,$(BIN)/python) -m pytest -n 3 --dist worksteal
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet)
	$(if $(COVERAGE),$(BIN)/coverage report)

# First the installed command alone, then the tests with its code: the test tools come last on its path, through a .pth file.
test-wheel: $(DEV) $(WHEEL_VENV)/.stamp
	@rm -rf build/dist $(WHEEL_VENV)/lib/python3*/site-packages/test-tools.pth
	$(BIN)/python -m build --no-isolation --outdir build/dist . > build/build.log 2>&1 || { cat build/build.log; exit 1; }
	$(call install,$(WHEEL_VENV),--no-deps --force-reinstall build/dist/*.whl)
	$(BIN)/python -m pytest -n 2 tests/wheel --wheel-dist build/dist --wheel-venv $(WHEEL_VENV)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > build/test-tools.pth
	@mv build/test-tools.pth $(WHEEL_VENV)/lib/python3*/site-packages/
	$(WHEEL_VENV)/bin/python -P -m pytest -n 2 $(INSTALLED:%=tests/clusterctl/%) --wheel-venv $(WHEEL_VENV)

# Two files at once, the longest first: browsers, servers and schedulers mostly wait.  Then, one by one, those that measure time or the whole machine.
test-engines: $(DEV)  ## run what needs real engines; installs them by apt where it may
	@sh tests/engines/install.sh
	$(BIN)/python -m pytest -rs --durations 25 -n 2 --dist loadfile --no-loadscope-reorder tests/engines $(ENGINES_ALONE:%=--ignore=tests/engines/%)
	$(BIN)/python -m pytest --durations 10 $(ENGINES_ALONE:%=tests/engines/%)

test-slow: $(DEV)  ## run what takes longer: the whole searches, hundreds of kills; docs/slow-tests.md has the last results
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile tests

check: $(DEV)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

house: $(DEV)  ## count lines, files, names used twice, import circles
	@$(BIN)/python tools/house.py

pictures: $(DEV)  ## draw what the README shows again: a plan, and two pages of the dashboard; needs Chromium
	$(BIN)/python -m tools.pictures

bench: $(DEV)  ## measure speed and memory; writes tools/benchmarks/results/
	$(BIN)/python tools/benchmarks/speed.py

bench-store: $(DEV)  ## measure a day of telemetry of 10,000 GPUs and the dashboard on it, half an hour; writes tools/benchmarks/results/
	$(BIN)/python tools/benchmarks/store.py --write

fuzz: $(DEV)  ## 10,000 malformed inputs: no traceback, none hangs
	$(BIN)/python tests/fuzzing/fuzz.py
	$(BIN)/python tests/fuzzing/fuzz_http.py

lock: $(RUNTIME)  ## resolve pyproject.toml and the validator's needs again into the lock files
	$(UV_COMPILE) --group build --output-file requirements.lock
	$(UV_COMPILE) --group build --group dev --extra dashboard --extra telemetry --constraint requirements.lock --output-file requirements-dev.lock
	$(UV_COMPILE) --group build --extra dashboard --extra telemetry --constraint requirements-dev.lock --output-file requirements-demo.lock
	$(UV_COMPILE) --group build --extra train --constraint requirements-dev.lock --output-file requirements-train.lock
	$(UV_COMPILE) --group build --extra remote --extra telemetry --extra aws --extra azure --extra gcp --constraint requirements.lock --output-file requirements-remote.lock  # SkyPilot wants an older click than the rest
	echo uv | $(UV_LOCK) - --output-file requirements-uv.lock
	$(UV_LOCK) tests/engines/focus-validator.in --output-file tests/engines/focus-validator.lock
	for framework in trl:3.11 titan:3.11 verl:3.11 openrlhf:3.11 benchmarks:3.11 serve:3.11 pulumi:3.11 skyrl:3.12; do name=$${framework%:*}; \
		$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-annotate --quiet --custom-compile-command "make lock" \
		--python-version $${framework#*:} --override tests/engines/left-out.txt --output-file tests/engines/$$name.lock tests/engines/$$name.in; done

clean:  ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: clusterctl needs Python 3.11 or newer, and none is on PATH" >&2; \
		echo >&2; echo "hint: install one, or name it: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: clusterctl needs Python 3.11 or newer; $(PYTHON) is not" >&2; \
		echo >&2; echo "hint: name another: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { echo "error: $(PYTHON) has no venv or ensurepip module" >&2; \
		echo >&2; echo "hint: install it (Debian and Ubuntu: python3-venv), or name another: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)

$(RUNTIME): requirements-demo.lock requirements-uv.lock pyproject.toml | $(BIN)/python
	@$(PIP) install --quiet --require-hashes -r requirements-uv.lock || echo "no uv: pip installs the rest, which takes a minute"
	$(call install,$(VENV),--require-hashes -r requirements-demo.lock)
	$(call install,$(VENV),--no-deps --no-build-isolation --editable .)
	@$(BIN)/python -m compileall -q clusterctl planners  # installing from the tree compiles nothing: a tenth of a second per run
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	$(call install,$(VENV),--require-hashes -r requirements-dev.lock)
	@touch $@

$(WHEEL_VENV)/.stamp: requirements.lock | $(BIN)/python
	$(BIN)/python -m venv --without-pip --clear $(WHEEL_VENV)
	$(call install,$(WHEEL_VENV),--require-hashes -r requirements.lock)
	@touch $@
