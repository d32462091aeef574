# An activation: the switch of a host from one release to another, as a transaction that the host itself carries out.
#
# The same functions run in two places. In the session's shell, over the connection, they prepare: check the release,
# make links. Then the program of the run, which is this text and one call a step, is started as a transient unit of the
# service manager. It outlives the connection: it switches, starts, waits for the client's word, and goes back by itself
# when a step fails or no word comes.
#
# A run is the folder runs/<id>/ below the service's root: program, log, undo (how to go back, by line), decision (a
# fifo), state (preparing, pending, committed, reverted, revert_failed). The link `pending` at the root points to a run
# that is not over.
#
# Output, to descriptor 3 (the session's standard output, or the run's log): "step N started", "step N finished",
# "step N failed STATUS", what a step's commands said as "step N said LINE", what it found as "found KEY VALUE"; then
# "pending SECONDS", "committed", "reverting WHY", "reverted", "revert_failed WHY", and "end".
tab='	'
user_units=$HOME/.config/systemd/user

say() {
	printf '%s\n' "$*" >&3
}

# What every part needs to know.
configure() { # root run-id service current-when-planned seconds-to-wait history-json unit...
	root=$1
	run=$1/runs/$2
	run_id=$2
	service=$3
	expected=$4
	patience=$5
	history=$6
	shift 6
	units=$*
}

# Every state that a run can come to is written when it begins, and takes its place by a rename: it is never half
# there, it is on the disk before anything relies on it, and it needs no room when the disk is full.
set_state() {
	[ "$(cat "$run/state" 2>/dev/null)" = "$1" ] || { mv -fT "$run/state.$1" "$run/state" && sync "$run"; }
}

step() {
	number=$1
	shift
	say "step $number started"
	said=$("$@" 2>&1)
	status=$?
	if [ -n "$said" ]; then
		printf '%s\n' "$said" | sed "s/^/step $number said /" >&3
	fi
	if [ "$status" -eq 0 ]; then
		say "step $number finished"
	else
		say "step $number failed $status"
		give_up "step $number failed"
	fi
}

# Like step, for the operator's own programs: what they say is handed on as it comes.
#
# A process that one leaves behind may hold the pipe open for ever, so its end is a line of its own.
live_step() {
	number=$1
	shift
	say "step $number started"
	status=$(
		{
			"$@" </dev/null 2>&1 3>&- 8>&-
			printf '\n%s %s\n' "hook-ended-$run_id" "$?"
		} | while IFS= read -r line; do
			case $line in
			"hook-ended-$run_id "*)
				echo "${line##* }"
				break
				;;
			'') ;;
			*) say "step $number said $line" ;;
			esac
		done
	)
	if [ "$status" = 0 ]; then
		say "step $number finished"
	else
		say "step $number said it ended with status $status"
		say "step $number failed ${status:-1}"
		give_up "step $number failed"
	fi
}

# What hooks get to know.
describe() { # environment host release previous
	environment=$1
	host=$2
	release=$3
	previous=$4
}

# Runs a hook: the text is the operator's, and all that a shell reads. timeout(1) has it in a process group of its own,
# and ends the whole group.
verdict=
run_hook() { # seconds text
	cd "$root/releases/$release" 2>/dev/null || cd "$root" || return
	(
		trap - PIPE TERM INT HUP
		unset LC_ALL
		SHIPIT_SERVICE=$service
		SHIPIT_ENVIRONMENT=$environment
		SHIPIT_HOST=$host
		SHIPIT_RELEASE=$release
		SHIPIT_PREVIOUS=$previous
		SHIPIT_ROOT=$root
		SHIPIT_RELEASE_DIR=$root/releases/$release
		SHIPIT_VERDICT=$verdict
		export SHIPIT_SERVICE SHIPIT_ENVIRONMENT SHIPIT_HOST SHIPIT_RELEASE SHIPIT_PREVIOUS SHIPIT_ROOT \
			SHIPIT_RELEASE_DIR SHIPIT_VERDICT
		exec timeout -k 5 "$1" /bin/sh -c "$2"
	)
	status=$?
	case $status in
	124 | 137) echo "it was still running after $1 s, and was killed" ;;
	esac
	return "$status"
}

