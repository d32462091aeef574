# Takes a service away: stops and disables its units, removes every link that leads into its root, has those told who read
# its files, and removes the root, but for what in it is not shipit's. Under the service's lock, and never while a run is
# under way.
#
# Output: "held HOLDER", "frozen HOLDER", "pending RUN" or "absent", and nothing was done; else "stopped UNIT",
# "unlinked PATH", "left PATH" of a link and "left_copy PATH" where root's rights are needed and not to be had, "told NUMBER" of a command or
# "untold NUMBER WHAT-IT-SAID", and at last "kept ROOT" where something is left in it, and "removed ROOT".
tab='	'

remove_link() { # path
	rights_over "$1"
	by "$rights" "$1"
	if $run_as rm -f -- "$1" >/dev/null 2>&1; then
		printf 'unlinked %s\n' "$1"
		# What a copy had taken the place of, before it became a link.
		[ ! -e "$root/replaced$1" ] ||
			$run_as sh -c "$put_back_program" sh "$1" "$root/replaced$1" "${1%/*}/.shipit-remove.dpkg-new" >/dev/null 2>&1
	else
		left=yes
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
		rights_over "$place"
		# What is root's can only be given back by root.
		[ "$before" = - ] || rights=root
		by "$rights"
		if $run_as sh -c "$put_back_program" sh "$place" "$before" "${place%/*}/.shipit-remove.dpkg-new" >/dev/null 2>&1 </dev/null; then
			printf 'unlinked %s\n' "$place"
		else
			left=yes
			copies=left
			printf 'left_copy %s\n' "$place"
		fi
	done <"$root/installed"
}

# systemd refuses to stop what it has not loaded, though nothing is to be stopped.
all_down() { # unit...
	! service_manager show -p ActiveState --value -- "$@" | grep -qvx -e inactive -e failed -e ''
}

# Removes what deploys have made in the root, and the root with it when there is nothing else in it.
leave_root() {
	[ -d "$root" ] || return 0
	for own in current pending releases runs incoming prepared replaced edited linked installed history.jsonl freeze \
		lock.holder lock.holder.new activation.lock spare spare.new spare.lock .current.new .history.new .installed.new lock; do
		rm -rf "${root:?}/$own" || return
	done
	rmdir "$root" 2>/dev/null || printf 'kept %s\n' "$root"
}

remove_if_ours() { # path
	expand_home "$1"
	[ -L "$path" ] || return 0
	case $(readlink "$path") in
	"$root"/*) remove_link "$path" ;;
	esac
}

# The operator's commands of on_change. As long as a link is left, there is nothing new to tell.
tell() { # text...
	number=0
	for text in "$@"; do
		if [ -n "$left" ]; then
			printf 'untold %s\n' "$number"
		elif said=$(run_hook 60 "$text" 2>&1 </dev/null 9>&-); then
			printf 'told %s\n' "$number"
		else
			printf 'untold %s %s\n' "$number" "$(printf '%s\n' "$said" | grep . | tail -n 1)"
		fi
		number=$((number + 1))
	done
}

# Every link in the folders of units that leads into the root, by line. What `enable` makes is among them, and drop-ins.
links_of_units() {
	set -- "$unit_folder"
	[ "$users_folder" = "$unit_folder" ] || set -- "$1" "$users_folder"
	find "$@" -maxdepth 2 -type l -printf '%p\t%l\n' 2>/dev/null | while IFS=$tab read -r link target; do
		case $target in
		"$root"/*) printf '%s\n' "$link" ;;
		esac
	done
}

# systemctl's pattern for what is loaded of a template.
instances_of() { # worker@.service
	printf '%s@*.%s' "${1%%@*}" "${1##*.}"
}

remove() { # root name environment host links link... text...
	expand_home "$1"
	root=$path
	name=$2
	service=$2
	previous=$(readlink "$root/current")
	describe "$3" "$4" '' "${previous#releases/}"
	links=$5
	users_folder=${login_home:-$HOME}/.config/systemd/user
	left=
	shift 5
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
			run=$(readlink "$root/pending")
			if service_manager is-active --quiet "shipit-${run##*/}"; then
				printf 'pending %s\n' "$run"
				return
			fi
			# It died. Whether all of what it did can be undone or not: it goes.
			/bin/sh "$root/pending/program" recover own >/dev/null 2>&1 9>&- </dev/null
			find "$unit_folder" -maxdepth 2 -name "shipit-recover-$name.service" -exec rm -f -- {} +
		fi
	fi
	set -f
	IFS=$newline
	units=
	for link in $unit_links; do
		case $link in
		*.d/*) continue ;;
		# Instances that are up and not enabled have no link.
		*@.*) unit=$(instances_of "${link##*/}") ;;
		*) unit=${link##*/} ;;
		esac
		units=$units$newline$unit
		case $scope:$link in
		"system:$users_folder"/*) users_units="$users_units $unit" ;;
		esac
	done
	units=$(printf '%s\n' "$units" | sort -u)
	# All at once: systemd knows what has to end before what.
	# shellcheck disable=SC2086 # one argument a line
	[ -z "$units" ] || service_manager stop -- $units 9>&- || all_down $units || return
	for unit in $units; do
		case $unit in
		*'*'*) continue ;;
		esac
		printf 'stopped %s\n' "$unit"
	done
	for link in $unit_links; do
		remove_link "$link"
		leave_no_folder "$link"
	done
	unset IFS
	set +f
	service_manager daemon-reload || return
	copies=removed
	take_copies_away
	while [ "$links" -gt 0 ]; do
		remove_if_ours "$1"
		shift
		links=$((links - 1))
	done
	# Those that the manifest has no more.
	if [ -r "$root/linked" ]; then
		while IFS= read -r link; do
			remove_if_ours "$link"
		done <"$root/linked"
	fi
	tell "$@"
	# What is to be put back, and what is known of it, is there.
	if [ "$copies" = left ]; then
		printf 'removed %s\n' "$root"
		return
	fi
	# Whoever still copies into it is waited for (activation/spare.sh).
	[ ! -d "$root/spare.new" ] || { exec 8>>"$root/spare.lock" && flock -w 60 8; } || return
	leave_root || return
	# Where the login user's uploads were, for a service of the system's. One of the same name may be that user's own.
	if [ -n "${login_home:-}" ]; then
		rm -rf "$login_home/.local/share/shipit/${name:?}/incoming"
		rmdir "$login_home/.local/share/shipit/$name" 2>/dev/null
	fi
	printf 'shipit %s: removed\n' "$name" | systemd-cat -t shipit 2>/dev/null
	printf 'removed %s\n' "$root"
}
