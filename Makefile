SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help without-nodes setup demo down lint unit sanity lab-test seeding-test acme-test runtimes-test applications-test integration soak test bench bench-verdict

export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The tests run on a lab of their own beside the demo: other containers, another network, other loopback ports.
TEST_LAB := WEBSTACK_LAB_SUFFIX=-test WEBSTACK_LAB_NET=172.30.81 WEBSTACK_LAB_SITE_PORT=18080 \
  WEBSTACK_LAB_HTTPS_PORT=18443 WEBSTACK_LAB_STATS_PORT=18404 WEBSTACK_LAB_PROMETHEUS_PORT=19090 \
  MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-test \
  ANSIBLE_CACHE_PLUGIN_CONNECTION=$(CURDIR)/.cache/facts-test ANSIBLE_NOCOLOR=1 NO_COLOR=1

# What the replica of seeding-test copies.
SEEDING_MEGABYTES := 96
ENGINES := mysql97 mariadb118 mariadb1011

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## what a bare machine lacks: Python environment, Docker engine, node image
	@tools/setup

demo: setup ## five nodes in containers, deployed and proven, then where to look
	@tools/lab up
	@ansible-playbook playbooks/site.yml
	@tools/lab show

down: ## remove the demo's containers, network and secrets
	@tools/lab down

lint: ## ansible-lint (profile production), yamllint, ruff
	ansible-lint
	yamllint --strict .
	ruff check .

unit: ## tests that need no node
	PROMTOOL=$(CURDIR)/.cache/promtool/usr/bin/promtool pytest -q

sanity: ## ansible-test sanity
	tools/sanity

lab-test: ## molecule test on five nodes of its own: check mode, converge, idempotence, proof, failures
	$(TEST_LAB) molecule test

seeding-test: ## molecule test of an empty replica that joins a primary under writes, on MySQL and on MariaDB
	$(TEST_LAB) WEBSTACK_SEEDING_MEGABYTES=$(SEEDING_MEGABYTES) tools/seeding-test

acme-test: ## molecule test of certificates from a real ACME server: ordered, renewed, refused
	$(TEST_LAB) MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-acme molecule test -s acme

runtimes-test: ## molecule test of each runtime: Python, PHP, Node.js, any command (about eight minutes)
	$(TEST_LAB) WEBSTACK_RUNTIMES_NET=172.30.92 MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-runtimes \
	  molecule test -s runtimes

applications-test: setup ## molecule test with WordPress, I hate money and Ghost in the place of the demonstration
	$(TEST_LAB) MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-applications tools/applications-test

integration: ## the verdict on real servers, each fault really produced (ENGINES=mysql97 for one)
	REPLTEST_ENGINES="$(ENGINES)" tools/integration

soak: ## seeding-test with 1 GB; ten minutes of 500 writes a second, asked every second, without a false alarm
	@$(MAKE) --no-print-directory seeding-test SEEDING_MEGABYTES=1000
	REPLTEST_ENGINES="$(ENGINES)" REPLTEST_SOAK=600 tools/integration -k no_false_alarm

test: ## everything: set-up, lint, unit, sanity, molecule, real database servers
	@tools/setup
	@tools/setup tests
	@$(MAKE) --no-print-directory lint
	@# The servers of integration mostly wait.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse without-nodes integration
	@$(MAKE) --no-print-directory seeding-test lab-test

without-nodes: unit
	@$(MAKE) --no-print-directory sanity

bench-verdict: setup ## times of the verdict and of comparing data, beside other tools, to docs/performance-verdict.md
	REPLTEST_ENGINES="$(filter-out mariadb1011,$(ENGINES))" tests/integration-db/images.sh
	REPLTEST_ENGINES="$(filter-out mariadb1011,$(ENGINES))" tools/bench-verdict

bench: setup ## wall times against plain apt and a bare ping, to docs/performance.md
	$(TEST_LAB) tools/bench
