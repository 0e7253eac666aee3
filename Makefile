# make book         the environment, every notebook, the HTML book
# make test         the environment, the whole test suite
# make check        the built book in a headless Chromium: links, formulas, search, accessibility
# make picture      the drawing of a table that README.md shows, after records were published
# make environment  what both do first
# make lab          JupyterLab in that environment
#
# PROFILE=smoke|quick|short|paper   DEVICE=cpu|cuda|cuda:1|mps   NOTEBOOKS="01_foundations 03_response"
# JOBS=4 (notebooks at once)        PYTHON=python3.12 (which Python makes the environment)
PROFILE ?= quick
DEVICE ?= cpu
NOTEBOOKS ?=
JOBS ?=
PYTHON ?=

# Each test and each notebook has a process of its own, so one thread each; two would fight for the same cores.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1

.PHONY: book test check picture environment lab
.DEFAULT_GOAL := book

book: environment
	@.venv/bin/kdcore book --profile "$(PROFILE)" --device "$(DEVICE)" \
	  $(if $(strip $(NOTEBOOKS)),--notebooks "$(strip $(NOTEBOOKS))") $(if $(strip $(JOBS)),--jobs "$(strip $(JOBS))")

test: environment
	@.venv/bin/python -m pytest -n auto --dist worksteal -m "not built" -ra --durations=10 tests

check: environment
	@.venv/bin/python -m pytest -n auto --dist worksteal -m built -ra tests/book

picture: environment
	@.venv/bin/python -m kdcore.publishing.picture

environment:
	@sh scripts/environment.sh "$(PYTHON)"

lab: environment
	@.venv/bin/python -m jupyterlab --ServerApp.root_dir=notebooks