# The hooks of on_failure; the run's program has them.
on_failure() {
	:
}

# What a failure means depends on how far the run is.
stage_of_run=preparing
give_up() { # why
	case $stage_of_run in
	preparing) abandon "$1" ;;
	pending) revert "$1" ;;
	committed | over) return 1 ;;
	esac
}

# How to go back. Noted before the deed, so that there is no deed without a note.
note_undo() { # kind argument...
	line=$1
	shift
	for word in "$@"; do
		case $word in
		*"$newline"* | *"$tab"*)
			echo "cannot note how to undo a path with a line break or a tab in it"
			return 1
			;;
		esac
		line=$line$tab$word
	done
	printf '%s\n' "$line" >>"$run/undo"
}

# ---- steps

enable_lingering() {
	as_root loginctl enable-linger "$user" || return
	# The user's manager is started by this; wait for its bus, at most 10 s.
	tries=0
	until systemctl --user show -p SystemState >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || {
			echo "the user manager did not come up within 10 s of enabling lingering"
			return 1
		}
		sleep 0.1
	done
}

# Checks the staged release against its list of hashes, and gives it its final name. From here on it is complete.
#
# What the files were like before they were hashed goes into "sealed": as long as a file has the same inode, size and
# time of last change (ctime, which cannot be set), it still has that hash, and a probe need not read it again.
seal() { # release-id sums
	staged=$root/incoming/$1
	files=$(cd "$staged" && find . -type f ! -path ./sealed -printf 'file %m %s %C@ %i %P\n') || return
	# Nothing to hash: every file was copied from a release whose hashes are known, and compared.
	if [ -n "$2" ]; then
		(cd "$staged" && printf '%s\n' "$2" | sha256sum --check --strict --quiet -) || return
	fi
	printf '%s\n' "$files" >"$staged/sealed" || return
	# A release that is named is on the disk, folders and all: power may fail right after.
	find "$staged" -exec sync {} + || return
	mv -T "$staged" "$root/releases/$1" || return
	sync "$root/releases"
}

# Checks a release that is on the host already. Nothing of it is touched.
check_release() { # release-id sums
	(cd "$root/releases/$1" && printf '%s\n' "$2" | sha256sum --check --strict --quiet -)
}

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

switch() { # release-id
	note_undo current "$expected" || return
	# The notes are on the disk before the deed is: power may fail right after.
	sync "$run/undo" || return
	# What goes back must not need room on a disk that is full by then.
	[ "$expected" = - ] || ln -sfT "$expected" "$root/.current.before" || return
	point_current "releases/$1"
}

point_current() { # target
	ln -sfT "$1" "$root/.current.new" || return
	mv -fT "$root/.current.new" "$root/current" || return
	sync "$root"
}

reload_manager() {
	systemctl --user daemon-reload
}

# Every link in the folders of user units: what `enable` makes is among them.
unit_links() {
	for link in "$user_units"/* "$user_units"/*/*; do
		[ -L "$link" ] && printf '%s\n' "$link"
	done
}

# `systemctl enable` writes the path that the unit's link resolves to, which is inside one release: it would dangle
# once that release is pruned. Such links are pointed through `current` instead.
enable() { # unit
	before=$newline$(unit_links)$newline
	systemctl --user enable --quiet -- "$1" || return
	unit_links >"$run/links"
	while IFS= read -r link; do
		case $before in
		*"$newline$link$newline"*) ;;
		*) note_undo link "$link" - direct || return ;;
		esac
		case $(readlink "$link") in
		"$root/releases/"*"/units/$1") place_link "$link" "$root/current/units/$1" direct || return ;;
		esac
	done <"$run/links"
}

# Starts anew. A unit that is waiting out its start limit would refuse the very release that mends it.
restart() { # unit
	note_unit "$1" || return
	systemctl --user reset-failed -- "$1" 2>/dev/null
	restart_unit "$1" || show_failed "$1"
}

