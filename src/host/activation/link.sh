# Links from where the system looks into the release.

# Makes a link, or repairs one that points elsewhere. Never replaces anything that is not a symlink.
make_link() { # path target direct|root
	expand_home "$1"
	case $path in
	"$unit_folder"/* | "${login_home:-$HOME}/.config/systemd/user"/*) ;;
	*) note_link "$1" || return ;;
	esac
	if [ -L "$path" ]; then
		note_undo link "$path" "$(readlink "$path")" "$3" || return
	else
		note_undo link "$path" - "$3" || return
	fi
	place_link "$path" "$2" "$3"
}

# For the day that a release does not want it any more: other folders than systemd's are not searched for links.
note_link() { # path
	grep -qxF -e "$1" "$root/linked" 2>/dev/null || printf '%s\n' "$1" >>"$root/linked"
}

# The way back is on the disk before the link is gone: power may fail right after.
remove_link() { # path
	rights_over "$1"
	by "$rights" "$1"
	note_undo link "$1" "$(readlink "$1")" "$rights" && sync "$run/undo" && $run_as rm -f -- "$1" || return
	leave_no_folder "$1"
}

place_link() { # path target direct|root
	by "$3" "$1"
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
