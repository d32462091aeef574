# What every program of shipit's can use. Sent once, when the shell on the host is opened.
# POSIX sh; needs coreutils, util-linux and systemd >= 245 on the host.
LC_ALL=C
export LC_ALL
umask 022
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
	XDG_RUNTIME_DIR=/run/user/$(id -u)
	export XDG_RUNTIME_DIR
fi
SYSTEMD_COLORS=0
SYSTEMD_PAGER=
export SYSTEMD_COLORS SYSTEMD_PAGER
sudo_password=
sudo_mode=ask_not

# The root of a service: all that shipit keeps about it on this host.
root_of() {
	printf '%s/.local/share/shipit/%s' "$HOME" "$1"
}

# A path as the plan has it: "~/" stands for the home directory.
expand_home() {
	case $1 in
	[~]/*) printf '%s/%s' "$HOME" "${1#??}" ;;
	*) printf '%s' "$1" ;;
	esac
}

# Runs a command as root. The password, when one is needed, goes over a pipe from a shell builtin: it is in no
# argument list.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ "$sudo_mode" = password ]; then
		printf '%s\n' "$sudo_password" | sudo -S -p '' -- "$@"
	else
		sudo -n -- "$@"
	fi
}

# The nearest existing folder at or above a path.
nearest_folder() {
	folder=$1
	while [ ! -d "$folder" ]; do
		folder=$(dirname -- "$folder")
	done
	printf '%s' "$folder"
}