# systemd starts no socket whose service runs: the service makes way, and comes back.
restart_unit() { # unit
	services=
	case $1 in
	*.socket)
		for service_of_socket in $(systemctl --user show -p Triggers --value -- "$1"); do
			if systemctl --user is-active --quiet -- "$service_of_socket"; then
				services="$services $service_of_socket"
			fi
		done
		;;
	esac
	if [ -z "$services" ]; then
		# shellcheck disable=SC2086 # one option, or none
		systemctl --user ${block:-} restart -- "$1"
		return
	fi
	# Names of units have no spaces.
	# shellcheck disable=SC2086
	systemctl --user stop -- "$1" $services && systemctl --user start -- "$1" && systemctl --user start -- $services
}

# Has a unit take over what is new, without a stop.
reload() { # unit
	found_lines "unit $1 before" "$(properties "$1")"
	note_undo reload "$1" || return
	systemctl --user reload -- "$1" || show_failed "$1"
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
	systemctl --user reset-failed -- "$1" 2>/dev/null
	systemctl --user start -- "$1" || show_failed "$1"
}

stop_unit() { # unit
	note_unit "$1" || return
	systemctl --user stop -- "$1"
}

note_unit() { # unit
	note_undo unit "$1" "$(systemctl --user show -p ActiveState --value -- "$1")"
}

# Prints what systemd says of a unit.
properties() { # unit
	systemctl --user show \
		-p ActiveState,SubState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ExecMainPID,ExecMainCode,ExecMainStatus -- "$1"
}

# Takes such a text apart. Sets $active, $sub, $type, $result, $invocation and $pid.
read_properties() { # text
	active='' sub='' type='' result='' invocation='' pid=0
	set -f
	IFS=$newline
	for line in $1; do
		case $line in
		ActiveState=*) active=${line#*=} ;;
		SubState=*) sub=${line#*=} ;;
		Type=*) type=${line#*=} ;;
		Result=*) result=${line#*=} ;;
		InvocationID=*) invocation=${line#*=} ;;
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

# Removes releases that the plan named, and never the one that runs.
prune() { # release-id...
	for id in "$@"; do
		[ "$(readlink "$root/current")" != "releases/$id" ] || continue
		rm -rf "${root:?}/releases/${id:?}" || return
	done
}

# ---- the session's part

# Makes the run's folder. From here on it is pending: what is done is undone, by the session, by the run, at the next
# boot or by the next one who comes.
begin_run() { # program
	mkdir -p "$root/releases" "$root/runs" || return
	# Whoever makes the folder has the run: a client that has lost its connection makes it, so that a run that had not
	# begun never does (run_state in activation.rs).
	mkdir -m 700 "$run" || refuse "the run was given up before it began, or its folder could not be made"
	printf '%s' "$1" >"$run/program" || return
	# Not `:`: a redirection that fails ends a POSIX shell with a special builtin.
	true >"$run/undo" || return
	true >"$run/log" || return
	mkfifo -m 600 "$run/decision" || return
	for state in preparing pending committed reverted revert_failed; do
		printf '%s\n' "$state" >"$run/state.$state" || return
	done
	sync "$run/program" "$run"/state.* || return
	set_state preparing || return
	# Without -f: while there is another run that is not over, this one does not begin.
	ln -sT "runs/$run_id" "$root/pending" || return
	# What goes back after a power cut must be there then.
	sync "$root/runs" "$root"
}

# The link may be another run's by now.
not_pending() {
	[ "$(readlink "$root/pending" 2>/dev/null)" != "runs/$run_id" ] || rm -f "$root/pending"
}

# Nothing was done yet, and this run's folder is not ours to write to.
refuse() { # why
	say "reverting $1"
	say reverted
	say end
	exit 1
}

# The preparations failed: undo them.
abandon() { # why
	failures=
	say "reverting $1"
	stage_of_run=over
	if undo_links; then
		verdict=failed_untouched
		set_state reverted
		not_pending
		say reverted
	else
		verdict=needs_attention
		set_state revert_failed
		say "revert_failed $failures"
	fi
	on_failure
	say end
	exit 1
}

# Starts the run's program as a unit of its own, and hands on its log up to its next stop.
launch() {
	systemd-run --user --quiet --collect --unit="shipit-$run_id" \
		--description="shipit: activation of $service" /bin/sh "$run/program" run || {
		echo "the activation could not be started" >&2
		give_up "the activation could not be started"
	}
	say log
	follow 1
}

# Hands on the log from a line on, until the run waits for a word or is over.
follow() { # from-line
	pid=$(systemctl --user show -p MainPID --value -- "shipit-$run_id")
	if [ "${pid:-0}" = 0 ]; then
		tail -n "+$1" "$run/log"
		return
	fi
	# Not every file system tells tail of a change (inotify); it looks by itself, 50 times a second.
	tail -n "+$1" -f -s 0.02 --pid="$pid" "$run/log" | while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		"pending "* | end) break ;;
		esac
	done
}

