# `make` alone prints this menu. Every target makes .venv and installs what it needs; a second call starts
# at once. PYTHON chooses the interpreter, 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_STAMP := $(VENV)/.installed-run
BENCH_STAMP := $(VENV)/.installed-bench
DOCS_STAMP := $(VENV)/.installed-docs
DIST_STAMP := $(VENV)/.installed-dist

.DEFAULT_GOAL := help
.PHONY: help demo up tools test test-pythons test-docker nightly chaos fuzz bench evaluate endless lint format docs dist check image rolling pictures clean install

help: ## Print this menu
	@echo "Streaming recommendations on Kafka. Start with: make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(RUN_STAMP) ## See it work: a broker, a worker, 100,000 ratings, recommendations with titles
	@$(BIN)/recommender demo

up: $(RUN_STAMP) ## Keep it running: two workers, ratings, requests, and a page to watch; Ctrl-C ends it
	@$(BIN)/recommender up

install: $(STAMP) ## Make .venv with everything for development

tools: ## Install what tests need beside Python: promtool and chromium, on Debian and Ubuntu as root
	@$(PYTHON) tests/tools.py

# The tests start Python some hundred times: bytecode is kept, also where the environment says otherwise.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP) tools ## Run all tests, against a real Apache Kafka that needs neither Docker nor Java
	@$(BIN)/python -m recommender.kafka.local.startup_cache
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(TESTS)

test-pythons: ## Run them on each Python from 3.11 to 3.13 that is here; TESTS=tests/unit for less
	@MAKE="$(MAKE)" $(PYTHON) tests/pythons.py $(if $(TESTS),TESTS="$(TESTS)")

test-docker: $(STAMP) ## Run the broker tests against a container instead
	$(BIN)/python -m pytest --kafka=container tests/integration

bench: $(BENCH_STAMP) ## Measure the worker beside its peers; BENCH="--quick learn" for less
	$(BIN)/python -m benchmarks.run $(BENCH)

evaluate: $(BENCH_STAMP) ## Measure how good each model and its peers are; EVALUATE="FILE --positive 4" for your data
	$(BIN)/python -m benchmarks.quality $(EVALUATE)
	$(if $(EVALUATE),,$(BIN)/python -m benchmarks.components)

endless: $(STAMP) ## Learn a stream of ever new users within bounds: make endless [EVENTS=3000000] [BOUNDS="--users 60000 --items 5000"]
	$(BIN)/python -m benchmarks.endless --events $(or $(EVENTS),3000000) $(or $(BOUNDS),--users 60000)

chaos: $(STAMP) ## Kill workers under load and prove that nothing is lost: make chaos [KILLS=100] [SEED=n] [K=2]
	$(BIN)/python -m tests.chaos --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED)) --journal-partitions $(or $(K),1)

fuzz: $(STAMP) ## Write records of all kinds and prove what became of each: make fuzz [N=200000] [SEED=n]
	$(BIN)/python -m tests.chaos --fuzz $(or $(N),200000) $(if $(SEED),--seed $(SEED))

nightly: $(STAMP) ## Play 100,000 random histories of the journal: HISTORIES=n for more or fewer
	HISTORIES=$(or $(HISTORIES),100000) $(BIN)/python -m pytest -n 4 tests/unit/journal/test_rule_simulation.py

lint: $(STAMP) ## Check style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_STAMP) ## Build the documents into build/site and check their links
	$(BIN)/python -m mkdocs build --quiet --strict

dist: $(DIST_STAMP) ## Build the wheel and the source archive into build/dist and check them
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist
	$(BIN)/python -m twine check --strict build/dist/*
	$(BIN)/python tests/wheel.py build/dist

check: lint docs dist test ## What CI runs: style, types, documents, packages and tests

# EXTRAS are the package's own, WITH are other packages, as s3fs for checkpoints in S3. BASE is an image with the Python
# of .venv, whose wheels these are.
image: EXTRAS ?= avro,protobuf
image: BASE ?= python:$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')-slim-bookworm
image: $(STAMP) ## Build the worker's image from wheels, on Linux: make image [BASE=python:3.13-slim-bookworm] [WITH=s3fs]
	rm -rf build/wheels
	$(BIN)/python -m pip wheel --quiet -c constraints.txt -w build/wheels '.[$(EXTRAS)]' $(WITH)
	docker build -f deploy/Dockerfile --build-arg BASE=$(BASE) -t faust-recommender -t faust-recommender:$$($(BIN)/python -c 'import recommender; print(recommender.__version__)') .

rolling: $(STAMP) ## Restart workers one after another under load: make rolling [N=3] [IMAGE=... NEXT_IMAGE=...] in containers
	$(BIN)/python -m tests.chaos --rolling $(or $(N),3) $(if $(IMAGE),--image $(IMAGE)) $(if $(NEXT_IMAGE),--next-image $(NEXT_IMAGE))

pictures: $(STAMP) tools ## Take the documents' pictures of the live page, while `make up` has run for ten minutes
	$(BIN)/python -m tests.pictures docs/pictures

clean: ## Remove .venv and what tools left behind
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make demo PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# pip says nothing for a minute, so we do.
$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local]'
	@touch $@

# Bytecode comes with the first import, of a part of what is installed: that takes less than all at once.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) for development (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(RUN_STAMP)

$(DOCS_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) for the documents (once, a few seconds) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(DIST_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) to build packages (once, a few seconds) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dist]'
	@touch $@

$(BENCH_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) for the benchmarks (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@ $(RUN_STAMP)
