# make demo   opens the page          make test       runs the tests
# make lint   linter and type checker make test-fast  runs those that start no program: no browser, app, Java or training
# make clean  removes the virtual environment
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell $(python) -c 'import sys; print("$(python)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
VENV ?= .venv
BIN := $(VENV)/bin
# Test files are dealt out to two processes of one thread each. Browser tests run beside them, one after the other.
WORKERS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest
DEALT = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-page test-rest test-fast lint clean

demo: $(VENV)/app.installed
	$(BIN)/python app.py

test: $(VENV)/dev.installed
	$(MAKE) --keep-going --jobs=2 test-page test-rest

test-page:
	$(PYTEST) tests/browser

test-rest:
	$(PYTEST) $(DEALT) --ignore tests/browser

test-fast: $(VENV)/dev.installed
	$(PYTEST) $(DEALT) -m "not browser and not slow" --ignore tests/browser

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(if $(PYTHON),,$(error DynRefer needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3.11))
	$(PYTHON) -m venv $(VENV)

$(VENV)/app.installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --requirement $<
	touch $@

$(VENV)/dev.installed: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --requirement $<
	touch $@
