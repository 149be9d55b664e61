# make demo    sets up and holds one conversation over eight wire formats (no key needed)
# make test    sets up and passes the tests
# make check   format, lint, types, architecture and the whole catalog
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SDKS   := .venv-sdks
SHARED ?= ../shared
JOBS   ?= 2

.PHONY: demo test check format replay wire faults batch-kills laws properties pairs sdk-matrix docs bench bench-gateway large-files realtime-load job-kills vectors soak drift leaks clean

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[fast,jwt,aws,gcp,azure,test]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[check]'
	@touch $@

# the providers' official types, for the wire judge; large and with versions of their own, so apart and only where needed
$(SDKS)/.ready: $(VENV)/.test tools/sdks/requirements.txt
	$(PYTHON) -m venv $(SDKS)
	$(SDKS)/bin/python -m pip install -q --disable-pip-version-check -r $(SHARED)/wire/requirements-validate.txt -r tools/sdks/requirements.txt
	@touch $@

demo: $(VENV)/.run
	@$(BIN)/llmkit demo

test: $(if $(CI),$(SDKS)/.ready,$(VENV)/.test)
	LLMKIT_SDK_PYTHON=$(if $(CI),$(SDKS)/bin/python) $(BIN)/python -m pytest -n $(JOBS)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py
	$(BIN)/llmkit check

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the two judges in full: recorded exchanges, and request bodies against official types
replay: $(VENV)/.test
	$(BIN)/python tools/replay.py $(SHARED)/traffic

wire: $(SDKS)/.ready
	LLMKIT_SDK_PYTHON=$(SDKS)/bin/python $(BIN)/python tools/wire.py $(SHARED)/wire
	LLMKIT_SDK_PYTHON=$(SDKS)/bin/python $(BIN)/python tools/wire_operations.py $(SHARED)/wire

# every reliability proof in full: the shared fault matrix, our own table, retry storm, deadlines, killed streams, limits and
# budgets (with a redis-server on the machine also shared ones)
ROUNDS ?= 100
faults: $(VENV)/.test
	$(BIN)/python tools/faults.py --shared $(SHARED) --rounds $(ROUNDS)

# a batch of ROWS rows against the simulator, killed KILLS times: every row once, in order, in 200 MB
ROWS  ?= 100000
KILLS ?= 20
batch-kills: $(VENV)/.test
	$(BIN)/python tools/batch_kills.py --rows $(ROWS) --kills $(KILLS)

# what recorded traffic has that the specs do not know; FILES=…, PROVIDER=… for recordings of your own
drift: $(VENV)/.run
	@$(BIN)/python tools/drift.py exchanges $(or $(FILES),$(wildcard $(SHARED)/traffic/*.jsonl)) $(if $(PROVIDER),--provider $(PROVIDER)) || test $$? -eq 1

# random failures of every way to sign: no run of a key in an error, a log line, an event, a span or a metric
leaks: $(VENV)/.test
	LLMKIT_LEAK_ROUNDS=10000 $(BIN)/python -m pytest -n0 tests/security/test_leaks.py -k fuzz

# every property on all its random examples; `make test` tries a quarter of them
properties: $(VENV)/.test
	LLMKIT_ALL_EXAMPLES=1 $(BIN)/python -m pytest -n $(JOBS) tests/spec tests/expr tests/call

# the four laws of both directions on every served conversation: COUNT random checks of each law, spread over them
COUNT ?= 100000
SEED  ?= 1
SERVED := anthropic-messages bedrock-converse cohere-v2 gemini mistral ollama openai-chat openai-responses
laws: $(VENV)/.run
	$(BIN)/llmkit check --laws --count $$(( $(COUNT) / $(words $(SERVED)) )) --seed $(SEED) $(SERVED:%=catalog/dialects/%.yaml)

# what each of the 64 pairs of wires carries: writes docs/pairs.md
pairs: $(VENV)/.run
	$(BIN)/python tools/pairs.py --write

# official client libraries, unmodified, each against the simulator and through the gateway onto every other dialect
sdk-matrix: $(SDKS)/.ready
	LLMKIT_SDK_PYTHON=$(SDKS)/bin/python $(BIN)/python tools/sdk_matrix.py --write

docs: $(VENV)/.run
	$(BIN)/python tools/schema_reference.py

# PROVIDERS.md and docs/providers/, from the catalog; RECORDED=DIR counts the recorded exchanges anew
providers: $(VENV)/.run
	$(BIN)/python tools/providers_md.py $(if $(RECORDED),--recorded $(RECORDED))

bench:
	$(PYTHON) tools/bench/run.py

# the gateway beside a raw pass-through: CPU for each call and event, added latency, memory
bench-gateway: $(VENV)/.test
	$(BIN)/python tools/bench/run.py gateway

# a file of 2 GB is sent and written in every way, each in a process of its own whose memory is measured
MEGABYTES ?= 2048
large-files: $(VENV)/.test
	$(BIN)/python tools/large_files.py --megabytes $(MEGABYTES)

# what reading vectors costs beside parsing their JSON alone
vectors: $(VENV)/.test
	$(BIN)/python tools/vector_speed.py

# processes are killed around the submission of jobs: none is lost, none is submitted twice
JOB_KILLS ?= 200
job-kills: $(VENV)/.test
	$(BIN)/python tools/job_kills.py --kills $(JOB_KILLS)

# hundreds of streams through the gateway at once: none lost, none cut, no growth
WIDTH   ?= 500
SECONDS ?= 60
soak: $(VENV)/.test
	$(BIN)/python tools/bench/gateway/soak.py --width $(WIDTH) --seconds $(SECONDS)

# live sessions at once for a minute: how late an echo comes beside bare sockets, growth of memory
realtime-load: $(VENV)/.test
	$(BIN)/python tools/realtime_load.py --sessions 64 --seconds 60

clean:
	rm -rf $(VENV) $(SDKS) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
