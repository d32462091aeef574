# The way back.

# How to go back. Noted before the deed, so that there is no deed without a note.
note_undo() { # kind argument...
	line=$1
	shift
	for word in "$@"; do
		case $word in
		*"$newline"* | *"$tab"*)
			echo "cannot note how to undo a path with a line break or a tab in it"
			return 1
			;;
		esac
		line=$line$tab$word
	done
	printf '%s\n' "$line" >>"$run/undo"
}

# A shell may keep a here-document in a file (bash before 5.1 does), for which there may be no room: then the loop that reads
# it does not run at all.
begin_notes() {
	notes_left=$notes
}

end_notes() {
	[ -z "$notes_left" ] || undo_failed "the notes of what was done could not be read"
}

# Notes what could not be undone. Of what was said, the last line says why.
undo_failed() { # what [said]
	why=${2:-}
	why=${why##*"$newline"}
	failures="$failures $1${why:+ (${why##*: })};"
}

current_back() { # target
	if [ "$1" = - ]; then
		rm -f "$root/current"
	else
		put_current "$run/before" "$1" && sync "$root"
	fi
}

# Undoes links and `current`, last first. Sets $failures.
undo_links() {
	# Not by way of a file: the disk may be full.
	notes=$(tac "$run/undo" 2>/dev/null)
	begin_notes
	while IFS=$tab read -r kind path target rights; do
		notes_left=
		case $kind in
		current)
			# It may never have been switched.
			if [ "$(readlink "$root/current" || echo -)" != "$path" ]; then
				rm -f "$root/current/good"
				told=$(current_back "$path" 2>&1) || undo_failed "current could not be set back" "$told"
			fi
			;;
		link)
			by "$rights" "$path"
			if [ "$target" = - ]; then
				if [ -L "$path" ] && ! $run_as rm -f "$path"; then
					# It took a sudo password to make it, which is not here: it points to nothing, and does no harm.
					if [ "$rights" = root ]; then
						say "found left $path"
					else
						false
					fi
				else
					leave_no_folder "$path"
				fi
			else
				place_link "$path" "$target" "$rights"
			fi || failures="$failures the link $path could not be set back;"
			;;
		file) undo_file "$path" "$target" "$rights" ;;
		made)
			told=$(rm -f -- "$path" 2>&1) || undo_failed "$path could not be removed" "$told"
			;;
		moved)
			if [ -e "$target" ] || [ -L "$target" ]; then
				told=$(mv -fT -- "$target" "$path" 2>&1) || undo_failed "$path could not be put back" "$told"
			fi
			;;
		esac
	done <<-NOTES
		$notes
	NOTES
	end_notes
	[ -z "$failures" ]
}

# One job of systemd's on the way back, whatever the unit that failed does: it has until $kill_at to stop, and is killed then.
# No job takes longer than 4 minutes; systemd's own limits are usually far below. Nothing here can be ended by a signal to
# the run: timeout(1) could.
back() { # stop|start|restart unit
	if ! service_manager --no-block "$1" -- "$2"; then
		# systemd refuses to stop what it has not loaded, or could not: that is as stopped as can be.
		[ "$1" = stop ] || return
		read_properties "$(properties "$2")"
		[ "$active" = inactive ]
		return
	fi
	[ -z "$block" ] || return 0
	read_clock
	last_call=$((now + 240000))
	# One after another: the next one is to have a moment, too.
	kill_this_at=$kill_at
	[ "$((kill_at - now))" -ge 1000 ] || kill_this_at=$((now + 1000))
	read_properties "$(properties "$2")"
	while [ -n "$job" ]; do
		read_clock
		[ "$now" -lt "$last_call" ] || return 1
		if [ "$active" = deactivating ] && [ "$now" -ge "$kill_this_at" ]; then
			kill_this_at=$last_call
			if [ "$(service_manager show -p SendSIGKILL --value -- "$2")" = yes ]; then
				say "found killed $2"
				service_manager kill --signal=KILL -- "$2"
			fi
		fi
		sleep 0.05
		read_properties "$(properties "$2")"
	done
	case $1:$active in
	stop:inactive | stop:failed) ;;
	stop:* | *:failed) return 1 ;;
	esac
}

