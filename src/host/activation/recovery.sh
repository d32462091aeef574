# Going back from a run that died: at the next boot, or by whoever finds it.

# A unit that goes back at the next boot, before the service's own units are started, should the power fail now.
install_recovery() {
	[ -d "$boot_units" ] || mkdir -p "$boot_units" || return
	# systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers".
	quoted=$run/program
	case $quoted in
	*[\\\"%\$]*) quoted=$(printf '%s' "$quoted" | sed 's/[\\"]/\\&/g; s/%/%%/g; s/\$/$$/g') ;;
	esac
	later=$units
	[ -z "$users_units" ] || later="$units user@$(id -u -- "${login_user:-root}").service"
	printf '%s\n' "[Unit]" "Description=shipit: go back from an interrupted activation of $service" \
		"Before=$later" "[Service]" "Type=oneshot" "ExecStart=/bin/sh \"$quoted\" recover boot" \
		>"$recovery" || return
	ln -sfT "../${recovery##*/}" "$boot_units/${recovery##*/}"
}

# The run is over: whoever comes by sees none. The link, and what goes back at the next boot, may be another run's by now.
leave_nothing_pending() {
	# shellcheck disable=SC3013 # dash and busybox know -ef
	if [ ! -e "$root/pending" ] || [ "$root/pending" -ef "$run" ]; then
		rm -f "$boot_units/${recovery##*/}" "$recovery" "$root/pending"
	fi
}

# A run that died is found by its state. Whoever finds it goes back.
# Status 75: it is not dead. 76: there is no service manager.
recover() { # boot|contact|own
	if [ "$1" = contact ]; then
		# Whoever holds the service's lock may be about to start the run. As long as we go back, nobody gets the lock.
		exec 7>>"$root/lock"
		flock -n 7 || exit 75
	fi
	# A run that was killed may still have a child or two; one that holds on is alive.
	flock -w 5 8 || exit 75
	# Without it nothing can be undone; when it comes back, it goes back first of all.
	[ "$1" = boot ] || service_manager show -p Version >/dev/null || {
		echo "systemd's $scope manager does not run; the host goes back as soon as it does" >&2
		exit 76
	}
	# It may have come to its end while we were on our way.
	[ "$(readlink "$root/pending")" = "runs/$run_id" ] || exit 0
	read_state
	case $state_now in
	preparing)
		abandon "it was interrupted"
		;;
	pending | revert_failed)
		revert "it was interrupted" "$1"
		;;
	committed)
		# It died before it could write so.
		mark_good
		sync "$root/current/"
		leave_nothing_pending
		note_history deployed
		say end
		;;
	reverted)
		leave_nothing_pending
		;;
	esac
}
