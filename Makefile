# `make demo` reads the samples; `make test` runs everything. Both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin

DATA ?= samples

.PHONY: demo test check bench bench-service serve clean

demo: .venv/.base
	$(BIN)/ocrformer read samples/

test: .venv/.all
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Folders of labelled lines: make bench DATA="lines/receipts lines/books". Peers are measured where installed.
bench: .venv/.all
	$(BIN)/ocrformer bench $(addprefix --data ,$(DATA)) --json bench.json --markdown bench.md

bench-service: .venv/.all
	$(BIN)/python -m service.bench --data $(firstword $(DATA)) --soak 20000

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.serve: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[serve]"
	touch $@ .venv/.base

.venv/.all: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,serve,ray,onnx,dev]"
	touch $@ .venv/.base .venv/.serve

serve: .venv/.serve
	$(BIN)/ocrformer serve

clean:
	rm -rf .venv build dist
