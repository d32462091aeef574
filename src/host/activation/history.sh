# The record of the runs.

# One line for the run: what the client knew, and how it ended.
note_history() { # verdict
	ended=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	printf '%s,"ended":"%s","verdict":"%s"}\n' "$history" "$ended" "$1" >>"$root/history.jsonl"
	printf 'shipit %s: %s,"ended":"%s","verdict":"%s"}\n' "$service" "$history" "$ended" "$1"
}

# Keeps the newest 1000 lines of the history, once there are a good deal more. Whoever adds a line holds the lock of the
# activations: where it is taken, the next run does it.
trim_history() {
	[ -f "$root/history.jsonl" ] && [ "$(wc -l <"$root/history.jsonl")" -gt 1100 ] || return
	(
		flock -n 8 || exit
		tail -n 1000 "$root/history.jsonl" >"$root/.history.new" && sync "$root/.history.new" &&
			mv -fT "$root/.history.new" "$root/history.jsonl"
	) 8>>"$root/activation.lock"
}

# Keeps the folders of the last ten runs.
sweep_runs() {
	count=0
	for folder in "$root"/runs/*; do
		count=$((count + 1))
	done
	for folder in "$root"/runs/*; do
		[ "$count" -gt 10 ] || break
		[ "$folder" = "$run" ] || rm -rf "${folder:?}"
		count=$((count - 1))
	done
}
