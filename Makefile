SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help lane-1 lane-2 setup demo down lint unit sanity lab-test production-test seeding-test ipv6-test acme-test runtimes-test applications-test integration traffic-test soak test drills bench bench-verdict readmes galaxy

export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Machines of the tests stand beside those of the demo.
BESIDE := WEBSTACK_LAB_SUFFIX=-test ANSIBLE_NOCOLOR=1 NO_COLOR=1

# What the demo deploys: lab, or ha with two balancers and a virtual address.
INVENTORY := lab

# What the replica of seeding-test copies.
SEEDING_MEGABYTES := 96
ENGINES := mysql97 mariadb118 mariadb1011

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## what a bare machine lacks: Python environment, Docker engine, node image
	@tools/setup

demo: setup ## five nodes in containers, deployed and proven, then where to look (INVENTORY=ha for two balancers)
	@tools/lab up
	@ansible-playbook -i inventories/$(INVENTORY) playbooks/site.yml
	@tools/lab show $(INVENTORY)

down: ## remove the demo's containers, network and secrets
	@tools/lab down

lint: ## ansible-lint (profile production), yamllint, ruff
	ansible-lint
	yamllint --strict .
	ruff check .

readmes: ## write the README of every role anew, from its argument specs
	@tools/role-readmes

galaxy: ## build the collection and have Galaxy's own importer judge it
	@tools/galaxy

unit: ## tests that need no node
	PROMTOOL=$(CURDIR)/.cache/promtool/usr/bin/promtool pytest -q

sanity: ## ansible-test sanity
	tools/sanity

lab-test: ## molecule test on five nodes of its own: check mode, converge, idempotence, proof, failures, a second balancer, failover
	ANSIBLE_NOCOLOR=1 NO_COLOR=1 tools/tell molecule test

production-test: ## molecule test of the README's road: an ordinary account, SSH, Debian 12, MariaDB, the newest Ansible
	$(BESIDE) tools/tell molecule test -s production

seeding-test: ## molecule test of an empty replica that joins a primary under writes, on MySQL and on MariaDB
	$(BESIDE) WEBSTACK_SEEDING_MEGABYTES=$(SEEDING_MEGABYTES) tools/tell tools/seeding-test

ipv6-test: ## molecule test of five nodes that know each other by IPv6 alone, on MySQL and on MariaDB (a quarter of an hour)
	$(BESIDE) WEBSTACK_LAB_ENGINE=mysql tools/tell molecule test -s ipv6
	$(BESIDE) WEBSTACK_LAB_ENGINE=mariadb tools/tell molecule test -s ipv6

acme-test: ## molecule test of certificates from a real ACME server: ordered, renewed, refused
	$(BESIDE) tools/tell molecule test -s acme

runtimes-test: ## molecule test of each runtime: Python, PHP, Node.js, any command (about eight minutes)
	$(BESIDE) WEBSTACK_RUNTIMES_NET=172.30.92 tools/tell molecule test -s runtimes

applications-test: setup ## molecule test with WordPress, I hate money and Ghost in the place of the demonstration
	$(BESIDE) MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-applications tools/applications-test

integration: ## the verdict on real servers, each fault really produced (ENGINES=mysql97 for one)
	REPLTEST_ENGINES="$(ENGINES)" tools/integration

traffic-test: ## requests, headers, WebSockets and events through the real HAProxy and nginx, in containers of its own
	tests/traffic/image.sh
	pytest -q tests/traffic

soak: ## seeding-test with 1 GB; ten minutes of 500 writes a second, asked every second, without a false alarm
	@$(MAKE) --no-print-directory seeding-test SEEDING_MEGABYTES=1000
	REPLTEST_ENGINES="$(ENGINES)" REPLTEST_SOAK=600 tools/integration -k no_false_alarm

drills: ## long drills on five nodes, on MySQL and on MariaDB: promotion by hand, switchover, reboots, upgrades, scaling, balancers and primaries that die (about four hours)
	@tools/setup
	@tools/setup tests
	ANSIBLE_NOCOLOR=1 NO_COLOR=1 tools/drills

test: ## set-up, lint, unit, sanity, molecule, real database servers
	@tools/setup
	@tools/setup tests
	@# Much of this waits for servers, while the rest computes.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=recurse lane-1 lane-2
	@$(MAKE) --no-print-directory lab-test

lane-1:
	@for target in lint galaxy unit sanity production-test; do $(MAKE) --no-print-directory $$target || exit; done

lane-2:
	@for target in integration traffic-test seeding-test; do $(MAKE) --no-print-directory $$target || exit; done

bench-verdict: setup ## times of the verdict and of comparing data, beside other tools, to docs/performance-verdict.md
	REPLTEST_ENGINES="$(filter-out mariadb1011,$(ENGINES))" tests/integration-db/images.sh
	REPLTEST_ENGINES="$(filter-out mariadb1011,$(ENGINES))" tools/bench-verdict

bench: setup ## wall times against plain apt and a bare ping, to docs/performance.md
	$(BESIDE) WEBSTACK_LAB_NET=172.30.81 MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule-bench \
	  ANSIBLE_CACHE_PLUGIN_CONNECTION=$(CURDIR)/.cache/facts-bench tools/bench
