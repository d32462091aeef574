# Holds a service's lock for as long as its client lives. Runs in a channel of its own: the client writes one byte when
# it wants the lock, and then one every few seconds. End of file, or silence for $silence seconds, ends the program and
# with it the lock: flock(2) is let go by the kernel when the last descriptor is closed.
#
# Arguments: the service's name, seconds to wait for the lock, the silence in seconds, a line of JSON about the holder, a
# word that is this lock's alone. The last two are the lines of `lock.holder` for as long as the lock is held: a run
# begins only where its client's word still stands there.
# Output: "ready" and that word, which no start-up file of the login shell prints; then, once asked, "waiting HOLDER"
# while another holds it, and "locked CURRENT", "held HOLDER", "frozen HOLDER" or "unwritable".
root=$HOME/.local/share/shipit/$1
patience=$2
silence=$3
holder=$4
token=$5
umask 022

# One byte from the client. Descriptor 9 is the lock: no child may keep it.
byte() {
	timeout "$1" dd bs=1 count=1 2>/dev/null 9>&-
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
	printf 'ready %s\n' "$token"
	# No lock yet, so nothing is held up by a client that takes its time.
	[ "$(byte 86400)" = L ] || return
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
	printf '%s\n' "$holder" "$token" >"$root/lock.holder.new" && mv -fT "$root/lock.holder.new" "$root/lock.holder"
	printf 'locked %s\n' "$(readlink "$root/current" 2>/dev/null || echo -)"
	while [ -n "$(byte "$silence")" ]; do
		:
	done
	rm -f "$root/lock.holder"
}

{
	hold
	exit
}
