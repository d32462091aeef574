#!/usr/bin/env bash
# Test hosts: real Debian machines with systemd and sshd, each a systemd-nspawn container with its own network.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'TEXT'
usage: hosts.sh COMMAND

  up N               have N hosts running (those already up are kept), and show how to reach them
  boot [OPTION...]   start one more host, print the file that describes it
      --owner PID         the host may be swept once this process is gone
      --home-size SIZE    /home is a file system of this size (16m)
      --home-inodes N     /home holds at most N files
      --tree python       with Python, nginx and uWSGI
  list               the hosts of this checkout
  describe           the files that describe those hosts of 'up' that are running
  kill NAME          power cut
  start NAME         power on after a power cut
  reboot NAME        clean shutdown, then power on
  down [NAME...]     remove hosts (all of this checkout)
  sweep              remove what killed runs of this checkout left behind
TEXT
}

bridge=shipit-test
network=198.18.0
prefix=shipit-$checkout_id-
ready_within=60

# --- what is known of a host ---------------------------------------------------------------------------------

# The value of KEY in the description of host NAME.
field() { sed -n "s/^$2=//p" "$state_dir/$1.env" 2>/dev/null; }

set_field() { # NAME KEY VALUE
    local file=$state_dir/$1.env
    { grep -v "^$2=" "$file" || true; printf '%s=%s\n' "$2" "$3"; } >"$file.new"
    mv "$file.new" "$file"
}

# When a process started, in clock ticks since boot: with the pid it names one process for ever. Fails for one
# that has ended, even when nobody has asked for its exit status yet.
start_time() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the fields after the program's name, which may hold spaces
    set -- ${stat##*) }
    [ "$1" != Z ] && echo "${20}"
}

