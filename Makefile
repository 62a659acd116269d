# make demo   a virtual environment, then train, evaluate, draw and export on data that comes with the package
# make test   the same environment, then the tests, about ten minutes on two cores; TFDS_DATA_DIR says where MNIST and Omniglot are, if they are
# make test-long  the rest: runs of several processes and devices, and others that take many seconds
# make quick  lint, types and the fast tests, about a minute and a half on two cores
# make check  lint and types
# make lowest every test with the oldest packages that pyproject.toml takes, in .venv-lowest
# make docs   the documentation site, into site/; open site/index.html, or serve it for its search: python -m http.server -d site
# make smoke  the smallest run of every benchmark, to see that it works; measures nothing

# The first of these that is Python 3.10, 3.11, 3.12 or 3.13.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin
# One more than there are cores: some tests wait for processes and files.
WORKERS = 3
BENCHMARKS = train_step nll workers time_to_nll input_pipeline sampling runtimes startup growth step_cost profile_step data_parallel recipe_minutes
# Of which nothing is timed in rounds.
OTHERS = imputation anomaly likelihood_example soak jobs large_data
SMOKES = $(addprefix smoke-,$(BENCHMARKS) gpu $(OTHERS))

.PHONY: demo test test-long quick lowest check smoke docs $(SMOKES)

demo: $(VENV)/.installed
	$(BIN)/python scripts/demo.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m "not long"

test-long: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m long

# These wait for nothing, and each process imports TensorFlow.
quick: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not statistical and not long"

lowest: .venv-lowest/.installed
	$(MAKE) test test-long VENV=.venv-lowest

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Material's notice of its successor is no warning about these pages.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

smoke: $(SMOKES)

$(SMOKES): smoke-%: $(VENV)/.installed
	@echo "benchmarks/$*.py --quick"
	@said=$$(mktemp); \
	$(BIN)/python benchmarks/$*.py --quick $(if $(filter $*,$(OTHERS)),,--rounds 2) $(if $(filter $*,gpu),--device CPU:0) >$$said 2>&1 \
		|| { cat $$said; rm $$said; exit 1; }; \
	rm $$said

# An editable install comes after folders: in the one that this clone lies in, its name would be taken for the package's.
by_path = echo "$(CURDIR)" > "$$($(1)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/keras_iwae_clone.pth"

a_python = test -n "$(PYTHON)" || { echo "keras_iwae needs Python 3.10, 3.11, 3.12 or 3.13, and none was found; make PYTHON=/path/to/python"; exit 2; }

ifneq ($(VENV),.venv-lowest)
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(a_python)
	@echo "Installing into $(VENV): TensorFlow and the rest take a minute or more, and about 2.5 GB of disk"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq --editable ".[dev]"
	@$(call by_path,$(BIN))
	@touch $@
endif

# pip has no way to take the oldest.
.venv-lowest/.installed: requirements.txt pyproject.toml
	@$(a_python)
	@$(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install -qq --upgrade pip uv
	@.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable ".[dev,parquet]"
	@$(call by_path,.venv-lowest/bin)
	@touch $@

# Apart from the rest, for tests do without.
$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/python -m pip install -qq --editable ".[docs]"
	@touch $@
