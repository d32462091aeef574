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

# Undoes links and `current`, last first. Sets $failures.
undo_links() {
	# Not by way of a file: the disk may be full.
	notes=$(tac "$run/undo" 2>/dev/null)
	while IFS=$tab read -r kind path target rights; do
		case $kind in
		current)
			[ "$(readlink "$root/current")" = "$path" ] || rm -f "$root/current/good"
			if [ "$path" = - ]; then
				rm -f "$root/current"
			else
				put_current "$run/before" "$path" && sync "$root"
			fi || failures="$failures current could not be set back;"
			;;
		link)
			run_as=
			[ "$rights" = root ] && run_as=as_root
			if [ "$target" = - ]; then
				if [ -L "$path" ] && ! $run_as rm -f "$path"; then
					# It took a sudo password to make it, which is not here: it points to nothing, and does no harm.
					if [ "$rights" = root ]; then
						say "found left $path"
					else
						false
					fi
				fi
			else
				place_link "$path" "$target" "$rights"
			fi || failures="$failures the link $path could not be set back;"
			;;
		esac
	done <<-NOTES
		$notes
	NOTES
	[ -z "$failures" ]
}

# Stops the units that were not up before; starts those that were, and sees that they are.
undo_units() { # stop|start
	while IFS=$tab read -r kind unit before _; do
		if [ "$kind:$1:$block" = reload:start: ]; then
			systemctl --user reload -- "$unit" || systemctl --user restart -- "$unit" ||
				failures="$failures $unit could not be reloaded;"
		fi
		[ "$kind" = unit ] || continue
		case $1:$before in
		stop:active | stop:activating | stop:reloading) ;;
		stop:*)
			# shellcheck disable=SC2086 # one option, or none
			systemctl --user $block stop -- "$unit" || failures="$failures $unit could not be stopped;"
			systemctl --user reset-failed -- "$unit" 2>/dev/null
			;;
		start:active | start:activating | start:reloading)
			systemctl --user reset-failed -- "$unit" 2>/dev/null
			if ! restart_unit "$unit"; then
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
	done <"$run/undo"
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
	if undo_links; then
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
	undo_units stop
	undo_links
	systemctl --user daemon-reload || failures="$failures daemon-reload failed;"
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
		remove_recovery
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
