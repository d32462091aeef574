# What the service manager is told to do.

enable_lingering() {
	as_root loginctl enable-linger "${login_user:-$user}" || return
	# The user's manager is started by this; wait for its bus, at most 10 s.
	tries=0
	until users_manager show -p SystemState >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || {
			echo "the user manager did not come up within 10 s of enabling lingering"
			return 1
		}
		sleep 0.1
	done
}

reload_manager() {
	service_manager daemon-reload
}

# Where a unit's manager reads what is to be had of it. Sets $its_folder.
find_folder() { # unit
	its_folder=$unit_folder
	! is_users "$1" || its_folder=${login_home:-$HOME}/.config/systemd/user
}

# Every link in the folders of a unit's manager: what `enable` makes is among them.
unit_links() {
	for link in "$its_folder"/* "$its_folder"/*/*; do
		[ -L "$link" ] && printf '%s\n' "$link"
	done
}

# `systemctl enable` writes the path that the unit's link resolves to, which is inside one release: it would dangle
# once that release is pruned. Such links are pointed through `current` instead.
enable() { # unit
	find_folder "$1"
	before=$newline$(unit_links)$newline
	service_manager enable --quiet -- "$1" || return
	unit_links >"$run/links"
	while IFS= read -r link; do
		case $before in
		*"$newline$link$newline"*) ;;
		*) note_undo link "$link" - direct || return ;;
		esac
		target=$(readlink "$link")
		# The file of an instance is its template's.
		case $target in
		"$root/releases/"*/units/*) place_link "$link" "$root/current/units/${target##*/}" direct || return ;;
		esac
	done <"$run/links"
}

# Starts anew. A unit that is waiting out its start limit would refuse the very release that mends it.
restart() { # unit
	note_unit "$1" || return
	[ "$state" = active ] || service_manager reset-failed -- "$1" 2>/dev/null
	stoppable
	restart_unit "$1" forth || show_failed "$1"
}

# One job of systemd's, to its end. On the way back it is another: see back.
forth() { # verb unit
	service_manager "$1" -- "$2"
}

# systemd starts no socket whose service runs: the service makes way, and comes back.
restart_unit() { # unit forth|back
	services=
	case $1 in
	*.socket)
		for service_of_socket in $(service_manager show -p Triggers --value -- "$1"); do
			if service_manager is-active --quiet -- "$service_of_socket"; then
				services="$services $service_of_socket"
			fi
		done
		;;
	esac
	if [ -z "$services" ]; then
		"$2" restart "$1"
		return
	fi
	# Names of units have no spaces.
	for unit_of_both in "$1" $services; do
		"$2" stop "$unit_of_both" || return
	done
	for unit_of_both in "$1" $services; do
		"$2" start "$unit_of_both" || return
	done
}

# Has a unit take over what is new, without a stop.
reload() { # unit
	found_lines "unit $1 before" "$(properties "$1")"
	# It is the same start as before: what it says of the new release can only be told by the time.
	say "found reload $(date +%s.%6N)"
	note_undo reload "$1" || return
	stoppable
	service_manager reload -- "$1" || show_failed "$1"
}

# systemctl says only that the job failed; the unit's state says why, as long as nothing was undone.
show_failed() { # unit
	failed=$(properties "$1")
	found_lines "unit $1 first" "$failed"
	found_lines "unit $1 last" "$failed"
	return 1
}

start() { # unit
	note_unit "$1" || return
	[ "$state" = active ] || service_manager reset-failed -- "$1" 2>/dev/null
	stoppable
	service_manager start -- "$1" || show_failed "$1"
}

# One that is gone for good has not failed, either.
stop_unit() { # unit
	note_unit "$1" || return
	sync "$run/undo" || return
	stoppable
	service_manager stop -- "$1" || return
	service_manager reset-failed -- "$1" 2>/dev/null
	return 0
}

# Has a unit no longer start at boot: takes away what `enable` has made, in the folders of those that want it and under
# other names. Not `systemctl disable`: that takes the unit's own link as well, and nobody could undo it.
disable() { # unit
	find_folder "$1"
	for link in "$its_folder"/*/"$1" "$its_folder"/*; do
		case $link in
		# The unit's own; of an instance, `enable` links its template's file once more.
		"$its_folder/$1") [ ! -e "$root/current/units/$1" ] || continue ;;
		"$its_folder"/*/"$1") ;;
		*)
			# shellcheck disable=SC3013 # dash and busybox know -ef
			[ "$link" -ef "$root/current/units/$1" ] || continue
			;;
		esac
		[ ! -L "$link" ] || remove_link "$link" || return
	done
}

# Removes a link that the new release does not want.
unlink_ours() { # path target
	expand_home "$1"
	# Since the plan was made, it may have become another's.
	[ "$(readlink "$path")" = "$2" ] || return 0
	remove_link "$path"
}

note_unit() { # unit
	unit_state "$1"
	note_undo unit "$1" "$state"
}

# What a unit was when the run began. Sets $state.
unit_state() { # unit
	state=
	id=
	while IFS='=' read -r key value; do
		case $key:$id in
		Id:*) id=$value ;;
		"ActiveState:$1") state=$value ;;
		esac
	done <"$run/units"
	[ -n "$state" ] || state=$(service_manager show -p ActiveState --value -- "$1")
}
