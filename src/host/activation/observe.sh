# What the service manager says of units, and the watch over those that were started.

# Prints what systemd says of units: a block for each, in the order given, with an empty line between.
properties() { # unit...
	service_manager show \
		-p ActiveState,SubState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ExecMainPID,ExecMainCode,ExecMainStatus,TimeoutStartUSec,Job \
		-p NextElapseUSecRealtime,NextElapseUSecMonotonic,LastTriggerUSec -- "$@"
}

# Takes the block of one unit apart. Sets $active, $sub, $type, $result, $invocation, $pid and $job.
read_properties() { # text
	active='' sub='' type='' result='' invocation='' pid=0 job=''
	set -f
	IFS=$newline
	for line in $1; do
		case $line in
		ActiveState=*) active=${line#*=} ;;
		SubState=*) sub=${line#*=} ;;
		Type=*) type=${line#*=} ;;
		Result=*) result=${line#*=} ;;
		InvocationID=*) invocation=${line#*=} ;;
		Job=*) job=${line#*=} ;;
		MainPID=*) pid=${line#*=} ;;
		esac
	done
	unset IFS
	set +f
}

# Hands on every line of a text as found.
found_lines() { # prefix text
	set -f
	IFS=$newline
	for line in $2; do
		say "found $1 $line"
	done
	unset IFS
	set +f
}

# Milliseconds since boot, by a clock that nobody sets. Sets $now.
read_clock() {
	read -r now _ </proc/uptime
	hundredths=1${now#*.}
	now=$((${now%.*} * 1000 + hundredths * 10 - 1000))
}

# Takes the next block off $texts, as $text, and apart.
next_unit() {
	text=${texts%%"$newline$newline"*}
	texts=${texts#"$text"}
	texts=${texts#"$newline$newline"}
	read_properties "$text"
}

# Whether one of the units is down for good, or another start than the one that is watched.
one_ended() { # blocks-of-the-start blocks-now
	starts=$1
	texts=$2
	while [ -n "$texts" ]; do
		next_unit
		case $active:$sub in
		*:auto-restart | failed:* | deactivating:*) return 0 ;;
		# The work of a oneshot may be done.
		inactive:*) [ "$type:$result" = oneshot:success ] || return 0 ;;
		esac
		case ${starts%%"$newline$newline"*}$newline in
		*"InvocationID=$invocation$newline"*) ;;
		*) return 0 ;;
		esac
		starts=${starts#*"$newline$newline"}
	done
	return 1
}

# Whether the work of all of them is done, so that there is nothing to watch.
all_done() { # blocks
	texts=$1
	while [ -n "$texts" ]; do
		next_unit
		[ "$active" = inactive ] || return 1
	done
}

# A start of Type=simple is done once systemd has forked (systemd.service(5)): says how long to wait for the programs
# themselves, or for systemd to hear of their end. Sets $pause; empty: for none.
look_at_programs() { # blocks
	pause=
	texts=$1
	while [ -n "$texts" ]; do
		next_unit
		case " 0 $programs " in
		*" $pid "*) continue ;;
		esac
		# shellcheck disable=SC3013 # dash and busybox know -ef
		if ! [ "/proc/$pid/exe" -ef "$root/current/bin/$service" ]; then
			case $(readlink "/proc/$pid/exe") in
			*/systemd | */systemd-executor)
				pause=0.02
				continue
				;;
			'')
				pause=${pause:-0.1}
				continue
				;;
			esac
		fi
		programs="$programs $pid"
	done
}

# Waits, for as long as it is worth it, until what $last says of the units' programs is what they are. Renews $last.
await_programs() { # unit...
	programs=
	tries=0
	look_at_programs "$last"
	while [ -n "$pause" ] && [ "$tries" -lt 50 ]; do
		sleep "$pause"
		tries=$((tries + 1))
		last=$(properties "$@") || return
		look_at_programs "$last"
	done
}

# Watches units, all at the same time, for so many milliseconds. Ends early, and fails, once it is clear that one of
# them did not stay up.
observe() { # milliseconds unit...
	settle=$1
	shift
	stoppable
	first=$(properties "$@") || return
	last=$first
	read_clock
	end=$((now + settle))
	texts=$first
	for unit in "$@"; do
		next_unit
		found_lines "unit $unit first" "$text"
	done
	await_programs "$@" || return
	until one_ended "$first" "$last" || all_done "$last" || [ "$now" -ge "$end" ]; do
		left=$((end - now))
		if [ "$left" -lt 200 ]; then
			sleep "0.$(printf '%03d' "$left")"
		else
			sleep 0.2
		fi
		last=$(properties "$@") || return
		read_clock
	done
	# systemd may not have heard of one that has ended just now. (Some can't be looked at.)
	[ -n "$pause" ] || await_programs "$@" || return
	down=0
	rest=$last
	for unit in "$@"; do
		texts=$rest
		next_unit
		rest=$texts
		conclude_unit "$unit" || down=1
	done
	return "$down"
}

# Which of the units that were watched is down by the time of the client's word, or was started anew by systemd: what was asked
# and run since takes its time. Prints why it is not to be kept; nothing: it is.
ended_since() {
	[ -n "$looks_again" ] || return
	names=$(sed -n 's/^found unit \([^ ]*\) first InvocationID=.*/\1/p' "$run/log")
	[ -n "$names" ] || return
	# shellcheck disable=SC2086 # names have no white space
	texts=$(properties $names) || return
	for unit in $names; do
		next_unit
		case $text in
		*NRestarts=*)
			restarts=${text#*NRestarts=}
			before=$(grep -F -e "found unit $unit first NRestarts=" "$run/log")
			if [ "${restarts%%"$newline"*}" -gt "${before##*=}" ]; then
				echo "$unit did not stay up: systemd has started it again"
				return
			fi
			;;
		esac
		case $active:$sub:$type:$result in
		inactive:*:oneshot:success) ;;
		failed:* | deactivating:* | inactive:* | *:auto-restart:*)
			echo "$unit did not stay up: it is $active ($sub, $result)"
			return
			;;
		esac
	done
}

# What the watch came to for the unit whose block was taken apart last.
conclude_unit() { # unit
	found_lines "unit $1 last" "$text"
	if [ "$pid" != 0 ]; then
		# shellcheck disable=SC3013 # dash and busybox know -ef
		if [ "/proc/$pid/exe" -ef "$root/current/bin/$service" ]; then
			# The very file whose hash was checked before it was given its name.
			hash=current
		else
			hash=$(sha256sum 2>/dev/null <"/proc/$pid/exe")
		fi
		say "found unit $1 executable ${hash%% *}"
	fi
	case $active in
	failed | deactivating) return 1 ;;
	inactive) [ "$type" = oneshot ] && [ "$result" = success ] ;;
	*) [ "$sub" != auto-restart ] ;;
	esac
}
