#!/usr/bin/env bash
# Has N hosts running and prints how to reach them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$here/prepare.sh"
hosts=$("$here/hosts.sh" up "${1:-1}")

field() { sed -n "s/^$2=//p" "$state_dir/$1.env"; }

snippet="    hosts:"
while read -r name ip _; do
    printf '\n%s, %s\n  ssh -i %s -o UserKnownHostsFile=%s root@%s\n' \
        "$name" "$ip" "$(field "$name" KEY)" "$(field "$name" KNOWN_HOSTS)" "$ip"
    snippet+=$'\n'"      - root@$ip"
done <<<"$hosts"
cat <<TEXT

For a manifest (with: --identity $(field "${hosts%% *}" KEY)):

environments:
  test:
$snippet

'make hosts-down' removes them.
TEXT
