# Two commands set everything up: `make demo` and `make test`. Both need only Python 3.11+, git and the package registries.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready
WORKERS ?= 5

# Many processes read the same modules: they are compiled once, whatever the shell asks for.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up test check format bench install clean pictures

demo: $(READY)
	@$(BIN)/honk demo

up: $(READY)
	@$(BIN)/honk up

test: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

check: $(READY)
	@$(BIN)/ruff format --check src tests bench evals
	@$(BIN)/ruff check src tests bench evals
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff format src tests bench evals
	@$(BIN)/ruff check --fix src tests bench evals

bench: $(READY)
	@$(BIN)/python -m bench $(PARTS)

pictures: $(READY)
	@$(BIN)/python docs/pictures.py

install: $(READY)

# uv where it is found; otherwise the system's own venv and pip (25.1 or newer knows dependency groups).
$(READY): pyproject.toml
	@echo "Setting up $(VENV) (once)…"
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --allow-existing --python "$(PYTHON)" $(VENV) && uv pip install -q --python $(BIN)/python -e . --group dev; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q --upgrade 'pip>=25.1' && $(BIN)/python -m pip install -q -e . --group dev; \
	fi
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
