# What the service manager says of a unit, and the watch over one that was started.

# Prints what systemd says of a unit.
properties() { # unit
	systemctl --user show \
		-p ActiveState,SubState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ExecMainPID,ExecMainCode,ExecMainStatus,TimeoutStartUSec,Job -- "$1"
}

# Takes such a text apart. Sets $active, $sub, $type, $result, $invocation, $pid and $job.
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

# Watches a unit for so many milliseconds; ends early, and fails, once it is clear that it did not stay up.
observe() { # unit milliseconds
	stoppable
	first=$(properties "$1") || return
	found_lines "unit $1 first" "$first"
	read_properties "$first"
	begun=$invocation
	last=$first
	read_clock
	end=$((now + $2))
	# A start of Type=simple is done once systemd has forked (systemd.service(5)): wait for the program itself, or for
	# systemd to hear of its end.
	tries=0
	while [ "$pid" != 0 ] && [ "$tries" -lt 50 ]; do
		# shellcheck disable=SC3013 # dash and busybox know -ef
		[ "/proc/$pid/exe" -ef "$root/current/bin/$service" ] && break
		case $(readlink "/proc/$pid/exe") in
		*/systemd | */systemd-executor) sleep 0.02 ;;
		'') sleep 0.1 ;;
		*) break ;;
		esac
		tries=$((tries + 1))
		last=$(properties "$1") || return
		read_properties "$last"
	done
	while [ "$active" != failed ] && [ "$active" != inactive ] && [ "$active" != deactivating ] &&
		[ "$sub" != auto-restart ] && [ "$invocation" = "$begun" ] && [ "$now" -lt "$end" ]; do
		left=$((end - now))
		if [ "$left" -lt 200 ]; then
			sleep "0.$(printf '%03d' "$left")"
		else
			sleep 0.2
		fi
		last=$(properties "$1") || return
		read_properties "$last"
		read_clock
	done
	found_lines "unit $1 last" "$last"
	if [ "$pid" != 0 ]; then
		# shellcheck disable=SC3013 # dash and busybox know -ef
		if [ "/proc/$pid/exe" -ef "$root/current/bin/$service" ]; then
			# The very file whose hash was checked before it was given its name.
			hash=current
		else
			hash=$(sha256sum <"/proc/$pid/exe")
		fi
		say "found unit $1 executable ${hash%% *}"
	fi
	case $active in
	failed | deactivating) return 1 ;;
	inactive) [ "$type" = oneshot ] && [ "$result" = success ] ;;
	*) [ "$sub" != auto-restart ] ;;
	esac
}
