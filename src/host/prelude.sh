# What every program of shipit's can use. Sent once, when the shell on the host is opened.
# POSIX sh; needs coreutils, findutils, util-linux and systemd >= 245 on the host.
#
# A process costs a host more than a round trip costs many a network, so the programs keep to what the shell itself
# can do: parameter expansion instead of basename, dirname and sed.
LC_ALL=C
export LC_ALL
umask 022
# The program of a run is told, and needs no name.
uid=${known_uid:-}
if [ -z "$uid" ]; then
	ids=$(id)
	uid=${ids#uid=}
	user=${uid#*\(}
	uid=${uid%%\(*}
	user=${user%%\)*}
fi
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
	XDG_RUNTIME_DIR=/run/user/$uid
	export XDG_RUNTIME_DIR
fi
SYSTEMD_COLORS=0
SYSTEMD_PAGER=
export SYSTEMD_COLORS SYSTEMD_PAGER
sudo_password=
sudo_mode=without_password
newline='
'

# A path as the plan has it: "~/" stands for the home directory. Sets $path.
expand_home() {
	case $1 in
	[~]/*) path=$HOME/${1#??} ;;
	*) path=$1 ;;
	esac
}

# Runs a command as root. The password, when one is needed, goes over a pipe from a shell builtin: it is in no
# argument list.
as_root() {
	if [ "$uid" = 0 ]; then
		"$@"
	elif [ "$sudo_mode" = password ]; then
		printf '%s\n' "$sudo_password" | sudo -S -p '' -- "$@"
	else
		sudo -n -- "$@"
	fi
}

# The nearest existing folder at or above an absolute path. Sets $folder.
nearest_folder() {
	folder=$1
	while [ ! -d "$folder" ]; do
		folder=${folder%/*}
		[ -n "$folder" ] || folder=/
	done
}

# The client is gone when this shell's input ends.
attached=
detach() {
	[ -z "$attached" ] || hang_up "$attached" >/dev/null
}
trap detach EXIT
# logind may end the processes of a session that is over (KillUserProcesses=, logind.conf(5)).
trap 'exit 1' HUP TERM
# Writing to a client that is gone must not kill the shell before it gets there.
trap '' PIPE