# Gives the run its word. A run that waits no more has decided by itself, and its log says how.
decide() { # commit|revert from-line
	give_word "$run" "$1" 5
	follow "$2"
}

# ---- the run's part

main() {
	exec 3>>"$run/log"
	exec 8>>"$root/activation.lock"
	case $1 in
	run) activate ;;
	recover) recover "$2" ;;
	esac
}

activate() {
	flock -w 30 8 || abandon "another activation is under way"
	current=$(readlink "$root/current" 2>/dev/null || echo -)
	[ "$current" = "$expected" ] || abandon "current is $current, and not $expected"
	set_state pending || abandon "the state of the run could not be written"
	stage_of_run=pending
	install_recovery || give_up "the recovery at boot could not be prepared"
	plan_steps
	say "pending $patience"
	decision=$(timeout "$patience" cat "$run/decision")
	case $decision in
	commit) commit ;;
	revert) revert "the client said so" ;;
	*) revert "no word from the client within $patience s" ;;
	esac
}

commit() {
	# The point of no return.
	if ! set_state committed; then
		revert "the state of the run could not be written"
	fi
	stage_of_run=committed
	say committed
	mark_good
	not_pending
	rm -f "$root/.current.before"
	remove_recovery
	note_history deployed
	verdict=deployed
	after_commit
	sweep_runs
	say end
	exit 0
}

# A release is good when the last run to it was kept. The mark is in the release, so it goes where the release goes; the
# probe leaves it out of the release's files. Pruning and `rollback` without a release go by it.
mark_good() {
	# Not `:`, a special builtin: a redirection that fails would end the shell, after the point of no return.
	true >"$root/current/good"
}

# Goes back to what was before. In a boot nothing is waited for: the service manager is about to start everything.
revert() { # why [boot]
	trap '' TERM INT HUP
	say "reverting $1"
	block=
	[ "${2:-}" = boot ] && block=--no-block
	failures=
	undo_units stop
	undo_links
	systemctl --user daemon-reload || failures="$failures daemon-reload failed;"
	undo_units start
	remove_recovery
	stage_of_run=over
	verdict=needs_attention
	if [ -z "$failures" ]; then
		verdict=reverted
		set_state reverted
		not_pending
		note_history reverted
		say reverted
	else
		set_state revert_failed
		note_history revert_failed
		say "revert_failed $failures"
	fi
	# In a boot nothing else is up yet.
	[ -n "$block" ] || on_failure
	say end
	exit 1
}

# Undoes links and `current`, last first. Sets $failures.
undo_links() {
	# Not by way of a file: the disk may be full.
	notes=$(tac "$run/undo" 2>/dev/null)
	while IFS=$tab read -r kind path target rights; do
		case $kind in
		current)
			[ "$(readlink "$root/current")" = "$path" ] || rm -f "$root/current/good"
			if [ "$path" = - ]; then
				rm -f "$root/current"
			elif [ "$(readlink "$root/.current.before")" = "$path" ]; then
				mv -fT "$root/.current.before" "$root/current" && sync "$root"
			else
				point_current "$path"
			fi || failures="$failures current could not be set back;"
			;;
		link)
			run_as=
			[ "$rights" = root ] && run_as=as_root
			if [ "$target" = - ]; then
				if [ -L "$path" ] && ! $run_as rm -f "$path"; then
					# It took a sudo password to make it, which is not here: it points to nothing, and does no harm.
					if [ "$rights" = root ]; then
						say "found left $path"
					else
						false
					fi
				fi
			else
				place_link "$path" "$target" "$rights"
			fi || failures="$failures the link $path could not be set back;"
			;;
		esac
	done <<-NOTES
		$notes
	NOTES
	[ -z "$failures" ]
}

