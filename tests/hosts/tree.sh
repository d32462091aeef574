#!/usr/bin/env bash
# Builds the Debian tree that the test hosts boot from, once, and prints its path.
#
# tree.sh          the usual one: what a host needs for shipit, and odd accounts
# tree.sh python   one for the services in examples/ that are written in Python
#
# The tree is kept outside the repository, in a folder named after the hash of this file: a changed recipe makes
# a new tree, and a finished tree is never written to again (hosts get an overlay on top of it).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
as_root "$@"

suite=bookworm
packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,openssh-server,sudo,iproute2,rsync,curl,procps
# For accounts and hosts that are not as usual.
packages+=,fish,tcsh,zsh,opendoas,dropbear-bin,locales
flavour=${1:-usual}
case $flavour in
    usual) ;;
    # The last two are what PyInstaller wants, which makes a program into one file there.
    python) packages+=,python3,python3-venv,nginx-light,uwsgi-core,uwsgi-plugin-python3,logrotate,binutils,libpython3.11 ;;
    *) die "no such tree: $flavour" ;;
esac
recipe=$(sha256sum <"$here/tree.sh" | cut -c1-12)
[ "$flavour" = usual ] || recipe+=-$flavour
tree=$cache_dir/$suite-$recipe

if [ -d "$tree" ]; then
    echo "$tree"
    exit
fi

# Prints "URI KEYRING" of the first Debian archive that this machine's apt uses (the keyring may be missing).
# `apt-get indextargets` knows all source formats; without package lists it does not know the origin, so the
# address has to tell.
configured_archive() {
    # shellcheck disable=SC2016 # apt expands these
    apt-get indextargets --format '$(COMPONENT) $(ORIGIN) $(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "main" {
            uri = ""; key = ""
            for (i = 2; i <= NF; i++) {
                if ($i ~ /:\/\//) uri = $i
                else if ($i ~ /^\/.*\.(gpg|asc)$/) key = $i
            }
            if (uri ~ /\/debian\/$/) { print uri, key; exit }
        }'
}

read -r mirror keyring <<<"$(configured_archive || true)" || true
mirror=${SHIPIT_TEST_MIRROR:-${mirror:-http://deb.debian.org/debian/}}
keyring=${SHIPIT_TEST_KEYRING:-${keyring:-/usr/share/keyrings/debian-archive-keyring.gpg}}
case $mirror in
    http://* | https://* | file:/* | copy:/*) ;;
    *) mirror=http://deb.debian.org/debian/ ;; # mirror+file:, tor: and the like are beyond debootstrap
esac
[ -r "$keyring" ] || die "no Debian archive keyring at $keyring
  Install the package debian-archive-keyring, or set SHIPIT_TEST_KEYRING to the right file."

# debootstrap fetches with wget, which reads proxies from the environment only.
if [ -z "${http_proxy:-}" ]; then
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    case ${http_proxy:-} in http*) export http_proxy ;; *) unset http_proxy ;; esac
fi

mkdir -p "$cache_dir"
exec 9>"$cache_dir/lock"
flock 9 # another checkout may be building the same tree: then it is there when the lock is ours
if [ -d "$tree" ]; then
    echo "$tree"
    exit
fi

building=$(mktemp -d "$cache_dir/building.XXXXXX")
log=$cache_dir/$suite-$recipe.log
finished=
cleanup() {
    umount -q "$building/proc" "$building/sys" 2>/dev/null || true
    rm -rf --one-file-system "$building"
    [ -n "$finished" ] || printf 'error: the tree could not be built; the end of %s:\n%s\n' "$log" "$(tail -n 15 "$log")" >&2
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Left by a build that was killed. Nobody else is building: the lock is ours.
for old in "$cache_dir"/building.*; do
    [ "$old" = "$building" ] && continue
    umount -q "$old/proc" "$old/sys" 2>/dev/null || true
    rm -rf --one-file-system "$old"
done

say "building the Debian tree of the test hosts (about a minute, once; kept in $cache_dir)"
chmod 755 "$building"
debootstrap --variant=minbase --keyring="$keyring" --include="$packages" \
    "$suite" "$building" "$mirror" >"$log" 2>&1

in_tree() { chroot "$building" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@" >>"$log" 2>&1; }

# Nothing of one host may be shared by all of them.
rm -f "$building"/etc/ssh/ssh_host_*
: >"$building/etc/machine-id"
rm -f "$building/var/lib/dbus/machine-id"

# Masked: what fails in a container, and what runs at odd times or makes the boot slower.
in_tree systemctl mask \
    systemd-remount-fs.service systemd-firstboot.service systemd-pstore.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
    ldconfig.service e2scrub_reap.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer \
    apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
    console-getty.service getty.target getty-static.service systemd-ask-password-wall.path \
    systemd-ask-password-console.path sys-kernel-debug.mount sys-kernel-tracing.mount
in_tree systemctl enable ssh.service
in_tree systemctl set-default multi-user.target

# Only a journal on disk is split by user, and only a split journal can be read by an ordinary user.
mkdir -p "$building/var/log/journal" "$building/etc/systemd/journald.conf.d"
cat >"$building/etc/systemd/journald.conf.d/test-host.conf" <<'CONF'
[Journal]
Storage=persistent
SystemMaxUse=2G
SystemMaxFileSize=1M
SystemMaxFiles=100000
RateLimitIntervalSec=0
CONF

# Many test threads connect at once.
cat >"$building/etc/ssh/sshd_config.d/test-host.conf" <<'CONF'
MaxStartups 500:30:1000
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
CONF

if [ "$flavour" = usual ]; then
    # fish wants it for its manual's sake; a host needs no Python, and the tests are to show that.
    # shellcheck disable=SC2016 # dpkg-query expands it
    mapfile -t python < <(chroot "$building" dpkg-query -W -f '${Package}\n' '*python3*' 2>/dev/null)
    in_tree dpkg --force-depends --purge "${python[@]}"
else
    # Nothing of theirs runs unless somebody deploys it.
    in_tree systemctl disable nginx.service
    in_tree systemctl mask logrotate.timer
fi

# A host that speaks German.
in_tree localedef -i de_DE -f UTF-8 de_DE.UTF-8
find "$building/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name de -exec rm -rf {} +

rm -rf "$building"/var/cache/apt/archives/*.deb "$building"/var/lib/apt/lists/* "$building"/usr/share/doc \
    "$building"/usr/share/man "$building"/usr/share/i18n
mkdir -p "$building/var/lib/apt/lists/partial"
: >"$building/etc/resolv.conf"

mv -T "$building" "$tree"
finished=yes
echo "$tree"
