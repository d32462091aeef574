# Tells a run that its client is gone. For the session's shell, and for the program that holds the lock.

# A run that has not begun to switch never will: it takes $run/state.pending to do so. One that has is sent SIGHUP, with
# all that it waits for; it goes back at once (activate in activation/run.sh). Again every second, as a process that is just
# being started may miss it.
hang_up() { # run-folder
	# logind ends the processes of a session that is over with both signals at once (KillUserProcesses=, logind.conf(5)),
	# and this is what is left to do. Not for the programs that are started here, either.
	trap '' HUP TERM
	mv -fT "$1/state.pending" "$1/gone" 2>/dev/null
	tries=0
	while read -r state <"$1/state" && [ "$state" = pending ] && [ "$tries" -lt 60 ]; do
		if ! grep -q '^reverting ' "$1/log" &&
			! service_manager kill --signal=HUP "shipit-${1##*/}.service"; then
			# It was killed. Nobody else may be there to go back from it.
			/bin/sh "$1/program" recover contact
			return
		fi
		tries=$((tries + 1))
		sleep 1
	done 2>/dev/null
}
