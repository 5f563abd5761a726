# make            set everything up (the first time) and run the default campaign
# make test       set everything up (the first time) and pass the tests
PYTHON ?= python3
CAMPAIGN ?=
OPTIONS ?=
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export OMP_NUM_THREADS := 1
# Compiled modules are kept: importing PySCF or Snakemake takes half the time with them.
unexport PYTHONDONTWRITEBYTECODE
# Memory that local jobs may plan with, in MB: nine tenths of what is there.
MEMORY := $(shell awk '/MemTotal/ {print int($$2 / 1024 * 0.9)}' /proc/meminfo 2>/dev/null || echo 8000)
SNAKEMAKE := snakemake --profile workflow/profiles/default --resources mem_mb=$(MEMORY)
SETTINGS := $(if $(CAMPAIGN),campaign=$(CAMPAIGN)) $(if $(FRESH),fresh=true) $(if $(ENGINE),engine=$(ENGINE))
CONFIG := $(if $(strip $(SETTINGS)),--config $(SETTINGS))

.PHONY: run env check plan status dry-run test test-fast lint format schemas revisions lock benchmarks clean

run: env
	@$(SNAKEMAKE) $(CONFIG) $(OPTIONS)

env:
	@$(PYTHON) envs/build.py $(VENV)

check: env
	@crosstalk check

plan: env
	@crosstalk plan $(CAMPAIGN)

status: env
	@crosstalk status $(CAMPAIGN)

dry-run: env
	@$(SNAKEMAKE) --dry-run $(CONFIG) $(OPTIONS)

test: env
	@pytest -n 2 --dist worksteal --durations 20 --durations-min 5

test-fast: env
	@pytest -q tests/unit

lint: env
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	mypy
	snakemake --lint

format: env
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/rules

schemas: env
	crosstalk schema workflow/schemas

revisions: env
	python tests/unit/test_revisions.py

lock: env
	sh envs/lock.sh

clean:
	rm -rf results/jobs results/logs results/work .snakemake
