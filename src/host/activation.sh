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
	said=$("$@" 2>&1 3>&3)
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

found() {
	printf 'found %s\n' "$*" >&3
}

enable_lingering() {
	as_root loginctl enable-linger "$(id -un)" || return
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
seal() { # root id sums
	staged=$1/incoming/$2
	(cd "$staged" && printf '%s\n' "$3" | sha256sum --check --strict --quiet -) || return
	# A release that is named is on the disk: power may fail right after.
	find "$staged" -exec sync {} + || return
	mv -T "$staged" "$1/releases/$2" || return
	sync "$1/releases"
}

# Makes a link, or repairs one that points elsewhere. Never replaces anything that is not a symlink.
make_link() { # path target direct|root
	path=$(expand_home "$1")
	run=
	[ "$3" = root ] && run=as_root
	$run mkdir -p "$(dirname -- "$path")" || return
	if [ ! -L "$path" ]; then
		# ln refuses where something has appeared since the plan was made.
		$run ln -sT "$2" "$path"
		return
	fi
	# rename(2) of a finished link: there is no moment without one. ln -f is unlink and symlink.
	new=$(dirname -- "$path")/.shipit-link.$$
	$run ln -sfT "$2" "$new" || return
	$run mv -fT "$new" "$path"
}

switch() { # root id
	ln -sfT "releases/$2" "$1/.current.new" || return
	mv -fT "$1/.current.new" "$1/current" || return
	sync "$1"
}

reload_manager() {
	systemctl --user daemon-reload
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

restart() { # unit
	# A unit that is waiting out its start limit would refuse the very release that mends it.
	systemctl --user reset-failed -- "$1" 2>/dev/null
	systemctl --user restart -- "$1"
}

start() { # unit
	systemctl --user reset-failed -- "$1" 2>/dev/null
	systemctl --user start -- "$1"
}

properties() { # unit
	systemctl --user show \
		-p ActiveState,SubState,Type,MainPID,NRestarts,InvocationID,Result,ExecMainCode,ExecMainStatus -- "$1"
}

property() { # key, from standard input
	sed -n "s/^$1=//p"
}

# Watches a unit for so many milliseconds; ends early once it is clear that it did not stay up.
observe() { # unit milliseconds
	first=$(properties "$1") || return
	invocation=$(printf '%s\n' "$first" | property InvocationID)
	printf '%s\n' "$first" | sed "s/^/found unit $1 first /" >&3
	# Uptime in hundredths of a second: a clock that nobody sets.
	read -r now _ </proc/uptime
	end=$((${now%.*} * 1000 + $(printf '1%s' "${now#*.}") * 10 - 1000 + $2))
	while :; do
		last=$(properties "$1") || return
		case $(printf '%s\n' "$last" | property ActiveState) in
		failed | inactive | deactivating) break ;;
		esac
		[ "$(printf '%s\n' "$last" | property SubState)" = auto-restart ] && break
		[ "$(printf '%s\n' "$last" | property InvocationID)" = "$invocation" ] || break
		read -r now _ </proc/uptime
		left=$((end - ${now%.*} * 1000 - $(printf '1%s' "${now#*.}") * 10 + 1000))
		[ "$left" -gt 0 ] || break
		if [ "$left" -lt 200 ]; then
			sleep "0.$(printf '%03d' "$left")"
		else
			sleep 0.2
		fi
	done
	printf '%s\n' "$last" | sed "s/^/found unit $1 last /" >&3
	pid=$(printf '%s\n' "$last" | property MainPID)
	if [ -n "$pid" ] && [ "$pid" != 0 ]; then
		found unit "$1" executable "$(sha256sum <"/proc/$pid/exe" | cut -c 1-64)"
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
