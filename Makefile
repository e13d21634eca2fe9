# `make demo` and `make test` set up what they need in .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin
DEMO := examples/storefront/qa-matrix.yml

COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements'

.PHONY: demo test test-full suite test-matrix bench simulate mends check lint types editor format setup requirements schema golden mutants docs picture dist clean

demo: .venv/ready
	$(BIN)/qarunner apply $(DEMO) --rehearse --scenario examples/storefront/rehearsal.yml --poll-interval 1s

# Types are checked beside the tests: the one core would wait for the other.
test: lint
	$(MAKE) --no-print-directory -j2 types suite

# Every kill, ten times the simulated worlds and twenty times the examples; much longer than `make test`.
test-full: lint .venv/ready-dist
	QARUNNER_TESTS=full $(MAKE) --no-print-directory -j2 types suite

# Compiled tests are kept, whatever a container's variables say: making asserts speak is a third of a run's start.
suite: .venv/ready-dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --workers auto

# The part of the suite that depends on packages, on each Python that is installed, with the oldest and the newest packages.
# All of the suite, on one: make test-matrix WITH='--python 3.12 tests'
test-matrix: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -I release/matrix.py $(WITH)

# Worlds by chance, as many as one likes: make simulate N=100000; one that broke a promise: make simulate SEED=17 N=1
N ?= 10000
SEED ?= 0
simulate: .venv/ready-dev
	$(BIN)/python -m tests.simulation.simulate --seeds $(N) --first $(SEED) --show

# Takes out each mend of a fault that once broke a promise, and looks for a world that notices; half an hour, so not in
# CI. One alone: make mends ONLY='full disk'
mends: .venv/ready-dev
	$(BIN)/python -m tests.simulation.mends --seeds $(or $(WORLDS),1000) --only '$(ONLY)'

# Whole commands beside the peers that are there, in CPU time; writes benchmarks/table.md. It takes minutes.
ROUNDS ?= 5
bench: .venv/ready-dev
	$(BIN)/python benchmarks/compare.py $(ROUNDS)

check: lint types

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-dev
	$(BIN)/mypy

# The schema in yaml-language-server and ajv themselves; needs node and npm.
editor: .venv/ready-dev
	npm install --prefix tests/editor --no-package-lock --no-audit --no-fund
	$(BIN)/python -m pytest tests/editor -q

format: .venv/ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The vendor parts of the manifest's schema and of the README, from what vendors/*/info.py say; the validator, from that schema;
# the inputs of the action and of the GitLab component, from the program's options.
schema: .venv/ready-dev
	$(BIN)/python -m pytest --update-golden -q tests/vendors/test_generated.py tests/pipelines/test_examples.py

golden: .venv/ready-dev
	$(BIN)/python -m pytest --update-golden -q

# Changes of the code that no test notices: half an hour on one core, so not in CI. Afterwards, some functions alone:
# make mutants ONLY='qarunner.plan.*'; those that have no result, as it was interrupted: make mutants ONLY=rest
mutants: .venv/ready-mutants
	$(if $(ONLY),,rm -rf mutants)
	PATH="$(CURDIR)/$(BIN):$$PATH" HYPOTHESIS_PROFILE=mutants $(BIN)/python tests/mutation/run.py $(foreach name,$(ONLY),'$(name)')
	$(if $(ONLY),,HYPOTHESIS_PROFILE=mutants $(BIN)/python tests/mutation/constants.py)
	$(BIN)/python tests/mutation/report.py

setup: .venv/ready-dev

# What install.py installs, with hashes, from what pyproject.toml asks for. A release changes no gate until this is run.
requirements: .venv/ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	echo hatchling | $(COMPILE) - -o requirements.txt
	echo hatchling | $(COMPILE) - --extra emulator -o requirements-emulator.txt
	$(COMPILE) --extra emulator --group dist --constraint requirements-emulator.txt -o release/requirements.txt

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "qarunner needs Python 3.11 or later: make PYTHON=python3.12 …"; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python's venv module is missing: on Debian, apt install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[emulator]"
	@touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

.venv/ready-mutants: .venv/ready-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group mutants
	@touch $@

# The pages of docs/ as a site, in build/site: open build/site/index.html.
docs: .venv/ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# docs/apply.svg: what the program prints, drawn as a picture.
picture: .venv/ready
	$(BIN)/python docs/picture.py

# Wheel, sdist, wheelhouse, lock with hashes, SBOM and digests, in dist/: docs/install.md.
dist: .venv/ready-dist
	rm -rf dist
	$(BIN)/python release/dist.py dist

.venv/ready-dist: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dist
	@touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

clean:
	rm -rf mutants .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
