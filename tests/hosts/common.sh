# Names and places that the scripts here share. Sourced, not run.
# shellcheck shell=bash disable=SC2034 # used by those who source it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(cd "$here/../.." && pwd -P)

# Eight hex digits that stand for this checkout. Everything a checkout makes on the machine carries them, so
# several checkouts can have hosts at the same time and each removes only its own.
checkout_id=$(printf '%s' "$checkout" | sha256sum | cut -c1-8)

run_dir=/run/shipit-test-hosts
state_dir=$run_dir/$checkout_id
cache_dir=${SHIPIT_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shipit-test-hosts}

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs this script again as root. The cache is settled before, since root has another home.
as_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || die "test hosts need root: run as root, or install sudo"
    exec sudo SHIPIT_TEST_CACHE="$cache_dir" bash "$0" "$@"
}
