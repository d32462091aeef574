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
# root_shell.sh
if [ -n "${SHIPIT_LOGIN_HOME:-}" ]; then
	login_home=$SHIPIT_LOGIN_HOME
	login_user=$SHIPIT_LOGIN_USER
fi

# Runs a command as root, which gets no input: sudo reads all there is where it keeps that (log_input, sudoers(5)), and it
# may be a loop's.
as_root() {
	if [ "$uid" = 0 ]; then
		"$@" </dev/null
	elif [ "$sudo_mode" = password ]; then
		with_password "$@"
	else
		sudo -n -- "$@" </dev/null
	fi
}

# The password goes over a pipe from a shell builtin: it is in no argument list. And it goes to "sudo -v", which runs
# nothing: what sudo leaves of its input is the command's, and where sudo keeps that (log_input, sudoers(5)), a password
# that was not asked for would be on the host's disk.
check_password() {
	printf '%s\n' "$sudo_password" | sudo -S -p '' -v
}

with_password() {
	heard=$({ check_password || exit 77; sudo -n -- "$@"; } 2>&1 </dev/null)
	heard_status=$?
	case $heard_status:$heard in
	0:* | 77:*) ;;
	*'is required'*)
		# It does not remember the password (timestamp_timeout=0): then it asks for this very command.
		heard=$(printf '%s\n' "$sudo_password" | sudo -k -S -p '' -- "$@" 2>&1)
		heard_status=$?
		;;
	esac
	[ -z "$heard" ] || printf '%s\n' "$heard"
	return "$heard_status"
}

# Whose rights it takes to change what stands in a path's folder. Sets $rights.
rights_over() { # path
	nearest_folder "${1%/*}"
	rights=direct
	[ -w "$folder/" ] || rights=root
}

# Whose rights the following takes. Sets $run_as. What root makes in the login user's home is that user's own.
by() { # direct|root [path]
	run_as=
	[ "$1" != root ] || run_as=as_root
	case ${login_user:+${2:-}} in
	"${login_home:-/dev/null}"/*) run_as=as_login_user ;;
	esac
}

# The folder of a unit's drop-ins goes with the last of them.
leave_no_folder() { # path of a link
	case $1 in
	*.d/*) rmdir "${1%/*}" 2>/dev/null ;;
	esac
	return 0
}

# What stands in a file of one line.
print_line() { # word file
	line=
	IFS= read -r line 2>/dev/null <"$2"
	printf '%s %s\n' "$1" "$line"
}

# The nearest existing folder at or above an absolute path. Sets $folder.
nearest_folder() {
	folder=/${1#/}
	while [ ! -d "$folder" ]; do
		folder=${folder%/*}
		[ -n "$folder" ] || folder=/
	done
}

# All that is in the release in the current folder: files with all that changes when they do, symlinks, empty folders.
# Without the marks that the host has made. What find is told first may leave something out.
list_release() { # words-for-find...
	find . "$@" -type f ! -path ./sealed ! -path ./good -printf 'file %m %s %C@ %i %P\n' \
		-o -type l -printf 'symlink %P\t%l\n' -o -type d -empty -printf 'folder %P\n'
}

# The client is gone when this shell's input ends.
attached=
detach() {
	[ -z "$attached" ] || hang_up "$attached" >/dev/null
}
trap detach EXIT
# logind may end the processes of a session that is over (KillUserProcesses=, logind.conf(5)).
trap 'trap "" HUP TERM; exit 1' HUP TERM
# Writing to a client that is gone must not kill the shell before it gets there.
trap '' PIPE
