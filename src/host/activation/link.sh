# Links from where the system looks into the release.

# Makes a link, or repairs one that points elsewhere. Never replaces anything that is not a symlink.
make_link() { # path target direct|root
	expand_home "$1"
	if [ -L "$path" ]; then
		note_undo link "$path" "$(readlink "$path")" "$3" || return
	else
		note_undo link "$path" - "$3" || return
	fi
	place_link "$path" "$2" "$3"
}

# The way back is on the disk before the link is gone: power may fail right after.
remove_link() { # path
	note_undo link "$1" "$(readlink "$1")" direct && sync "$run/undo" && rm -f -- "$1" || return
	leave_no_folder "$1"
}

# The folder of a unit's drop-ins goes with the last of them.
leave_no_folder() { # path of a link
	case $1 in
	*.d/*) rmdir "${1%/*}" 2>/dev/null ;;
	esac
	return 0
}

place_link() { # path target direct|root
	run_as=
	[ "$3" = root ] && run_as=as_root
	[ -d "${1%/*}" ] || $run_as mkdir -p "${1%/*}" || return
	if [ ! -L "$1" ]; then
		# ln refuses where something has appeared since the plan was made.
		$run_as ln -sT "$2" "$1"
		return
	fi
	# rename(2) of a finished link: there is no moment without one. ln -f is unlink and symlink.
	new=${1%/*}/.shipit-link.$$
	$run_as ln -sfT "$2" "$new" || return
	$run_as mv -fT "$new" "$1"
}
