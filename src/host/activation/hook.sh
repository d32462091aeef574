# The operator's own programs.

# What hooks get to know.
describe() { # environment host release previous
	environment=$1
	host=$2
	release=$3
	previous=$4
}

# Runs a hook: the text is the operator's, and all that a shell reads. timeout(1) has it in a process group of its own,
# and ends the whole group.
verdict=
run_hook() { # seconds text
	cd "$root/releases/$release" 2>/dev/null || cd "$root" || return
	(
		trap - PIPE TERM INT HUP
		unset LC_ALL
		SHIPIT_SERVICE=$service
		SHIPIT_ENVIRONMENT=$environment
		SHIPIT_HOST=$host
		SHIPIT_RELEASE=$release
		SHIPIT_PREVIOUS=$previous
		SHIPIT_ROOT=$root
		SHIPIT_RELEASE_DIR=$root/releases/$release
		SHIPIT_VERDICT=$verdict
		export SHIPIT_SERVICE SHIPIT_ENVIRONMENT SHIPIT_HOST SHIPIT_RELEASE SHIPIT_PREVIOUS SHIPIT_ROOT \
			SHIPIT_RELEASE_DIR SHIPIT_VERDICT
		exec timeout -k 5 "$1" /bin/sh -c "$2"
	)
	status=$?
	case $status in
	124 | 137) echo "it was still running after $1 s, and was killed" ;;
	esac
	return "$status"
}

# Like step, for the operator's own programs: what they say is handed on as it comes.
#
# A process that one leaves behind may hold the pipe open for ever, so its end is a line of its own.
live_step() {
	number=$1
	shift
	[ -z "$hung_up" ] || give_up
	say "step $number started" || heard_of_nobody
	status=$(
		{
			"$@" </dev/null 2>&1 3>&- 8>&-
			printf '\n%s %s\n' "hook-ended-$run_id" "$?"
		} | while IFS= read -r line; do
			case $line in
			"hook-ended-$run_id "*)
				echo "${line##* }"
				break
				;;
			'') ;;
			*) say "step $number said $line" ;;
			esac
		done
	)
	[ -z "$hung_up" ] || give_up
	if [ "$status" = 0 ]; then
		say "step $number finished"
	else
		say "step $number said it ended with status $status"
		say "step $number failed ${status:-1}"
		give_up "step $number failed"
	fi
}

# The hooks of on_failure; the run's program has them.
on_failure() {
	:
}
