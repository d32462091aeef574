# The run's part: what the transient unit runs.

main() {
	exec 3>>"$run/log"
	exec 8>>"$root/activation.lock"
	case $1 in
	run)
		printf '%s\n' "$$" >"$run/pid"
		activate
		;;
	recover) recover "$2" ;;
	esac
}

activate() {
	# The client is gone: hang_up.sh. What the run waits for gets the signal, too, and ends. Nothing more is done in here:
	# the functions' bare `return` means something else in a trap.
	trap 'hung_up=yes' HUP
	flock -w 30 8 || abandon "another activation is under way"
	# Whoever found it before it began may have taken it for dead.
	read_state
	[ "$state_now" = preparing ] || exit 1
	# By when it is over, if nothing holds it up.
	read_clock
	deadline=$((now + patience * 1000))
	still_expected || abandon "current is $(readlink "$root/current" 2>/dev/null || echo -), and not $expected"
	if ! set_state pending; then
		[ ! -e "$run/gone" ] || abandon "the client is gone"
		abandon "the state of the run could not be written$(no_room)"
	fi
	stage_of_run=pending
	install_recovery || give_up "the recovery at boot could not be prepared: $(install_recovery 2>&1)"
	# Power may fail right after the first deed.
	sync "$run" "$recovery" "${recovery%/*}" "$boot_units" ||
		give_up "the recovery at boot could not be written to the disk"
	plan_steps
	say "pending $patience"
	# For the commit, while the client thinks: what `current` is must be on the disk before it says that it is kept.
	sync "$root"
	decision=
	[ -n "$hung_up" ] || decision=$(timeout "$patience" cat "$run/decision")
	case $decision in
	commit)
		ended=$(ended_since)
		[ -z "$ended" ] || give_up "$ended"
		commit
		;;
	revert) give_up "the client said so" ;;
	*) give_up "no word from the client within $patience s" ;;
	esac
}

still_expected() {
	# shellcheck disable=SC3013 # dash and busybox know -ef
	case $expected in
	-) [ ! -L "$root/current" ] && [ ! -e "$root/current" ] ;;
	*) [ -L "$root/current" ] && [ "$root/current" -ef "$root/$expected" ] ;;
	esac
}

commit() {
	trap '' HUP
	hung_up=
	# The point of no return.
	# The mark goes to the disk along with the state, while whoever comes after a power cut still finds the run.
	if ! set_state committed || ! { mark_good; sync "$run" "$root/current/"; }; then
		revert "the state of the run could not be written$(no_room)"
	fi
	stage_of_run=committed
	say committed
	leave_nothing_pending
	note_history deployed
	verdict=deployed
	after_commit
	sweep_prepared
	say end
	# The next run need not wait for this.
	exec 8>&-
	make_spare >/dev/null 2>&1
	exit 0
}
