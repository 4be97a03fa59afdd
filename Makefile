# `make demo` and `make test` are all a newcomer needs; each target does its own set-up in .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=...` decides otherwise.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$python >/dev/null && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
READY := .venv/ready
# Files of one test file's fixtures stay with one process, so that each starts its servers once.
PYTEST := $(BIN)/pytest
SPREAD := -n 2 --dist loadfile
CEPH := radosgw ceph-mon ceph-osd ceph-mgr ceph-common
# The servers that `make bench` measures beside Holocron.
PEERS := zookeeper default-jre-headless etcd-server redis-server
# What else to tell the bench, such as '--only failover --peers holocron,etcd'.
BENCH ?=
# How many simulated lives `make sim` lives.
SEEDS ?= 2000
# How many states of one world `make explore` visits at most; 12 million take about 1.5 GB.
STATES ?= 12000000
# How long `make chaos` goes on.
MINUTES ?= 20
# apt-get is root's; sudo only where there is one and it asks no question.
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo "sudo -n")

.PHONY: help demo test lint types sim explore mutants chaos bench bench-peers all test-ceph clean

help:
	@echo "make demo       three nodes elect a leader on a real S3 API, lose it, replace it and bring it back"
	@echo "make test       every test except those that need Ceph"
	@echo "make lint       ruff, and import-linter for who may import whom"
	@echo "make types      mypy --strict"
	@echo "make sim        simulated lives of the code that ships: make sim SEEDS=20000"
	@echo "make explore    every interleaving at small bounds, breadth first: make explore STATES=12000000"
	@echo "make mutants    the code that ships, broken on purpose in many ways: which check catches which"
	@echo "make chaos      real processes killed, frozen and cut off: make chaos MINUTES=20"
	@echo "make bench      Holocron beside its peers, half an hour: make bench BENCH='--only failover'"
	@echo "make bench-peers  installs the peers for it (Debian: the servers if you are root)"
	@echo "make all        lint, types and test"
	@echo "make test-ceph  the tests against Ceph's object gateway (Debian: installs it if you are root)"
	@echo "make clean      remove .venv and what the tools left behind"

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Holocron needs Python 3.11 or later, and there is none on the PATH." >&2; exit 1; }
	@echo "==> Creating .venv with $$($(PYTHON) --version)"
	@# Debian's Python comes without ensurepip: then the pip outside installs one inside.
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --without-pip .venv \
		&& $(PYTHON) -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip; \
	} || { \
		echo "Cannot make a virtual environment: on Debian or Ubuntu, apt-get install python3-venv helps." >&2; exit 1; \
	}
	@echo "==> Installing Holocron and its tools into it, from pyproject.toml (once; about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)
	@echo "==> holocron simulate"
	@$(BIN)/holocron simulate

test: $(READY)
	@echo "==> pytest: everything that needs no Ceph, over two processes"
	@$(PYTEST) $(SPREAD) -m "not ceph"

lint: $(READY)
	@echo "==> ruff check"
	@$(BIN)/ruff check .
	@echo "==> ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "==> lint-imports"
	@$(BIN)/lint-imports --no-cache

types: $(READY)
	@echo "==> mypy --strict"
	@$(BIN)/mypy

sim: $(READY)
	@echo "==> python -m tests.simulation --seeds $(SEEDS)"
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

explore: $(READY)
	@echo "==> python -m tests.model --states $(STATES)"
	@$(BIN)/python -m tests.model --states $(STATES)

mutants: $(READY)
	@echo "==> python -m tests.mutants"
	@$(BIN)/python -m tests.mutants

chaos: $(READY)
	@echo "==> python -m tests.chaos --minutes $(MINUTES)"
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES)

bench: $(READY)
	@echo "==> python -m tests.bench $(BENCH)"
	@$(BIN)/python -m tests.bench --json build/bench/bench.json --picture build/bench/bench.png $(BENCH)

bench-peers: $(READY)
	@echo "==> Installing the clients into .venv, and with apt-get the servers that are not there: $(PEERS)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@if ! command -v etcd >/dev/null || ! command -v redis-server >/dev/null || ! command -v java >/dev/null \
		|| ! test -e /usr/share/java/zookeeper.jar; then \
		export DEBIAN_FRONTEND=noninteractive; \
		{ $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends $(PEERS) >/dev/null; } \
		|| { echo "Cannot install them: as root, apt-get install --no-install-recommends $(PEERS)" >&2; exit 1; }; \
	fi

all: lint types test

test-ceph: $(READY)
	@if ! command -v radosgw >/dev/null || ! command -v ceph-mon >/dev/null || ! command -v ceph-osd >/dev/null; then \
		echo "==> Installing Ceph's object gateway with apt-get: $(CEPH)"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ $(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends $(CEPH) >/dev/null; } \
		|| { echo "Cannot install them: as root, apt-get install --no-install-recommends $(CEPH)" >&2; exit 1; }; \
	fi
	@echo "==> pytest: the tests against Ceph's object gateway, one for each of two processes"
	@HOLOCRON_REQUIRE_CEPH=1 $(PYTEST) $(SPREAD) -m ceph

clean:
	@echo "==> Removing .venv and what the tools left behind"
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
