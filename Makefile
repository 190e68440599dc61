# One virtual environment for every target; `make PYTHON=python3.12 test` picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN ?= runs/quickstart
# of pytest, such as TEST_OPTIONS='-k words'
TEST_OPTIONS ?=

.PHONY: install quickstart test lint docs

install: $(VENV)/.installed

# Written last, so that an interrupted installation starts again.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

quickstart: install
	@if [ -e $(RUN) ]; then echo "$(RUN) exists: delete it, or choose another with make quickstart RUN=..."; exit 2; fi
	$(BIN)/mutualformer fit --config experiments/synthetic_cpu.yaml --trainer.default_root_dir $(RUN)
	$(BIN)/mutualformer test --config $(RUN)/config.yaml
	@echo
	@echo "Look at $(RUN)/contact_sheet_test.png: RGB | depth | prediction | mask. Then try:"
	@echo "  $(BIN)/mutualformer predict --config $(RUN)/config.yaml"
	@echo "  $(BIN)/mutualformer test --config $(RUN)/config.yaml --model.network.fusion.epsilon 0"
	@echo "  $(BIN)/mutualformer fit --config experiments/synthetic_cpu.yaml --model.network.fusion.name rgb --trainer.default_root_dir runs/rgb"

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --quiet --durations 40 $(TEST_OPTIONS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs
	@echo "Look at build/docs/index.html"
