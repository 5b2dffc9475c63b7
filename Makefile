# SPDX-License-Identifier: AGPL-3.0-or-later
# A thin front: meson builds, scripts do the rest.  `make help` lists it all.

BUILD ?= build/release
TEST_BUILD ?= build/test
DESTDIR ?=

.DEFAULT_GOAL := rel
.PHONY: rel run test bench fuzz soak format help clean bootstrap

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## install what is missing (Debian packages)
	@scripts/bootstrap

rel: bootstrap ## release build into rel/iorio/
	@scripts/release $(BUILD) rel/iorio

run: rel ## install, build, and run one node in the foreground
	@scripts/run rel/iorio

test: bootstrap ## every test of the everyday suite
	@scripts/test $(TEST_BUILD)

bench: rel ## ratios against the disk, the JSON parser, and Redis and nginx
	@scripts/bootstrap --bench
	@scripts/bench rel/iorio $(BUILD)

fuzz: ## every fuzz target for FUZZ_SECONDS each (30)
	@scripts/bootstrap --dev
	@scripts/fuzz

soak: bootstrap ## 100,000 requests of every kind: no leak, no growth
	@scripts/soak

format: ## clang-format over all C files
	@scripts/bootstrap --dev
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove builds and the release tree but its data
	rm -rf build rel/iorio/bin rel/iorio/sbin rel/iorio/share
