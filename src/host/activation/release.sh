# Releases: checked and named, switched to, marked, removed.

# Checks the staged release against its list of hashes, and gives it its final name. From here on it is complete.
#
# What the files were like before they were hashed goes into "sealed": as long as a file has the same inode, size and
# time of last change (ctime, which cannot be set), it still has that hash, and a probe need not read it again.
seal() { # release-id sums symlinks-and-empty-folders landing ("-" for none) hash-of-contents ("-" for any)
	staged=$root/incoming/${run##*/}
	# What the login user has uploaded becomes root's own, and is hashed after that.
	if [ "$4" != - ]; then
		cp -RP --preserve=mode,timestamps -- "$4/." "$staged" && rm -rf "$4" || return
	fi
	# stage (stage.sh) may have found most of it ready. No names are in both.
	if [ -d "$staged.spare" ]; then
		cp -al -- "$staged/." "$staged.spare/files" && rm -rf "$staged" || return
		mv -T "$staged.spare/files" "$staged" && rm -rf "$staged.spare" || return
	fi
	files=$(cd "$staged" && list_release) || return
	check_skeleton "$staged" "$3" || return
	[ "$5" = - ] || [ "$(contents)" = "$5  -" ] || {
		echo "the files are not those that were to be deployed"
		return 1
	}
	# Nothing to hash: every file was copied from a release whose hashes are known, and compared.
	if [ -n "$2" ]; then
		(cd "$staged" && check_sums "$2") || return
	fi
	printf '%s\n' "$files" >"$staged/sealed" || return
	# A release that is named is on the disk, folders and all: power may fail right after. Thousands of files are there
	# sooner with all of the file system.
	if [ "${#files}" -gt 16384 ]; then
		sync -f "$staged" || return
	else
		find "$staged" -type l -o -exec sync {} + || return
	fi
	mv -T "$staged" "$root/releases/$1" || return
	sync "$root/releases"
}

# Checks files in the current folder against their hashes; thousands of them on two processors.
check_sums() { # sums
	if [ "${#1}" -lt 65536 ]; then
		printf '%s\n' "$1" | sha256sum --check --strict --quiet -
		return
	fi
	printf '%s\n' "$1" | sed -n 'p;n' | sha256sum --check --strict --quiet - &
	printf '%s\n' "$1" | sed -n 'n;p' | sha256sum --check --strict --quiet -
	second=$?
	wait "$!" && return "$second"
}

# The hash of what a release is but for its record and the bytes of its files; see sums.rs.
contents() {
	# awk, since sed takes three times as long over thousands of lines.
	printf '%s\n' "$files" | awk '
		/^file / {
			path = substr($0, length($1 $2 $3 $4 $5) + 6)
			if (path != "release.json") print $2, $3, path
			next
		}
		/^(symlink|folder) /
	' | sort | sha256sum
}

# Checks a release that is on the host already. Nothing of it is touched.
check_release() { # release-id sums symlinks-and-empty-folders
	(cd "$root/releases/$1" && check_sums "$2") &&
		check_skeleton "$root/releases/$1" "$3"
}

# Whether a folder has these symlinks and empty folders, and no others.
check_skeleton() { # folder sorted-lines
	[ -n "$2" ] || return 0
	found=$(cd "$1" && list_release | sed -n -e '/^symlink /p' -e '/^folder /p' | sort) || return
	[ "$found" != "$2" ] || return 0
	printf '%s\n' "$2" | while IFS= read -r line; do
		case $newline$found$newline in
		*"$newline$line$newline"*) ;;
		*) printf '%s: FAILED\n' "${line%%"$tab"*}" ;;
		esac
	done
	echo "the symlinks and empty folders are not those that were deployed"
	return 1
}

switch() { # release-id
	note_undo current "$expected" || return
	# The notes are on the disk before the deed is: power may fail right after.
	sync "$run/undo" || return
	# What goes back must not need room on a disk that is full by then (make_ready).
	[ "$expected" = - ] || [ -L "$run/before" ] || ln -sT "$expected" "$run/before" || return
	put_current "$run/after" "releases/$1"
}

# Replaces `current` by rename(2) of a finished link; one that was made ready, where it is the right one.
put_current() { # link-at-hand target
	if [ "$(readlink "$1")" = "$2" ]; then
		mv -fT "$1" "$root/current"
	else
		ln -sfT "$2" "$root/.current.new" && mv -fT "$root/.current.new" "$root/current"
	fi
}

# A release is good when the last run to it was kept. The mark is in the release, so it goes where the release goes; the
# probe leaves it out of the release's files. Pruning and `rollback` without a release go by it.
mark_good() {
	# Not `:`, a special builtin: a redirection that fails would end the shell, after the point of no return. A disk without
	# inodes has one: the rename of the state has just freed it.
	true >"$root/current/good"
}

# Removes releases that the plan named, and never the one that runs.
prune() { # release-id...
	for id in "$@"; do
		# shellcheck disable=SC3013 # dash and busybox know -ef
		[ "$root/current" -ef "$root/releases/$id" ] && continue
		rm -rf "${root:?}/releases/${id:?}" || return
	done
}
