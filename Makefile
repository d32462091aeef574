# What a developer of shipit runs. `make` alone lists it.
N = 1
SECONDS = 60
TESTFLAGS =
# The end-to-end tests mostly wait for hosts.
export RUST_TEST_THREADS ?= 6

.PHONY: help test torture demo hosts hosts-down static lint bench fuzz

help:
	@echo 'make test           all tests, with a test host booted for them and removed afterwards'
	@echo '                    (SHIPIT_TEST_HOST=user@host[:port]: against that machine instead)'
	@echo 'make torture        cuts, silences, kills and races a deploy everywhere; takes a quarter of an hour'
	@echo 'make demo           deploy the example service to a throwaway host and show what happens'
	@echo 'make hosts N=3      boot hosts to play with, and print how to reach them'
	@echo 'make hosts-down     remove them'
	@echo 'make fuzz SECONDS=60  feed every reader of foreign text for so long; TARGET=known_hosts: one of'
	@echo '                    them. Needs g++, and no cargo-fuzz'
	@echo 'make static         a static binary'
	@echo 'make lint           formatting, clippy, and shellcheck where it is installed'
	@echo 'make bench          the deploy benchmark'

test:
	@tests/hosts/prepare.sh
	cargo build --release --manifest-path examples/simple_api/Cargo.toml
	cargo test $(TESTFLAGS) --no-run
	@tests/hosts/with-hosts.sh cargo test $(TESTFLAGS)
	cargo test --manifest-path examples/simple_api/Cargo.toml

torture:
	@tests/hosts/prepare.sh
	cargo build --release --manifest-path examples/simple_api/Cargo.toml
	cargo test --test torture --no-run
	@tests/hosts/with-hosts.sh cargo test --test torture -- --ignored --nocapture --test-threads=1

demo:
	@tests/hosts/demo.sh

hosts:
	@tests/hosts/show.sh $(N)

hosts-down:
	@tests/hosts/hosts.sh down

static:
	@.ci/static

lint:
	@tests/hosts/prepare.sh
	cargo fmt --check
	cargo fmt --check --manifest-path examples/simple_api/Cargo.toml
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --manifest-path examples/simple_api/Cargo.toml -- -D warnings
	@if command -v shellcheck >/dev/null; then \
		shellcheck -x tests/hosts/*.sh .ci/* bench/*.sh examples/*/build.sh && \
		shellcheck -s sh -e SC2034,SC2154,SC2317 src/host/*.sh src/host/activation/*.sh; \
	else \
		echo 'shellcheck is not installed: shell scripts not checked'; \
	fi

bench:
	@tests/hosts/prepare.sh bench
	cargo build --release --manifest-path examples/simple_api/Cargo.toml
	cargo bench --no-run --bench deploy
	@tests/hosts/with-hosts.sh cargo bench --bench deploy

# What cargo-fuzz does, less the address sanitizer, for which it takes a nightly compiler; there is no unsafe code here.
COVERAGE = --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
MACHINE = $(shell rustc -vV | sed -n 's/^host: //p')

# One of fuzz/fuzz_targets; all of them, one after the other, where none is named.
TARGET =
FUZZED = $(or $(TARGET),$(sort $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))))

fuzz:
	RUSTFLAGS="$(COVERAGE)" cargo build --release --manifest-path fuzz/Cargo.toml --target $(MACHINE) --target-dir target/fuzz
	@for target in $(FUZZED); do \
		seeds=fuzz/seeds/$$target; \
		[ "$$target" != ssh_config ] || seeds="$$seeds tests/ssh_config/corpus"; \
		mkdir -p "target/fuzz/corpus/$$target" && \
		echo "== $$target" && \
		"target/fuzz/$(MACHINE)/release/$$target" -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -max_len=16000 \
			-print_final_stats=1 "-artifact_prefix=target/fuzz/$$target-" "target/fuzz/corpus/$$target" $$seeds || exit 1; \
	done