# Stops the units that were not up before, the one started last first; starts those that were, and sees that they are.
undo_units() { # stop|start
	# Not by way of a file: the disk may be full.
	case $1 in
	stop) notes=$(tac "$run/undo" 2>/dev/null) ;;
	*) notes=$(cat "$run/undo" 2>/dev/null) ;;
	esac
	begin_notes
	while IFS=$tab read -r kind unit before _; do
		notes_left=
		if [ "$kind:$1:$block" = reload:start: ]; then
			service_manager reload -- "$unit" || back restart "$unit" || failures="$failures $unit could not be reloaded;"
		fi
		[ "$kind" = unit ] || continue
		case $1:$before in
		stop:active | stop:activating | stop:reloading) ;;
		stop:*)
			back stop "$unit" || failures="$failures $unit could not be stopped;"
			service_manager reset-failed -- "$unit" 2>/dev/null
			;;
		start:active | start:activating | start:reloading)
			service_manager reset-failed -- "$unit" 2>/dev/null
			if ! restart_unit "$unit" back; then
				failures="$failures $unit could not be started again;"
			elif [ "$before" = active ] && [ -z "$block" ]; then
				# One that fails at once and is started again looks well in between.
				read_properties "$(properties "$unit")"
				begun=$invocation
				sleep 0.3
				read_properties "$(properties "$unit")"
				case $active:$sub in
				active:* | reloading:*) [ "$invocation" = "$begun" ] || failures="$failures $unit did not stay up;" ;;
				inactive:*) [ "$type" = oneshot ] || failures="$failures $unit did not stay up;" ;;
				*) failures="$failures $unit did not stay up;" ;;
				esac
			fi
			;;
		esac
	done <<-NOTES
		$notes
	NOTES
	end_notes
}

# Nothing was done yet, and this run's folder is not ours to write to.
refuse() { # why
	say "reverting $1"
	say reverted
	say end
	exit 1
}

# The preparations failed: undo them.
abandon() { # why
	failures=
	say "reverting $1"
	stage_of_run=over
	read_state
	if [ "$state_now" = reverted ]; then
		# By someone who took us for dead.
		say reverted
		say end
		exit 1
	elif undo_links; then
		verdict=failed_untouched
		set_state reverted
		sync "$run"
		leave_nothing_pending
		say reverted
	else
		verdict=needs_attention
		set_state revert_failed
		sync "$run"
		say "revert_failed $failures"
	fi
	on_failure
	say end
	exit 1
}

# Goes back to what was before. In a boot nothing is waited for: the service manager is about to start everything.
revert() { # why [boot]
	trap '' TERM INT HUP
	say "reverting $1"
	block=
	[ "${2:-}" = boot ] && block=--no-block
	failures=
	# Until the deadline, if that is further away.
	read_clock
	kill_at=$((now + 3000))
	[ "$deadline" -le "$kill_at" ] || kill_at=$deadline
	undo_units stop
	undo_links
	service_manager daemon-reload || failures="$failures daemon-reload failed;"
	# In a boot nothing else is up yet.
	[ -n "$block" ] || tell_of_undo
	undo_units start
	stage_of_run=over
	verdict=needs_attention
	if [ -z "$failures" ]; then
		verdict=reverted
		set_state reverted
		sync "$run"
		leave_nothing_pending
		note_history reverted
		say reverted
	else
		# It is tried again at the next boot, and by whoever comes next.
		set_state revert_failed
		sync "$run"
		note_history revert_failed
		say "revert_failed $failures"
	fi
	# In a boot nothing else is up yet.
	[ -n "$block" ] || on_failure
	say end
	exit 1
}
