# The session's part: the run's folder, its start, its log, its word.

# Makes the run's folder. From here on it is pending: what is done is undone, by the session, by the run, at the next
# boot or by the next one who comes.
begin_run() { # program
	# A client that was silent for too long has lost its lock, and may not know yet.
	holds=
	{ read -r _ && read -r holds; } 2>/dev/null <"$root/lock.holder"
	if [ "$holds" != "$run_id" ]; then
		say unlocked
		exit 1
	fi
	[ -d "$root/releases" ] && [ -d "$root/runs" ] || mkdir -p "$root/releases" "$root/runs" || return
	# Whoever makes the folder has the run: a client that has lost its connection makes it, so that a run that had not
	# begun never does (run_state in outcome.rs).
	mkdir -m 700 "$run" || refuse "the run was given up before it began, or its folder could not be made$(no_room)"
	# The session's shell has both texts (library.rs).
	printf '%s\n' "known_uid=$uid" "scope=$scope" "users_units='$users_units'" "$(login)" "$prelude" "$activation" "$1" \
		>"$run/program" || return
	# Not `:`: a redirection that fails ends a POSIX shell with a special builtin.
	true >"$run/undo" || return
	# A file with something in it has room for a little more where the disk is full by then.
	printf 'run %s\n' "$run_id" >"$run/log" || return
	mkfifo -m 600 "$run/decision" || return
	printf 'preparing\n' >"$run/state" || return
	for state in pending committed reverted revert_failed; do
		printf '%s\n' "$state" >"$run/state.$state" || return
	done
	# Without -f: while there is another run that is not over, this one does not begin.
	ln -sT "runs/$run_id" "$root/pending" || return
	# What goes back after a power cut must be there then: nothing is done before this.
	sync "$run/program" "$run/state" "$run"/state.* "$run" "$root/runs" "$root"
}

# A unit of the system's has nothing in its environment of who logged in.
login() {
	[ "$scope" = system ] || return 0
	quote "${login_home:-$HOME}"
	printf '%s\n' "login_home=$quoted"
	quote "${login_user:-}"
	printf '%s\n' "login_user=$quoted"
}

# Sets $quoted to a text as one word of a shell.
quote() { # text
	quoted=$1
	case $quoted in
	*\'*) quoted=$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g") ;;
	esac
	quoted="'$quoted'"
}

# What the unit will want at hand: made beside the rest, since it takes a while to ask the service manager.
make_ready() {
	{
		ln -sT "releases/$release" "$run/after"
		[ "$expected" = - ] || ln -sT "$expected" "$run/before"
		# shellcheck disable=SC2086 # names of units have no spaces
		service_manager show -p Id,ActiveState -- $units >"$run/units"
		forget_starts
		sweep_runs
		trim_history
	} 2>/dev/null &
	readying=$!
}

# Deploys count as starts, and one too many in a short time would be refused (systemd.unit(5), StartLimitBurst=); a socket
# fails with its service. Of units that are up, this changes nothing else.
forget_starts() {
	up=
	for unit in $units; do
		unit_state "$unit"
		[ "$state" != active ] || up="$up $unit"
	done
	# shellcheck disable=SC2086 # names of units have no spaces
	[ -z "$up" ] || service_manager reset-failed -- $up
}

# Starts the run's program as a unit of its own, and hands on its log up to its next stop.
launch() {
	wait "$readying"
	say log || heard_of_nobody
	transient_unit --quiet --collect --unit="shipit-$run_id" \
		--description="shipit: activation of $service" /bin/sh "$run/program" run || {
		# It may have been, while nothing was heard of it. A run that has not begun by now never will.
		if mv -fT "$run/state.pending" "$run/gone"; then
			echo "the activation could not be started" >&2
			give_up "the activation could not be started"
		fi
	}
	follow 1
}

# Hands on the log from a line on, until the run waits for a word or is over.
follow() { # from-line
	# The run's first deed is to write this, but for starting a shell.
	pid=
	tries=0
	until read -r pid 2>/dev/null <"$run/pid"; do
		tries=$((tries + 1))
		if [ "$tries" = 500 ]; then
			pid=$(service_manager show -p MainPID --value -- "shipit-$run_id")
			break
		fi
		sleep 0.004
	done
	if [ ! -d "/proc/${pid:-0}" ]; then
		tail -n "+$1" "$run/log"
		return
	fi
	# Not every file system tells tail of a change (inotify); it looks by itself, 200 times a second.
	tail -n "+$1" -f -s 0.005 --pid="$pid" "$run/log" | while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		"pending "* | end) break ;;
		esac
	done
}

# Gives the run its word: commit or revert. A run that waits no more has decided by itself, and its log says how.
decide() { # commit|revert from-line
	# Opening a fifo to write waits for its reader.
	# shellcheck disable=SC2016 # expands in the inner shell
	timeout 5 sh -c 'printf "%s\n" "$1" >"$2"' sh "$1" "$run/decision"
	follow "$2"
}
