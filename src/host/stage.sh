# The folder of an upload. Under the service's lock.

# Sweeps what earlier uploads left behind, makes the folders, and takes over the files that are the same in the
# release that runs, while the others are being sent. Output: "staged"; then "intact", when the copies are equal to files
# that have not been touched since they were hashed, so that they need no hash of their own.
stage() { # root run-id landing ("-" for none) folders-by-line from-id ("-" for none) path...
	for old in "$1/incoming"/* "$3"/*; do
		# Twice: the sftp-server of a client that is gone may be writing still.
		[ "${old##*/}" = "$2" ] || [ ! -e "$old" ] || rm -rf "$old" 2>/dev/null || rm -rf "$old" || return
	done
	releases=$1/releases
	incoming=$1/incoming/$2
	from=$5
	set -f
	IFS=$newline
	# shellcheck disable=SC2086 # one argument a folder
	(mkdir -p -- "$releases" "$incoming" && cd "$incoming" && { [ -z "$4" ] || mkdir -p -- $4; }) || return
	unset IFS
	set +f
	cd "$incoming" || return
	shift 5
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

# Removes an upload that came to nothing; no other one, since the lock may be someone else's by now.
sweep() { # root run-id landing
	rm -rf "${1:?}/incoming/${2:?}"
	[ "$3" = - ] || rm -rf "$3/${2:?}"
}
