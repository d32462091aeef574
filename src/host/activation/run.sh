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
	flock -w 30 8 || abandon "another activation is under way"
	current=$(readlink "$root/current" 2>/dev/null || echo -)
	[ "$current" = "$expected" ] || abandon "current is $current, and not $expected"
	set_state pending || abandon "the state of the run could not be written"
	stage_of_run=pending
	install_recovery || give_up "the recovery at boot could not be prepared"
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
	# The point of no return.
	if ! set_state committed; then
		revert "the state of the run could not be written"
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
