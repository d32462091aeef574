# Becomes root, for a service of the system's scope. The last line of this program starts root's shell on the same
# input: nothing may be sent before it has answered.
#
# Output: "MARK root", or "MARK password WHY" where sudo wants one, or "MARK refused WHY"; then nothing more.
become_root() { # mark password
	if [ "$(id -u)" = 0 ]; then
		printf '\n%s root\n' "$1"
		return
	fi
	# sudo remembers for those who have the same parent, where there is no terminal (timestamp_type, sudoers(5)).
	[ -z "$2" ] || printf '%s\n' "$2" | sudo -S -p '' -v >/dev/null 2>&1
	by=
	kind=refused
	why='there is neither sudo nor doas'
	if command -v sudo >/dev/null 2>&1; then
		by=sudo
		why=$(sudo -n true 2>&1) && why=
		case $why in
		*'assword is required'*) kind=password ;;
		esac
	fi
	if [ -n "$why" ] && command -v doas >/dev/null 2>&1 && doas -n true 2>/dev/null; then
		by=doas
		why=
	fi
	if [ -n "$why" ]; then
		printf '\n%s %s %s\n' "$1" "$kind" "$(printf '%s' "$why" | tail -n 1)"
		exit 1
	fi
	printf '\n%s root\n' "$1"
	"$by" -n -- env "SHIPIT_LOGIN_HOME=$HOME" "SHIPIT_LOGIN_USER=$(id -un)" /bin/sh -s
	exit
}
