#!/usr/bin/env bash
# Deploys the example service to a throwaway host: first, changed, and unchanged.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ -z "${SHIPIT_TEST_STATE:-}" ]; then
    "$here/prepare.sh"
    cd "$checkout"
    say "building shipit and the example service"
    cargo build --quiet --bin shipit
    cargo build --quiet --release --manifest-path examples/simple_api/Cargo.toml
    say "booting a throwaway Debian host"
    unset SHIPIT_TEST_HOST
    exec "$here/with-hosts.sh" "$0"
fi

field() { sed -n "s/^$1=//p" "$SHIPIT_TEST_STATE"; }
ip=$(field IP)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

target=$(realpath -m "${CARGO_TARGET_DIR:-$checkout/target}")
shipit() { HOME=$work "$target/debug/shipit" "$@"; }
on_host() { # USER KEY: runs the program on standard input there
    ssh -F none -i "$2" -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR \
        -o "UserKnownHostsFile=$(field KNOWN_HOSTS)" "$1@$ip" /bin/sh -s
}
ask() {
    say "asking the service: curl http://localhost:8000/ on the host"
    # shellcheck disable=SC2016 # expands on the host
    on_host deploy "$work/key" <<<'curl -sS --retry 10 --retry-connrefused --retry-delay 1 http://localhost:8000/; echo'
}

say "making an ordinary user there: deploy, with a key and passwordless sudo, without lingering"
ssh-keygen -q -t ed25519 -N '' -C demo -f "$work/key"
on_host root "$(field KEY)" <<TEXT
set -e
useradd --create-home --shell /bin/bash deploy
install -d -o deploy -g deploy -m 700 /home/deploy/.ssh
echo '$(cat "$work/key.pub")' >/home/deploy/.ssh/authorized_keys
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy
TEXT

cp -r "$checkout/examples/simple_api/deploy" "$checkout/examples/simple_api/deploy.yaml" "$work/"
mkdir -p "$work/target/release"
cp "$(realpath -m "${CARGO_TARGET_DIR:-$checkout/examples/simple_api/target}")/release/simple_api" "$work/target/release/"
sed -i "s/deploy@web1.example.com/deploy@$ip/" "$work/deploy.yaml"
deploy() { shipit deploy prod -f "$work/deploy.yaml" --identity "$work/key" --accept-new-host-keys; }

say "shipit deploy prod"
deploy
ask

say "moving: North Carolina -> Virginia in deploy/simple_api.conf, then shipit deploy prod"
sed -i 's/North Carolina/Virginia/' "$work/deploy/simple_api.conf"
deploy
ask

say "once more with nothing changed"
deploy

say "done; taking the host down"