# Stops the units that were not up before; starts those that were, and sees that they are.
undo_units() { # stop|start
	while IFS=$tab read -r kind unit before _; do
		if [ "$kind:$1:$block" = reload:start: ]; then
			systemctl --user reload -- "$unit" || systemctl --user restart -- "$unit" ||
				failures="$failures $unit could not be reloaded;"
		fi
		[ "$kind" = unit ] || continue
		case $1:$before in
		stop:active | stop:activating | stop:reloading) ;;
		stop:*)
			# shellcheck disable=SC2086 # one option, or none
			systemctl --user $block stop -- "$unit" || failures="$failures $unit could not be stopped;"
			systemctl --user reset-failed -- "$unit" 2>/dev/null
			;;
		start:active | start:activating | start:reloading)
			systemctl --user reset-failed -- "$unit" 2>/dev/null
			if ! restart_unit "$unit"; then
				failures="$failures $unit could not be started again;"
			elif [ "$before" = active ] && [ -z "$block" ]; then
				sleep 0.3
				read_properties "$(properties "$unit")"
				case $active:$sub in
				active:* | reloading:*) ;;
				inactive:*) [ "$type" = oneshot ] || failures="$failures $unit did not stay up;" ;;
				*) failures="$failures $unit did not stay up;" ;;
				esac
			fi
			;;
		esac
	done <"$run/undo"
}

# A run that died is found by its state. Whoever finds it goes back.
# Status 75: it is not dead.
recover() { # boot|contact|own
	if [ "$1" = contact ]; then
		# Whoever holds the service's lock may be about to start the run. As long as we go back, nobody gets the lock.
		exec 7>>"$root/lock"
		flock -n 7 || exit 75
	fi
	# A run that was killed may still have a child or two; one that holds on is alive.
	flock -w 5 8 || exit 75
	# It may have come to its end while we were on our way.
	[ "$(readlink "$root/pending")" = "runs/$run_id" ] || exit 0
	case $(cat "$run/state") in
	preparing)
		abandon "it was interrupted"
		;;
	pending | revert_failed)
		revert "it was interrupted" "$1"
		;;
	committed)
		# It died before it could write so.
		mark_good
		remove_recovery
		not_pending
		note_history deployed
		say end
		;;
	esac
}

# A unit that goes back at the next boot, before the service's own units are started, should the power fail now.
install_recovery() {
	[ -d "$user_units/default.target.wants" ] || mkdir -p "$user_units/default.target.wants" || return
	# systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers".
	quoted=$run/program
	case $quoted in
	*[\\\"%\$]*) quoted=$(printf '%s' "$quoted" | sed 's/[\\"]/\\&/g; s/%/%%/g; s/\$/$$/g') ;;
	esac
	printf '%s\n' "[Unit]" "Description=shipit: go back from an interrupted activation of $service" \
		"Before=$units" "[Service]" "Type=oneshot" "ExecStart=/bin/sh \"$quoted\" recover boot" \
		>"$user_units/shipit-recover-$service.service" || return
	ln -sfT "../shipit-recover-$service.service" \
		"$user_units/default.target.wants/shipit-recover-$service.service" || return
	# It is for a power cut, so it must be on the disk before what it is to undo.
	sync "$user_units/shipit-recover-$service.service" "$user_units" "$user_units/default.target.wants"
}

remove_recovery() {
	rm -f "$user_units/default.target.wants/shipit-recover-$service.service" \
		"$user_units/shipit-recover-$service.service"
}

# One line for the run: what the client knew, and how it ended.
note_history() { # verdict
	ended=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	printf '%s,"ended":"%s","verdict":"%s"}\n' "$history" "$ended" "$1" >>"$root/history.jsonl"
	printf 'shipit %s: %s,"ended":"%s","verdict":"%s"}\n' "$service" "$history" "$ended" "$1"
}

# Keeps the folders of the last ten runs.
sweep_runs() {
	count=0
	for folder in "$root"/runs/*; do
		count=$((count + 1))
	done
	for folder in "$root"/runs/*; do
		[ "$count" -gt 10 ] || break
		[ "$folder" = "$run" ] || rm -rf "${folder:?}"
		count=$((count - 1))
	done
}
