# Holds a service's lock for as long as its client lives. Runs in a channel of its own: the client writes one byte when
# it wants the lock, and then one every few seconds. End of file, or silence for $silence seconds, ends the program and
# with it the lock: flock(2) is let go by the kernel when the last descriptor is closed.
#
# It is the one on the host who hears that the client is gone, so it tells the client's run: at the end of file at once,
# in a silence when that has lasted as long as the run waits for its word.
#
# Arguments: the scope, the service's root, seconds to wait for the lock, the silence in seconds, a line of JSON about the holder, the
# id of the client's run, how many seconds it waits for its word. Holder and id are the lines of `lock.holder` for as
# long as the lock is held: a run begins only where its own id still stands there.
# Output: "ready" and that id, which no start-up file of the login shell prints; then, once asked, "waiting HOLDER" while
# another holds it, and "locked CURRENT", "held HOLDER", "frozen HOLDER" or "unwritable".
scope=$1
users_units=
login_home=${SHIPIT_LOGIN_HOME:-$HOME}
expand_home "$2"
root=$path
patience=$3
silence=$4
holder=$5
run=$root/runs/$6
deadline=$7
umask 022

# Waits for one byte from the client. Descriptor 9 is the lock: no child may keep it. Sets $heard: byte, end or silence.
hear() { # seconds
	heard=$(timeout "$1" dd bs=1 count=1 2>/dev/null 9>&-)
	case $?:$heard in
	124:*) heard=silence ;;
	*:) heard=end ;;
	*) heard=byte ;;
	esac
	[ "$heard" = byte ]
}

# The one who has just got the lock has not said who it is yet; that takes a moment.
holder_now() {
	tries=0
	until [ -s "$root/lock.holder" ] || [ "$tries" = 20 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	who=
	IFS= read -r who 2>/dev/null <"$root/lock.holder"
	printf '%s' "$who"
}

wait_for_lock() { # holder
	if [ "$patience" = 0 ]; then
		printf 'held %s\n' "$1"
		return 1
	fi
	printf 'waiting %s\n' "$1"
	if ! flock -w "$patience" 9; then
		printf 'held %s\n' "$(holder_now)"
		return 1
	fi
}

hold() {
	printf 'ready %s\n' "${run##*/}"
	# No lock yet, so nothing is held up by a client that takes its time.
	hear 86400 || return
	if ! { [ -d "$root" ] || mkdir -p "$root"; } 2>/dev/null || ! { true >>"$root/lock"; } 2>/dev/null; then
		echo unwritable
		return
	fi
	exec 9>>"$root/lock"
	if ! flock -n 9; then
		who=$(holder_now)
		# Without a name it was one who only looked, for a moment.
		if [ -n "$who" ] || ! flock -n 9; then
			wait_for_lock "$who" || return
		fi
	fi
	if [ -e "$root/freeze" ]; then
		printf 'frozen %s\n' "$(cat "$root/freeze")"
		return
	fi
	if ! printf '%s\n' "$holder" "${run##*/}" >"$root/lock.holder.new" ||
		! mv -fT "$root/lock.holder.new" "$root/lock.holder"; then
		echo unwritable
		return
	fi
	printf 'locked %s\n' "$(readlink "$root/current" 2>/dev/null || echo -)"
	# logind may end the processes of a session that is over (KillUserProcesses=, logind.conf(5)).
	trap : HUP TERM
	trap '' PIPE
	while hear "$silence"; do
		:
	done
	rm -f "$root/lock.holder"
	exec 9>&-
	leave_run
}

# The lock is free, and the client's run may not be over.
leave_run() {
	XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
	export XDG_RUNTIME_DIR
	if [ "$heard" = silence ] && [ "$deadline" -gt "$silence" ]; then
		left=$((deadline - silence))
		# It may be heard of again, without the lock.
		while hear "$left"; do
			left=$deadline
		done
	fi
	hang_up "$run"
}

{
	hold
	exit
}
