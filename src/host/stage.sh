# The folder of an upload. Under the service's lock.

# Sweeps what earlier uploads left behind, makes the folders, and takes over the files that are the same in the
# release that runs. Output: "staged".
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
	done
	echo staged
}

# Removes an upload that came to nothing.
sweep() { # root
	rm -rf "${1:?}/incoming"
}
