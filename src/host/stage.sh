# The folder of an upload. Under the service's lock.
tab='	'

# Sweeps what earlier uploads left behind, makes the folders and the symlinks, and takes over the files that are the same
# in the release that runs, while the others are being sent. Output: "staged"; then "intact", when the files that were
# taken over one by one are equal to files that have not been touched since they were hashed, so that they need no hash
# of their own; "spared" before it, when the others were not copied at all, but had been copied ahead of time.
#
# Lists are lines: no name in a release has a line break in it. They may be long: no list is an argument of a program.
stage() { # root run-id landing ("-" for none) folders from-id ("-" for none) files-one-by-one files-and-links-together new-links spare ("-" for none, else "not:" and what of it is not wanted)
	for old in "$1/incoming"/* "$3"/*; do
		case $old in
		*/"$2" | -/*) continue ;;
		esac
		# Twice: the sftp-server of a client that is gone may be writing still.
		[ ! -e "$old" ] || rm -rf "$old" 2>/dev/null || rm -rf "$old" || return
	done
	releases=$1/releases
	incoming=$1/incoming/$2
	from=$5
	mkdir -p -- "$releases" "$incoming" || return
	spared=
	if take_spare "$1" "$9"; then
		spared=yes
		# seal (activation/release.sh) brings both together: what is being sent makes folders of its own.
		own=$(printf '%s\n' "$7" | grep -E '^(bin|units|env)/')
		incoming=$incoming.spare/files
		cd "$incoming" && make_folders "$4" && take_each "$6" && take_together "$own" && make_links "$8" || return
		echo spared
	else
		cd "$incoming" && make_folders "$4" && take_each "$6" && take_together "$7" && make_links "$8" || return
	fi
	echo staged
	# See seal in activation/release.sh. Looked at after the copies were compared: it holds for what they were compared with.
	[ "$from" != - ] && cd "$releases/$from" 2>/dev/null && [ -r sealed ] || return 0
	if [ -n "$spared" ]; then
		own_is_as_sealed && echo intact
	elif list_release | cmp -s - sealed; then
		echo intact
	fi
	return 0
}

# Whether that of the release in the current folder is as it was sealed which is copied where the rest was ahead of time.
own_is_as_sealed() {
	own=$(list_release -path './*' ! -path './*/*' ! -name bin ! -name units ! -name env -prune -o)
	[ "$own" = "$(grep -E '^(file [^ ]* [^ ]* [^ ]* [^ ]* |symlink |folder )(bin|units|env)(/|$)' sealed)" ]
}

# Takes what was copied of the release that runs when it had just been deployed (activation/spare.sh), without what the
# new one does not have. Whatever else lies there is in nobody's way any more.
take_spare() { # root "-" or "not:" and paths
	[ -d "$1/spare" ] || [ -d "$1/spare.new" ] || return
	(
		# One that is being made is sooner there than a copy of ours would be.
		exec 9>>"$1/spare.lock" && flock -w 5 9 || exit
		rm -rf "$1/spare.new" "$incoming.spare"
		mv -T "$1/spare" "$incoming.spare" || exit
		of=
		IFS= read -r of <"$incoming.spare/of"
		[ "$2" != - ] && [ "$of" = "$from" ] && cd "$incoming.spare/files" || exit
		# As when its bytes were compared.
		list_release | cmp -s - ../sealed || exit
		unwanted=${2#not:}
		[ -z "$unwanted" ] || printf '%s\n' "$unwanted" | tr '\n' '\0' | xargs -0 rm -f -- || exit
		find . -mindepth 1 -depth -type d -empty -delete
	) 2>/dev/null && return
	rm -rf "$incoming.spare"
	return 1
}

make_folders() { # folders
	if [ -z "$1" ]; then
		:
	elif [ "${#1}" -lt 65536 ]; then
		set -f
		IFS=$newline
		# shellcheck disable=SC2086 # one argument a folder
		mkdir -p -- $1
		made=$?
		unset IFS
		set +f
		return "$made"
	else
		printf '%s\n' "$1" | tr '\n' '\0' | xargs -0 mkdir -p --
	fi
}

take_each() { # files
	set -f
	IFS=$newline
	for path in $1; do
		[ ! -e "$path" ] || continue
		# A copy, not a hard link: a file edited by hand in one release must not change another one.
		cp -p -- "$releases/$from/$path" "$path" || return
		cmp -s -- "$releases/$from/$path" "$path" || return
	done
	unset IFS
	set +f
}

# One process for thousands of files. What they are is for their hashes to say.
take_together() { # files-and-links
	[ -n "$1" ] || return 0
	(
		cd "$releases/$from" || exit
		printf '%s\n' "$1" | tr '\n' '\0' | xargs -0 cp -dp --parents -t "$incoming" --
	)
}

make_links() { # lines of "PATH<tab>TARGET"
	while IFS=$tab read -r path target; do
		[ -z "$path" ] || ln -sT -- "$target" "$path" || return
	done <<-LINKS
		$1
	LINKS
}

# Removes an upload that came to nothing; no other one, since the lock may be someone else's by now.
sweep() { # root run-id landing
	folder=${1:?}/incoming/${2:?}
	landing=$folder
	[ "$3" = - ] || landing=$3/${2:?}
	# The sftp-server, or tar, may be at work on what was on its way.
	tries=0
	until rm -rf "$folder" "$folder.spare" "$landing" 2>/dev/null || [ "$tries" = 20 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}
