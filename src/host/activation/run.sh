# The run's part: what the transient unit runs.

main() {
	exec 3>>"$run/log"
	exec 8>>"$root/activation.lock"
	case $1 in
	run) activate ;;
	recover) recover "$2" ;;
	esac
}

activate() {
	# The client is gone: hang_up.sh. What the run waits for gets the signal, too, and ends.
	trap 'give_up "the client is gone"' HUP
	flock -w 30 8 || abandon "another activation is under way"
	# Whoever found it before it began may have taken it for dead.
	read_state
	[ "$state" = preparing ] || exit 1
	# By when it is over, if nothing holds it up.
	read_clock
	deadline=$((now + patience * 1000))
	current=$(readlink "$root/current" 2>/dev/null || echo -)
	[ "$current" = "$expected" ] || abandon "current is $current, and not $expected"
	if ! set_state pending; then
		[ ! -e "$run/gone" ] || abandon "the client is gone"
		abandon "the state of the run could not be written$(no_room)"
	fi
	stage_of_run=pending
	install_recovery || give_up "the recovery at boot could not be prepared: $(install_recovery 2>&1)"
	plan_steps
	say "pending $patience"
	decision=$(timeout "$patience" cat "$run/decision")
	case $decision in
	commit) commit ;;
	revert) revert "the client said so" ;;
	*) revert "no word from the client within $patience s" ;;
	esac
}

commit() {
	trap '' HUP
	# The point of no return.
	if ! set_state committed; then
		revert "the state of the run could not be written$(no_room)"
	fi
	stage_of_run=committed
	say committed
	mark_good
	not_pending
	rm -f "$root/.current.before"
	remove_recovery
	note_history deployed
	verdict=deployed
	after_commit
	sweep_runs
	say end
	exit 0
}
