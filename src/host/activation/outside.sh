# The operator's commands about files that other programs than the service read.

# Tells someone that a file has changed. On the way back they are told again, once the old one is there: noted before the deed.
tell_of_change() { # seconds text
	printf '%s\n' "$2" >"$run/changed.$number" || return
	run_hook "$1" "$2"
}

# The file as it was is in its place.
tell_of_undo() {
	for note in "$run"/changed.*; do
		[ -f "$note" ] || continue
		told=$(run_hook 60 "$(cat "$note")" 2>&1 </dev/null 3>&- 8>&-) ||
			undo_failed "a command of on_change failed on the way back" "$told"
	done
}
