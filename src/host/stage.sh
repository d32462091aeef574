# The folder of an upload. Under the service's lock.

# Sweeps what earlier uploads left behind, makes the folders, and takes over the files that are the same in the
# release that runs. Output: "staged"; then "intact", when the copies are equal to files that have not been touched since
# they were hashed, so that they need no hash of their own.
stage() { # root id folders-by-line from-id ("-" for none) path...
	rm -rf "${1:?}/incoming"
	mkdir -p "$1/releases" "$1/incoming/$2" || return
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
		cmp -s -- "$releases/$from/$path" "$path" || return
	done
	echo staged
	# See seal in activation/release.sh. Looked at after the copies were compared: it holds for what they were compared with.
	[ "$from" != - ] && cd "$releases/$from" 2>/dev/null && [ -r sealed ] || return 0
	if [ "$(find . -type f ! -path ./sealed ! -path ./good -printf 'file %m %s %C@ %i %P\n')" = "$(cat sealed)" ]; then
		echo intact
	fi
}

# Removes an upload that came to nothing.
sweep() { # root
	rm -rf "${1:?}/incoming"
}
