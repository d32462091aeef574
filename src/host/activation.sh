# The steps of an activation, as functions. The plan's steps become calls of them, one a line, after this text:
# see activation.rs. Each says how it went on standard output; the first that fails ends the program.
#
# Output: "step N started", "step N finished", "step N failed STATUS", what a step's commands said as
# "step N said LINE", and what a step found as "found KEY VALUE".
exec 3>&1

step() {
	number=$1
	shift
	printf 'step %s started\n' "$number" >&3
	said=$("$@" 2>&1)
	status=$?
	if [ -n "$said" ]; then
		printf '%s\n' "$said" | sed "s/^/step $number said /" >&3
	fi
	if [ "$status" -ne 0 ]; then
		printf 'step %s failed %s\n' "$number" "$status" >&3
		exit 1
	fi
	printf 'step %s finished\n' "$number" >&3
}

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
seal() { # root id sums
	staged=$1/incoming/$2
	files=$(cd "$staged" && find . -type f ! -path ./sealed -printf 'file %m %s %C@ %i %P\n') || return
	(cd "$staged" && printf '%s\n' "$3" | sha256sum --check --strict --quiet -) || return
	printf '%s\n' "$files" >"$staged/sealed" || return
	# A release that is named is on the disk, folders and all: power may fail right after.
	find "$staged" -exec sync {} + || return
	mv -T "$staged" "$1/releases/$2" || return
	sync "$1/releases"
}

# Makes a link, or repairs one that points elsewhere. Never replaces anything that is not a symlink.
make_link() { # path target direct|root
	expand_home "$1"
	run=
	[ "$3" = root ] && run=as_root
	[ -d "${path%/*}" ] || $run mkdir -p "${path%/*}" || return
	if [ ! -L "$path" ]; then
		# ln refuses where something has appeared since the plan was made.
		$run ln -sT "$2" "$path"
		return
	fi
	# rename(2) of a finished link: there is no moment without one. ln -f is unlink and symlink.
	new=${path%/*}/.shipit-link.$$
	$run ln -sfT "$2" "$new" || return
	$run mv -fT "$new" "$path"
}

# Between a switch that brings other units and the reload that makes them known, "$root/reload" is not empty: a deploy
# that ends in between leaves it so, and the next one reloads.
switch() { # root id reload|-
	[ "$3" != reload ] || echo pending >"$1/reload" || return
	ln -sfT "releases/$2" "$1/.current.new" || return
	mv -fT "$1/.current.new" "$1/current" || return
	sync "$1"
}

reload_manager() { # root
	systemctl --user daemon-reload || return
	: >"$1/reload"
}

# `systemctl enable` writes the path that the unit's link resolves to, which is inside one release: it would dangle
# once that release is pruned. Such links are pointed through `current` instead.
enable() { # root unit
	systemctl --user enable --quiet -- "$2" || return
	for wanted in "$HOME/.config/systemd/user"/*.wants/* "$HOME/.config/systemd/user"/*.requires/*; do
		[ -L "$wanted" ] || continue
		case $(readlink "$wanted") in
		"$1/releases/"*"/units/$2") make_link "$wanted" "$1/current/units/$2" direct || return ;;
		esac
	done
}

# Starts anew. A unit that is waiting out its start limit would refuse the very release that mends it.
restart() { # unit
	systemctl --user reset-failed -- "$1" 2>/dev/null
	systemctl --user restart -- "$1"
}

start() { # unit
	systemctl --user reset-failed -- "$1" 2>/dev/null
	systemctl --user start -- "$1"
}

# Prints what systemd says of a unit.
properties() { # unit
	systemctl --user show \
		-p ActiveState,SubState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ExecMainPID,ExecMainCode,ExecMainStatus -- "$1"
}

# Takes such a text apart. Sets $active, $sub, $invocation and $pid.
read_properties() { # text
	active='' sub='' invocation='' pid=0
	set -f
	IFS=$newline
	for line in $1; do
		case $line in
		ActiveState=*) active=${line#*=} ;;
		SubState=*) sub=${line#*=} ;;
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
		printf 'found %s %s\n' "$1" "$line" >&3
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

# Watches a unit for so many milliseconds; ends early once it is clear that it did not stay up.
observe() { # root service unit milliseconds
	first=$(properties "$3") || return
	found_lines "unit $3 first" "$first"
	read_properties "$first"
	begun=$invocation
	last=$first
	read_clock
	end=$((now + $4))
	while [ "$active" != failed ] && [ "$active" != inactive ] && [ "$active" != deactivating ] &&
		[ "$sub" != auto-restart ] && [ "$invocation" = "$begun" ] && [ "$now" -lt "$end" ]; do
		left=$((end - now))
		if [ "$left" -lt 200 ]; then
			sleep "0.$(printf '%03d' "$left")"
		else
			sleep 0.2
		fi
		last=$(properties "$3") || return
		read_properties "$last"
		read_clock
	done
	found_lines "unit $3 last" "$last"
	if [ "$pid" != 0 ]; then
		# shellcheck disable=SC3013 # dash and busybox know -ef
		if [ "/proc/$pid/exe" -ef "$1/current/bin/$2" ]; then
			# The very file whose hash was checked before it was given its name.
			hash=current
		else
			hash=$(sha256sum <"/proc/$pid/exe")
		fi
		printf 'found unit %s executable %s\n' "$3" "${hash%% *}" >&3
	fi
	return 0
}

# Removes releases that the plan named, and never the one that runs.
prune() { # root id...
	root=$1
	shift
	for id in "$@"; do
		[ "$(readlink "$root/current")" != "releases/$id" ] || continue
		rm -rf "${root:?}/releases/${id:?}" || return
	done
}
