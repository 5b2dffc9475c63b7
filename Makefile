# SPDX-License-Identifier: AGPL-3.0-or-later
# A thin front: meson builds, scripts do the rest.  `make help` lists it all.

BUILD ?= build/release
TEST_BUILD ?= build/test
DESTDIR ?=
PREFIX ?= /usr/local
export DEVNODES ?= 4

.DEFAULT_GOAL := rel
.PHONY: rel run install test test-extra test-mutants sim-hunt coverage bench fuzz soak format help clean bootstrap
.PHONY: devrel devrel-start devrel-ping devrel-join devrel-status \
	devrel-cluster-plan devrel-cluster-commit devrel-stop devrelclean newdevrel

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## install what is missing (Debian packages)
	@scripts/bootstrap

rel: bootstrap ## release build into rel/iorio/
	@scripts/release $(BUILD) rel/iorio

run: rel ## install, build, and run one node in the foreground
	@scripts/run rel/iorio

install: ## into the system, with a systemd unit (sudo; PREFIX, DESTDIR)
	@[ -x $(BUILD)/src/node/ioriod ] || scripts/release $(BUILD) rel/iorio
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) scripts/install $(BUILD)

devrel: rel ## DEVNODES (4) release trees dev/dev1 ... for a cluster here
	@scripts/devrel lay $(BUILD)

devrel-start: ## start all nodes of dev/
	@scripts/devrel start

devrel-ping: ## ask all nodes of dev/ whether they are there
	@scripts/devrel ping

devrel-join: ## all nodes of dev/ but the first ask to join it
	@scripts/devrel join

devrel-status: ## who is a member, and how much each owns
	@scripts/devrel admin member-status

devrel-cluster-plan: ## what a commit would do
	@scripts/devrel admin cluster plan

devrel-cluster-commit: ## do what was planned
	@scripts/devrel admin cluster commit

devrel-stop: ## stop all nodes of dev/
	@scripts/devrel stop

devrelclean: ## stop them and remove dev/ with all its data
	@scripts/devrel clean

newdevrel: devrelclean devrel ## devrel without any data

test: bootstrap ## every test of the everyday suite
	@scripts/test $(TEST_BUILD)

test-extra: bootstrap ## clusters that lose nodes and links, for CLUSTER_ROUNDS (10); nginx, HAProxy
	@scripts/bootstrap --extra
	@CLUSTER_ROUNDS=$${CLUSTER_ROUNDS:-10} scripts/test-extra $(TEST_BUILD)

bench: rel ## ratios against the disk, the JSON parser, and Redis and nginx
	@scripts/bootstrap --bench
	@scripts/bench rel/iorio $(BUILD)

fuzz: ## every fuzz target for FUZZ_SECONDS each (30)
	@scripts/bootstrap --dev
	@scripts/fuzz

test-mutants: bootstrap ## does each simulator find each bug it should? (5,000 seeds)
	@scripts/build-sims $(TEST_BUILD) mutants
	@nice scripts/test-mutants $(TEST_BUILD)/tests/sim/sim_raft_mutants
	@nice scripts/test-mutants $(TEST_BUILD)/tests/world/sim_node_mutants
	@nice scripts/test-mutants $(TEST_BUILD)/tests/world/sim_cluster_mutants

sim-hunt: bootstrap ## new seeds in all simulators, for SIM_SECONDS (3600)
	@scripts/sim-hunt

coverage: ## branches of src/consensus that units and simulator take: 95 %
	@scripts/bootstrap --dev
	@scripts/coverage

soak: bootstrap ## 100,000 requests of every kind: no leak, no growth
	@scripts/soak

format: ## clang-format over all C files
	@scripts/bootstrap --dev
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove builds and the release tree but its data
	rm -rf build rel/iorio/bin rel/iorio/sbin rel/iorio/share