# Whether process PID is the systemd-nspawn of host NAME, by its command line.
runs_host() { # NAME PID
    local -a words=()
    { mapfile -d '' -t words <"/proc/$2/cmdline"; } 2>/dev/null || return 1
    [[ ${words[0]:-} == *systemd-nspawn ]] || return 1
    local i
    for ((i = 1; i < ${#words[@]}; i++)); do
        [ "${words[i]}" = "--machine=$1" ] && return 0
    done
    return 1
}

# The pid of the nspawn process of host NAME: the one on record when it still is that one.
running_pid() {
    local pid
    pid=$(field "$1" PID)
    [ -n "$pid" ] && [ "$(start_time "$pid" || true)" = "$(field "$1" START)" ] && runs_host "$1" "$pid" || return 1
    echo "$pid"
}

owner_is_gone() {
    local owner
    owner=$(field "$1" OWNER)
    [ -n "$owner" ] && [ "$(start_time "$owner" || true)" != "$(field "$1" OWNER_START)" ]
}

described_hosts() {
    local file
    for file in "$state_dir/$prefix"*.env; do
        [ -e "$file" ] && basename "$file" .env
    done
    return 0
}

# The interface of host NAME on this machine's side. At most 15 characters.
interface() { echo "sh$checkout_id.${1##*-}"; }

# Where cgroups can be made for host NAME: below every hierarchy of version 1, or in the one of version 2.
cgroups() {
    local root
    if [ -e /sys/fs/cgroup/cgroup.procs ]; then
        echo "/sys/fs/cgroup/$1"
    else
        for root in /sys/fs/cgroup/*/; do
            [ ! -L "${root%/}" ] && [ -e "$root/cgroup.procs" ] && echo "$root$1"
        done
    fi
    return 0
}

# --- making ---------------------------------------------------------------------------------------------------

take_lock() {
    mkdir -p "$run_dir/addresses" "$state_dir"
    exec 9>"$run_dir/lock"
    flock 9
}
drop_lock() { exec 9>&-; }

prepare_machine() {
    local limit=/proc/sys/fs/inotify/max_user_instances
    if [ "$(<$limit)" -lt 1024 ]; then
        say "raising fs.inotify.max_user_instances from $(<$limit) to 1024: each host's systemd needs some"
        echo 1024 >$limit
    fi
    if [ ! -e "$state_dir/root_key" ]; then
        ssh-keygen -q -t ed25519 -N '' -C "root of the test hosts" -f "$state_dir/root_key"
        [ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID" "$state_dir/root_key"
    fi
    [ -e "/sys/class/net/$bridge" ] && return
    if ip -4 -o addr show | grep -q " $network\."; then
        die "the network $network.0/24, which the test hosts use, is taken on this machine:
$(ip -4 -o addr show | grep " $network\.")"
    fi
    ip -batch - <<TEXT
link add $bridge type bridge forward_delay 0 stp_state 0
addr add $network.1/24 dev $bridge
link set $bridge up
TEXT
}

# Claims the first free address and prints its last number.
claim_address() { # NAME
    local n
    for n in {2..254}; do
        if (set -o noclobber && echo "$1" >"$run_dir/addresses/$n") 2>/dev/null; then
            echo "$n"
            return
        fi
    done
    die "all 253 addresses of $network.0/24 are in use (see $run_dir/addresses)"
}

make_disk() { # NAME TREE HOME_SIZE HOME_INODES
    local dir=$state_dir/$1 root=$state_dir/$1/root limits=
    mkdir -p "$dir/disk" "$root"
    # In memory: an overlay can't lie on every file system, and fsync costs nothing here.
    mount -t tmpfs -o size=4g,mode=755 "$1" "$dir/disk"
    mkdir "$dir/disk/upper" "$dir/disk/work"
    mount -t overlay -o "lowerdir=$2,upperdir=$dir/disk/upper,workdir=$dir/disk/work" "$1" "$root"
    if [ -n "$3$4" ]; then
        limits=mode=755${3:+,size=$3}${4:+,nr_inodes=$4}
        mount -t tmpfs -o "$limits" "$1" "$root/home"
    fi

    local kind
    for kind in ed25519 ecdsa; do
        ssh-keygen -q -t $kind -N '' -C "root@$1" -f "$root/etc/ssh/ssh_host_${kind}_key"
    done
    [ -d "$root/root/.ssh" ] || mkdir -m 700 "$root/root/.ssh"
    cp "$state_dir/root_key.pub" "$root/root/.ssh/authorized_keys"
    echo "$1" >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$1" >"$root/etc/hosts"
}

make_network() { # NAME IP
    local interface mac
    # Made from the address, so that nobody remembers the wrong one when an address is used again.
    mac=$(printf '02:00:c6:12:00:%02x' "${2##*.}")
    interface=$(interface "$1")
    ip netns add "$1"
    ip -batch - <<TEXT
link add $interface type veth peer name host0 address $mac netns $1
link set $interface master $bridge up
TEXT
    ip -n "$1" -batch - <<TEXT
addr add $2/24 dev host0
link set lo up
link set host0 up
TEXT
}

# Becomes the systemd-nspawn of host NAME. Each host has cgroups of its own: two systemds in one would fight.
become_nspawn() {
    local scope=() cgroup
    if [ -d /run/systemd/system ]; then
        scope=(systemd-run --quiet --scope --collect "--unit=$1" --property=Delegate=yes)
    else
        for cgroup in $(cgroups "$1"); do
            { mkdir -p "$cgroup" && echo $BASHPID >"$cgroup/cgroup.procs"; } 2>/dev/null || true
        done
    fi
    exec setsid "${scope[@]}" systemd-nspawn --quiet "--machine=$1" --directory="$state_dir/$1/root" \
        --register=no --keep-unit --network-namespace-path="/run/netns/$1" --kill-signal=SIGRTMIN+3 \
        --resolv-conf=off --timezone=off --link-journal=no --console=read-only --boot
}

power_on() { # NAME
    become_nspawn "$1" </dev/null >>"$state_dir/$1/console.log" 2>&1 9>&- &
    local pid=$!
    set_field "$1" START "$(start_time $pid)"
    set_field "$1" PID $pid
    set_field "$1" POWER on
    # The record holds once the process has become nspawn.
    while kill -0 $pid 2>/dev/null && ! runs_host "$1" $pid; do sleep 0.01; done
}

# Makes and starts one host; prints its name. The lock is held.
create() { # TREE OWNER HOME_SIZE HOME_INODES
    local number=1 name address key
    while [ -e "$state_dir/$prefix$number.env" ]; do number=$((number + 1)); done
    name=$prefix$number
    address=$(claim_address "$name")
    cat >"$state_dir/$name.env" <<TEXT
NAME=$name
IP=$network.$address
PORT=22
KEY=$state_dir/root_key
KNOWN_HOSTS=$state_dir/$name.known_hosts
OWNER=$2
OWNER_START=${2:+$(start_time "$2" || true)}
TEXT
    make_disk "$name" "$1" "$3" "$4"
    key=$(cut -d' ' -f1,2 "$state_dir/$name/root/etc/ssh/ssh_host_ed25519_key.pub")
    set_field "$name" HOST_KEY "$key"
    for key in "$state_dir/$name/root/etc/ssh/"ssh_host_*_key.pub; do
        printf '%s %s\n' "$network.$address" "$(cut -d' ' -f1,2 "$key")"
    done >"$state_dir/$name.known_hosts"
    make_network "$name" "$network.$address"
    power_on "$name"
    echo "$name"
}

as_root_of() { # NAME COMMAND
    ssh -F none -i "$state_dir/root_key" -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=5 \
        -o "UserKnownHostsFile=$state_dir/$1.known_hosts" -o GlobalKnownHostsFile=none -o LogLevel=ERROR \
        "root@$(field "$1" IP)" "$2"
}

# Waits until host NAME has finished booting.
wait_ready() {
    local ip state
    ip=$(field "$1" IP)
    local deadline=$((SECONDS + ready_within))
    until timeout 1 bash -c ": </dev/tcp/$ip/22" 2>/dev/null; do
        if [ $SECONDS -ge $deadline ] || ! running_pid "$1" >/dev/null; then
            tail -n 15 "$state_dir/$1/console.log" >&2 || true
            die "host $1 did not boot; the end of its console is above"
        fi
        sleep 0.05
    done
    state=$(as_root_of "$1" "timeout $ready_within systemctl is-system-running --wait") || true
    case $state in
        running) ;;
        degraded)
            warn "host $1 is up, but some of its units failed:"
            as_root_of "$1" 'systemctl --failed --no-legend --plain' >&2
            ;;
        *) die "host $1 did not finish booting: systemctl is-system-running says '$state'" ;;
    esac
}

# --- removing -------------------------------------------------------------------------------------------------

# Ends all processes of host NAME at once, as a power cut does.
cut_power() {
    local pid child cgroup
    if pid=$(running_pid "$1"); then
        # When the host's init dies, the kernel ends all its processes, and nspawn clears up and exits.
        { tr ' ' '\n' <"/proc/$pid/task/$pid/children" || true; } 2>/dev/null | while read -r child; do
            kill -KILL "$child" 2>/dev/null || true
        done
        wait_gone "$1" "$pid" 100 || kill -KILL "$pid" 2>/dev/null || true
        wait_gone "$1" "$pid" 100 || true
    fi
    # What is left: an nspawn without a record, and whatever sits in the scope or cgroups that carry the host's name.
    [ ! -d /run/systemd/system ] || systemctl kill --signal=KILL "$1.scope" 2>/dev/null || true
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        runs_host "$1" "$pid" && kill -KILL "$pid" 2>/dev/null
    done
    for cgroup in $(cgroups "$1"); do
        [ -d "$cgroup" ] || continue
        find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r pid; do
            [ "$pid" -gt 1 ] && kill -KILL "$pid" 2>/dev/null
        done
    done
    return 0
}

wait_gone() { # NAME PID HUNDREDTHS
    local i
    for ((i = 0; i < $3; i++)); do
        runs_host "$1" "$2" || return 0
        sleep 0.01
    done
    return 1
}

# Removes all that host NAME has on this machine, whatever of it is there. The lock is held.
remove() {
    local name=$1 dir=$state_dir/$1 interface path cgroup try
    [[ $name == "$prefix"* && $name != */* ]] || die "$name is not a host of this checkout"
    cut_power "$name"
    interface=$(interface "$name")
    [ ! -e "/sys/class/net/$interface" ] || ip link del "$interface"
    [ ! -e "/run/netns/$name" ] || ip netns del "$name" 2>/dev/null || rm -f "/run/netns/$name"
    if [ -d "$dir/root" ]; then
        # nspawn's lock on the tree; it stays when nspawn is killed
        rm -f "/run/systemd/nspawn/locks/inode-$(stat -c %d:%i "$dir/root")"
        for path in "$dir/root/home" "$dir/root" "$dir/disk"; do
            for try in {1..50}; do
                mountpoint -q "$path" || break
                umount "$path" 2>/dev/null || sleep 0.02
                [ "$try" -lt 50 ] || umount --lazy "$path"
            done
        done
    fi
    for path in /run/systemd/nspawn/propagate/$name /run/systemd/nspawn/unix-export/$name; do
        mountpoint -q "$path" && umount --lazy "$path"
        rm -rf --one-file-system "$path"
    done
    for cgroup in $(cgroups "$name"); do
        for try in {1..50}; do
            [ -d "$cgroup" ] || break
            find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.02
        done
    done
    rm -rf --one-file-system "$dir"
    { grep -lx "$name" "$run_dir/addresses/"* 2>/dev/null || true; } | xargs -r rm -f
    rm -f "$state_dir/$name.known_hosts" "$state_dir/$name.env" "$state_dir/$name.env.new"
}

# Removes what belongs to no host: this checkout's folder, and the bridge when no interface is left on it.
remove_shared() {
    if [ -z "$(described_hosts)" ]; then rm -rf --one-file-system "$state_dir"; fi
    if [ -d "/sys/class/net/$bridge/brif" ] && [ -z "$(ls "/sys/class/net/$bridge/brif")" ]; then
        ip link del "$bridge"
    fi
}

# Names with this checkout's prefix that turn up anywhere on this machine.
traces() {
    {
        described_hosts
        ls /run/netns /run/systemd/nspawn/propagate /run/systemd/nspawn/unix-export 2>/dev/null
        cat "$run_dir/addresses/"* 2>/dev/null
        find "$state_dir" /sys/fs/cgroup -maxdepth 2 -type d -name "$prefix*" -printf '%f\n' 2>/dev/null
        find /sys/class/net -name "sh$checkout_id.*" -printf '%f\n' | sed "s/^sh$checkout_id\./$prefix/"
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | sed -n 's/^--machine=//p'
    } | grep -xE "${prefix}[0-9]+" | sort -u
}

# Removes the hosts that nobody owns any more and those that died. The lock is held.
sweep() {
    local name
    for name in $(traces || true); do
        if [ -e "$state_dir/$name.env" ] && ! owner_is_gone "$name"; then
            running_pid "$name" >/dev/null && continue
            [ "$(field "$name" POWER)" = off ] && continue
        fi
        say "removing what is left of host $name"
        remove "$name"
    done
}

# --- commands -------------------------------------------------------------------------------------------------

known() {
    [ -e "$state_dir/${1:-?}.env" ] || die "there is no host '${1:-}'; 'hosts.sh list' names them"
}

show() { # NAME
    local state=off
    running_pid "$1" >/dev/null && state=running
    printf '%s  %s  %s\n' "$1" "$(field "$1" IP)" "$state"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    up | boot | kill | start | reboot | down | sweep) as_root "$command" "$@" ;;
esac
case $command in
    up)
        count=${1:-1}
        [[ $count =~ ^[1-9][0-9]*$ ]] || die "how many hosts? 'hosts.sh up 3'"
        tree=$("$here/tree.sh")
        take_lock
        sweep
        prepare_machine
        names=()
        for name in $(described_hosts); do
            [ -n "$(field "$name" OWNER)" ] || names+=("$name")
        done
        while [ ${#names[@]} -lt "$count" ]; do
            name=$(create "$tree" "" "" "")
            names+=("$name")
        done
        drop_lock
        waits=()
        for name in "${names[@]}"; do
            [ "$(field "$name" POWER)" = off ] && continue
            wait_ready "$name" &
            waits+=($!)
        done
        for wait in "${waits[@]}"; do wait "$wait"; done
        for name in "${names[@]}"; do show "$name"; done
        ;;
    boot)
        owner='' home_size='' home_inodes='' flavour=usual
        while [ $# -gt 0 ]; do
            case $1 in
                --owner) owner=$2 ;;
                --home-size) home_size=$2 ;;
                --home-inodes) home_inodes=$2 ;;
                --tree) flavour=$2 ;;
                *) die "unknown option $1" ;;
            esac
            shift 2
        done
        tree=$("$here/tree.sh" "$flavour")
        take_lock
        sweep
        prepare_machine
        name=$(create "$tree" "$owner" "$home_size" "$home_inodes")
        drop_lock
        wait_ready "$name"
        echo "$state_dir/$name.env"
        ;;
    list)
        for name in $(described_hosts); do show "$name"; done
        ;;
    describe)
        for name in $(described_hosts); do
            [ -n "$(field "$name" OWNER)" ] && continue
            running_pid "$name" >/dev/null && echo "$state_dir/$name.env"
        done
        ;;
    kill)
        known "${1:-}"
        take_lock
        set_field "$1" POWER off
        cut_power "$1"
        ;;
    start)
        known "${1:-}"
        take_lock
        running_pid "$1" >/dev/null || power_on "$1"
        drop_lock
        wait_ready "$1"
        ;;
    reboot)
        known "${1:-}"
        take_lock
        if pid=$(running_pid "$1"); then
            set_field "$1" POWER off
            kill -TERM "$pid"
            wait_gone "$1" "$pid" 3000 || cut_power "$1"
        fi
        power_on "$1"
        drop_lock
        wait_ready "$1"
        ;;
    down)
        take_lock
        if [ $# -gt 0 ]; then
            for name; do remove "$name"; done
        else
            for name in $(traces || true); do remove "$name"; done
        fi
        remove_shared
        ;;
    sweep)
        take_lock
        sweep
        remove_shared
        ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
