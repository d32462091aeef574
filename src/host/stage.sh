# Takes the service's lock and prepares the folder of an upload. Runs in the session's own shell, not in a subshell,
# so that the lock's descriptor stays open for as long as the connection does.

# Output: "locked", "held", "moved WHAT-CURRENT-IS-NOW", or "unwritable".
lock_service() { # root what-current-was ("-" for nothing)
	if ! mkdir -p "$1/releases" || ! (: >>"$1/lock"); then
		echo unwritable
		return 1
	fi
	exec 9>>"$1/lock"
	if ! flock -n 9; then
		exec 9>&-
		echo held
		return 1
	fi
	current=$(readlink "$1/current" 2>/dev/null || echo -)
	if [ "$current" != "$2" ]; then
		exec 9>&-
		printf 'moved %s\n' "$current"
		return 1
	fi
	echo locked
}

# Sweeps what earlier uploads left behind, makes the folders, and takes over the files that are the same in the
# release that runs. Output: "staged".
stage() { # root id folders-by-line from-id ("-" for none) path...
	rm -rf "${1:?}/incoming"
	mkdir -p "$1/incoming/$2" || return
	cd "$1/incoming/$2" || return
	releases=$1/releases
	from=$4
	printf '%s\n' "$3" | while IFS= read -r folder; do
		mkdir -p -- "$folder" || exit
	done || return
	shift 4
	for path in "$@"; do
		# A copy, not a hard link: a file edited by hand in one release must not change another one.
		cp -p -- "$releases/$from/$path" "$path" || return
	done
	echo staged
}

# Removes an upload that came to nothing.
sweep() { # root
	rm -rf "${1:?}/incoming"
}
