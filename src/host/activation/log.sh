# An activation: the switch of a host from one release to another, as a transaction that the host itself carries out.
#
# The same functions run in two places. In the session's shell, over the connection, they prepare: check the release,
# make links. Then the program of the run, which is this text and one call a step, is started as a transient unit of the
# service manager. It outlives the connection: it switches, starts, waits for the client's word, and goes back by itself
# when a step fails or no word comes.
#
# A run is the folder runs/<id>/ below the service's root: program, log, undo (how to go back, by line), decision (a
# fifo), state (preparing, pending, committed, reverted, revert_failed). The link `pending` at the root points to a run
# that is not over. SIGHUP tells a run that its client is gone (hang_up.sh).
#
# Output, to descriptor 3 (the session's standard output, or the run's log): "step N started", "step N finished",
# "step N failed STATUS", what a step's commands said as "step N said LINE", what it found as "found KEY VALUE"; then
# "unlocked", "pending SECONDS", "committed", "reverting WHY", "reverted", "revert_failed WHY", and "end".
tab='	'
case $scope in
# The boot's target may be another one; this is part of each that has services.
system) boot_units=$unit_folder/multi-user.target.wants ;;
*) boot_units=$unit_folder/default.target.wants ;;
esac

say() {
	printf '%s\n' "$*" >&3
}

# What every part needs to know.
configure() { # root run-id service current-when-planned seconds-to-wait history-json unit...
	root=$1
	run=$1/runs/$2
	run_id=$2
	service=$3
	recovery=$unit_folder/shipit-recover-$3.service
	expected=$4
	patience=$5
	history=$6
	deadline=0
	shift 6
	units=$*
}

# Every state that a run can come to is written when it begins, and takes its place by a rename: it is never half
# there, and it needs no room when the disk is full. Whoever relies on it has it on the disk first (sync).
set_state() {
	read_state
	[ "$state_now" = "$1" ] || mv -fT "$run/state.$1" "$run/state"
}

# Sets $state_now, to nothing where there is none yet.
read_state() {
	state_now=
	IFS= read -r state_now 2>/dev/null <"$run/state"
}

step() {
	number=$1
	shift
	[ -z "$hung_up" ] || give_up
	# A run's log may be on a full disk; a session writes to its client.
	say "step $number started" || heard_of_nobody
	# What is half done has to be done, or undone. A step that may take long lets go of it: stoppable.
	said=$(
		trap '' HUP
		"$@" 2>&1
	)
	status=$?
	[ -z "$hung_up" ] || give_up
	if [ -n "$said" ]; then
		printf '%s\n' "$said" | sed "s/^/step $number said /" >&3
	fi
	if [ "$status" -eq 0 ]; then
		say "step $number finished"
	else
		# A shell says no more than "I/O error".
		full=$(no_room)
		[ -z "$full" ] || say "step $number said ${full#: }"
		say "step $number failed $status"
		give_up "step $number failed"
	fi
}

# What to add to a failure where the file system of the root is full.
no_room() {
	# shellcheck disable=SC2046 # three numbers
	set -- $(stat -f -c '%a %d %c' -- "$root")
	if [ "$1" = 0 ]; then
		printf ': the file system is full'
	elif [ "$2" = 0 ] && [ "$3" != 0 ]; then
		printf ': the file system has no inodes left'
	fi
}

# From here on a step may be ended by SIGHUP.
stoppable() {
	trap - HUP
}

# A session could not write to its client.
heard_of_nobody() {
	[ "$stage_of_run" != preparing ] || {
		hung_up=yes
		give_up
	}
}

# What a failure means depends on how far the run is.
stage_of_run=preparing
hung_up=
give_up() { # why
	[ -z "$hung_up" ] || set -- "the client is gone"
	case $stage_of_run in
	preparing) abandon "$1" ;;
	pending) revert "$1" ;;
	committed | over) return 1 ;;
	esac
}
