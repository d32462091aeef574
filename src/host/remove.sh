# Takes a service away: stops and disables its units, removes every link that leads into its root, and the root itself.
# Under the service's lock, and never while a run is under way.
#
# Output: "held HOLDER", "frozen HOLDER", "pending RUN" or "absent", and nothing was done; else "stopped UNIT",
# "unlinked PATH", "left PATH" of what needs root's rights that are not to be had, and at last "removed ROOT".
tab='	'

print_line() { # word file
	line=
	IFS= read -r line 2>/dev/null <"$2"
	printf '%s %s\n' "$1" "$line"
}

remove_link() { # path
	run_as=
	[ -w "${1%/*}" ] || run_as=as_root
	if $run_as rm -f -- "$1" >/dev/null 2>&1; then
		printf 'unlinked %s\n' "$1"
	else
		printf 'left %s\n' "$1"
	fi
}

# Takes away the copies of the releases' files; what stood there before them comes back.
take_copies_away() {
	[ -r "$root/installed" ] || return 0
	while IFS= read -r line; do
		place=${line##*"$tab"}
		before=$root/replaced$place
		[ -e "$before" ] || [ -L "$before" ] || before=-
		run_as=
		# What is root's can only be given back by root.
		if [ "$before" != - ] || [ ! -w "${place%/*}/" ]; then
			run_as=as_root
		fi
		if $run_as sh -c "$put_back_program" sh "$place" "$before" "${place%/*}/.shipit-remove.dpkg-new" >/dev/null 2>&1 </dev/null; then
			printf 'unlinked %s\n' "$place"
		else
			copies=left
			printf 'left %s\n' "$place"
		fi
	done <"$root/installed"
}

# Every link in the folders of units that leads into the root, by line. What `enable` makes is among them, and drop-ins.
links_of_units() {
	find "$unit_folder" -maxdepth 2 -type l -printf '%p\t%l\n' 2>/dev/null | while IFS=$tab read -r link target; do
		case $target in
		"$root"/*) printf '%s\n' "$link" ;;
		esac
	done
}

# systemctl's pattern for what is loaded of a template.
instances_of() { # worker@.service
	printf '%s@*.%s' "${1%%@*}" "${1##*.}"
}

remove() { # root name link...
	expand_home "$1"
	root=$path
	name=$2
	shift 2
	case $scope in
	system) unit_folder=/etc/systemd/system ;;
	*) unit_folder=$HOME/.config/systemd/user ;;
	esac
	unit_links=$(links_of_units)
	if [ ! -d "$root" ] && [ -z "$unit_links" ]; then
		echo absent
		return
	fi
	if [ -d "$root" ]; then
		exec 9>>"$root/lock" || return
		if ! flock -n 9; then
			print_line held "$root/lock.holder"
			return
		elif [ -e "$root/freeze" ]; then
			print_line frozen "$root/freeze"
			return
		elif [ -L "$root/pending" ]; then
			printf 'pending %s\n' "$(readlink "$root/pending")"
			return
		fi
	fi
	set -f
	IFS=$newline
	units=
	for link in $unit_links; do
		case $link in
		*.d/*) ;;
		# Instances that are up and not enabled have no link.
		*@.*) units="$units$newline$(instances_of "${link##*/}")" ;;
		*) units="$units$newline${link##*/}" ;;
		esac
	done
	units=$(printf '%s\n' "$units" | sort -u)
	# All at once: systemd knows what has to end before what.
	# shellcheck disable=SC2086 # one argument a line
	[ -z "$units" ] || service_manager stop -- $units 9>&- || return
	for unit in $units; do
		case $unit in
		*'*'*) continue ;;
		esac
		printf 'stopped %s\n' "$unit"
	done
	for link in $unit_links; do
		remove_link "$link"
		case $link in
		*.d/*) rmdir "${link%/*}" 2>/dev/null ;;
		esac
	done
	unset IFS
	set +f
	service_manager daemon-reload || return
	copies=removed
	take_copies_away
	for link in "$@"; do
		expand_home "$link"
		[ -L "$path" ] || continue
		case $(readlink "$path") in
		"$root"/*) remove_link "$path" ;;
		esac
	done
	# What is to be put back, and what is known of it, is there.
	if [ "$copies" = left ]; then
		printf 'removed %s\n' "$root"
		return
	fi
	[ ! -d "$root" ] || rm -rf "${root:?}" || return
	# Where the login user's uploads were, for a service of the system's.
	[ -z "${login_home:-}" ] || rm -rf "$login_home/.local/share/shipit/${name:?}"
	printf 'shipit %s: removed\n' "$name" | systemd-cat -t shipit 2>/dev/null
	printf 'removed %s\n' "$root"
}
