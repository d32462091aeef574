#!/usr/bin/env bash
# Installs what the tests need on a Debian or Ubuntu machine, and nothing when it is all there.
set -euo pipefail

missing=()
reasons=()
need() { # PROGRAM PACKAGE REASON
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null && return
    missing+=("$2")
    reasons+=("$(printf '  %-24s %s' "$2" "$3")")
}

if ! command -v cargo >/dev/null; then
    cat >&2 <<'TEXT'
error: there is no cargo on this machine
  shipit is built with Rust. Install it from https://rustup.rs, open a new shell, and try again.
TEXT
    exit 1
fi

need cc gcc "linker for Rust programs"
if [ -z "${SHIPIT_TEST_HOST:-}" ]; then
    need systemd-nspawn systemd-container "boots the test hosts"
    need debootstrap debootstrap "makes the Debian tree they boot from"
    need wget wget "debootstrap downloads with it"
    need ip iproute2 "gives each test host its own network"
    [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        need debian-archive-keyring debian-archive-keyring "the keys that Debian packages are checked with"
    [ "${1:-}" = bench ] || need pip3 python3-pip "fetches what examples/simple_api_python is made of"
fi
need ssh openssh-client "ssh and ssh-keygen log in to the hosts"
need flock util-linux "keeps two test runs out of each other's way"
[ "${1:-}" != bench ] || need rsync rsync "what the benchmark's shell script sends files with"

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    printf 'error: these are missing, and this is not a Debian or Ubuntu machine with apt-get:\n' >&2
    printf '%s\n' "${reasons[@]}" >&2
    exit 1
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        printf 'error: packages are missing; run as root: apt-get install %s\n' "${missing[*]}" >&2
        exit 1
    }
    sudo=(sudo)
fi

printf '==> installing with apt-get%s:\n' "${sudo:+ (through sudo)}" >&2
printf '%s\n' "${reasons[@]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    printf 'error: apt-get could not install %s (its last lines are above)\n' "${missing[*]}" >&2
    exit 1
fi
