# Copies of the release's files outside of it, with an owner and a mode of their own.
#
# What was put where is in "installed" at the root, a line a copy: "SHA256 MODE OWNER GROUP INODE SIZE CTIME<tab>FILE OF THE
# RELEASE<tab>PLACE". What stood at a place before shipit is kept below "replaced", and what was changed by hand and had to go
# below "edited".

# The name that a file has until it is finished. Sets $new.
unfinished() { # place
	new=${1%/*}/.shipit-$run_id.dpkg-new
}

# Notes how a place is put back, once what is there is saved. What goes back when power fails is there from now on.
save_place() { # place expected backup direct|root
	[ -e "$recovery" ] || { install_recovery && sync "$recovery" "${recovery%/*}" "$boot_units"; } || return
	saved=$run/saved.$number
	if [ "$3" != - ]; then
		(umask 077 && mkdir -p -- "${3%/*}") || return
		# An earlier one is kept under another name, and stays.
		[ -e "$3" ] || [ -L "$3" ] || note_undo made "$3" || return
	fi
	by "$4"
	$run_as sh -c "$save_program" sh "$1" "$2" "$saved" "$3" || return
	[ -e "$saved" ] || [ -L "$saved" ] || saved=-
	note_undo file "$1" "$saved" "$4" && sync "$run/undo"
}

install_copy() { # place file-of-release sha256 mode owner group direct|root expected backup
	save_place "$1" "$8" "$9" "$7" || return
	unfinished "$1"
	heard=$($run_as sh -c "$place_program" sh "$1" "$root/releases/$release/$2" "$4" "$5" "$6" "$new" 2>&1) || {
		printf '%s\n' "$heard"
		return 1
	}
	note_installed "$1" "$3 ${heard##*placed }$tab$2"
}

# Takes a copy away. What stood there before it comes back, unless the place is wanted for a link.
uninstall_copy() { # place direct|root expected backup before|link
	save_place "$1" "$3" "$4" "$2" || return
	unfinished "$1"
	before=$root/replaced$1
	[ "$5" = before ] || before=-
	if [ -e "$before" ] || [ -L "$before" ]; then
		$run_as sh -c "$put_back_program" sh "$1" "$before" "$new" || return
		note_undo moved "$before" "$run/replaced.$number" && mv -T -- "$before" "$run/replaced.$number" || return
	else
		$run_as sh -c "$put_back_program" sh "$1" - "$new" || return
	fi
	note_installed "$1" ''
}

# Replaces the line of a place.
note_installed() { # place line ("" for none)
	if [ ! -e "$root/installed" ]; then
		note_undo made "$root/installed" || return
	elif [ ! -e "$run/installed" ]; then
		cp -p -- "$root/installed" "$run/installed" && sync "$run/installed" &&
			note_undo moved "$root/installed" "$run/installed" || return
	fi
	{
		[ ! -e "$root/installed" ] || while IFS= read -r line; do
			case $line in
			*"$tab$1") ;;
			*) printf '%s\n' "$line" || exit ;;
			esac
		done <"$root/installed"
		[ -z "$2" ] || printf '%s\n' "$2$tab$1"
	} >"$root/.installed.new" && sync "$run/undo" "$root/.installed.new" &&
		mv -fT "$root/.installed.new" "$root/installed" && sync "$root"
}

# A place as it was before.
put_back() { # place saved direct|root
	is_back "$1" "$2" && return
	by "$3"
	unfinished "$1"
	$run_as sh -c "$put_back_program" sh "$1" "$2" "$new"
}

# Whether it is that already, as far as can be seen.
is_back() { # place saved
	case $newline$(cat "$run/put_back" 2>/dev/null)$newline in
	*"$newline$1$newline"*) return ;;
	esac
	if [ "$2" = - ]; then
		# Without its folder, it is not there either.
		nearest_folder "${1%/*}"
		[ -x "$folder/" ] && [ ! -e "$1" ] && [ ! -L "$1" ]
	else
		[ -f "$2" ] && [ ! -L "$2" ] && [ ! -L "$1" ] && cmp -s "$2" "$1" &&
			[ "$(stat -c '%a %u %g' "$2")" = "$(stat -c '%a %u %g' "$1")" ]
	fi
}

# As part of undo_links.
undo_file() { # place saved direct|root
	told=$(put_back "$@" 2>&1) && return
	# With the operator's password it can be done by the session, while that is there (put_back_all).
	[ "$3" != root ] || say "found left_file $1"
	from=
	[ "$2" = - ] || from=" from $2"
	undo_failed "the file $1 could not be put back$from" "$told"
}

# What the host alone could not put back. For the session's shell, which may know a password.
put_back_all() {
	notes=$(tac "$run/undo" 2>/dev/null)
	while IFS=$tab read -r kind path target rights; do
		# What only root may read can't be seen to be back by the run that goes on from here.
		[ "$kind" != file ] || ! put_back "$path" "$target" "$rights" || printf '%s\n' "$path" >>"$run/put_back"
	done <<-NOTES
		$notes
	NOTES
}
