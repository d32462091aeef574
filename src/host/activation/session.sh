# The session's part: the run's folder, its start, its log, its word.

# Makes the run's folder. From here on it is pending: what is done is undone, by the session, by the run, at the next
# boot or by the next one who comes.
begin_run() { # program
	mkdir -p "$root/releases" "$root/runs" || return
	# Whoever makes the folder has the run: a client that has lost its connection makes it, so that a run that had not
	# begun never does (run_state in activation.rs).
	mkdir -m 700 "$run" || refuse "the run was given up before it began, or its folder could not be made$(no_room)"
	# The session's shell has both (library.rs).
	printf '%s\n' "$prelude" "$activation" "$1" >"$run/program" || return
	# Not `:`: a redirection that fails ends a POSIX shell with a special builtin.
	true >"$run/undo" || return
	# A file with something in it has room for a little more where the disk is full by then.
	printf 'run %s\n' "$run_id" >"$run/log" || return
	true >"$run/good" || return
	mkfifo -m 600 "$run/decision" || return
	for state in preparing pending committed reverted revert_failed; do
		printf '%s\n' "$state" >"$run/state.$state" || return
	done
	sync "$run/program" "$run"/state.* || return
	set_state preparing || return
	# Without -f: while there is another run that is not over, this one does not begin.
	ln -sT "runs/$run_id" "$root/pending" || return
	# What goes back after a power cut must be there then.
	sync "$root/runs" "$root"
}

# Starts the run's program as a unit of its own, and hands on its log up to its next stop.
launch() {
	say log || give_up "the client is gone"
	systemd-run --user --quiet --collect --unit="shipit-$run_id" \
		--description="shipit: activation of $service" /bin/sh "$run/program" run || {
		echo "the activation could not be started" >&2
		give_up "the activation could not be started"
	}
	follow 1
}

# Hands on the log from a line on, until the run waits for a word or is over.
follow() { # from-line
	pid=$(systemctl --user show -p MainPID --value -- "shipit-$run_id")
	if [ "${pid:-0}" = 0 ]; then
		tail -n "+$1" "$run/log"
		return
	fi
	# Not every file system tells tail of a change (inotify); it looks by itself, 50 times a second.
	tail -n "+$1" -f -s 0.02 --pid="$pid" "$run/log" | while IFS= read -r line; do
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
