#!/usr/bin/env bash
# Runs a command with a test host up, and takes the host down again however the command ends.
#
# The command finds the host through SHIPIT_TEST_STATE, the file that describes it. With SHIPIT_TEST_HOST=user@host
# no host is booted: the command is to use that machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -gt 0 ] || die "usage: with-hosts.sh COMMAND [ARGUMENT...]"
"$here/prepare.sh"
if [ -n "${SHIPIT_TEST_HOST:-}" ]; then
    exec "$@"
fi

child=
# shellcheck disable=SC2317 # called by the trap
take_down() {
    set +e
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill -TERM -- "-$child" 2>/dev/null && wait "$child" 2>/dev/null
    fi
    [ -z "${SHIPIT_TEST_STATE:-}" ] || "$here/hosts.sh" down "$(basename "$SHIPIT_TEST_STATE" .env)"
    "$here/hosts.sh" sweep
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

SHIPIT_TEST_STATE=$("$here/hosts.sh" boot --owner $$)
export SHIPIT_TEST_STATE

# In a process group of its own, in the background: a signal to this script is then acted upon at once, and ends
# the command with all that it started.
set -m
"$@" &
child=$!
set +m
code=0
wait "$child" || code=$?
child=
exit "$code"
