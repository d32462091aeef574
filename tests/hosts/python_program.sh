#!/usr/bin/env bash
# Builds an example that is a Python program in one executable, and prints the path of the executable.
#
# python_program.sh FOLDER     its build.sh makes dist/NAME of its *.py and what its requirements.txt names
#
# It is built inside the Debian tree that the test hosts boot from, since such an executable wants a C library as new as the
# one it was built with. There is no network in there: pip on this machine fetches the packages, from wherever it is
# configured to. What is made is kept beside the trees, named after the hash of all that it was made of.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(cd "$1" && pwd -P)
packages=${2:-}
tree=$("$here/tree.sh" python)
sources() { printf '%s\n' build.sh requirements.txt; (cd "$folder" && ls -- *.py); }
made_of=$(cd "$folder" && sources | xargs -d '\n' sha256sum --)
key=$(printf '%s\n' "$made_of" "$tree" "$(sha256sum <"$here/python_program.sh")" | sha256sum | cut -c1-12)
program=$cache_dir/program-$key

if [ -x "$program" ]; then
    echo "$program"
    exit
fi

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Before this script is run again as root, whose pip may be configured in another way. No wheel's needs are looked at: pip
# would think of the Python that runs it.
if [ -z "$packages" ]; then
    packages=$work/packages
    say "fetching the packages of $(basename "$folder") with pip"
    machine=$(uname -m)
    pip3 download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp --python-version 3.11 \
        --abi cp311 --abi abi3 --abi none --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --dest "$packages" --requirement "$folder/requirements.txt" >"$work/log" 2>&1 || {
        tail -n 15 "$work/log" >&2
        die "pip could not fetch what $folder/requirements.txt names; its last lines are above"
    }
    if [ "$(id -u)" -ne 0 ]; then
        (as_root "$folder" "$packages")
        exit
    fi
fi

mkdir -p "$cache_dir"
exec 9>"$cache_dir/program.lock"
flock 9 # another checkout may be building the same
if [ -x "$program" ]; then
    echo "$program"
    exit
fi

say "building $(basename "$folder") in the Debian tree (half a minute; kept in $cache_dir)"
mkdir "$work/source"
(cd "$folder" && sources | xargs -d '\n' cp -t "$work/source" --)
systemd-nspawn --quiet --machine="program-$key" --directory="$tree" --volatile=overlay --register=no --keep-unit \
    --private-network --resolv-conf=off --timezone=off --link-journal=no --as-pid2 \
    --bind="$work/source:/source" --bind-ro="$packages:/packages" \
    --setenv=PIP_NO_INDEX=1 --setenv=PIP_FIND_LINKS=/packages /source/build.sh </dev/null >"$work/log" 2>&1 9>&- || {
    tail -n 15 "$work/log" >&2
    die "build.sh failed; its last lines are above"
}
install -m 755 "$work/source/dist"/* "$program.new"
mv -T "$program.new" "$program"
echo "$program"
