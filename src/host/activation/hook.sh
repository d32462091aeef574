# The operator's own programs.

# What hooks get to know.
describe() { # environment host release previous
	environment=$1
	host=$2
	release=$3
	previous=$4
}

# What a hook says goes into the run's log: so many bytes of it, and then no more than its last lines.
hook_room=262144

# Runs a hook: the text is the operator's, and all that a shell reads. timeout(1) has it in a process group of its own,
# and ends the whole group.
verdict=
run_hook() { # seconds text
	cd "$root/releases/$release" 2>/dev/null || cd "$root" || return
	run_text "$1" "$2"
}

run_text() { # seconds text
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

# Hands on what a hook says, up to its end, and prints its status. Fails when there is no room for more.
hand_on() {
	while IFS= read -r line; do
		case $line in
		"hook-ended-$run_id "*)
			echo "${line##* }"
			return
			;;
		'') continue ;;
		esac
		room=$((room - ${#line}))
		[ "$room" -ge 0 ] || return
		say "step $number said $line"
	done
}

# The last ten lines before a hook's end, each cut where it is very long; and its end. The hook notices nothing.
# Not "13,$": to know the last line, sed would wait for one after the hook's end.
last_lines() {
	sed -n -e ':a' -e "/^hook-ended-$run_id [0-9]*\$/{p;q;}" -e "/\\nhook-ended-$run_id [0-9]*\$/{p;q;}" \
		-e N -e 13,2000000000D -e ba | cut -b -4096
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
		} | {
			room=$hook_room
			hand_on || {
				say "step $number said [all but the last of what follows is left out]"
				room=$hook_room
				last_lines | hand_on
			}
		}
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
