# Whose service manager runs the service. For every program of shipit's.
#
# $scope is "user" or "system". In the system's scope, the programs run as root, but for one that only looks; $users_units
# are those of its units, by name, that the login user's own manager runs.
case $scope in
system) unit_folder=/etc/systemd/system ;;
*) unit_folder=$HOME/.config/systemd/user ;;
esac

service_manager() {
	case $scope:$users_units in
	system:) systemctl "$@" ;;
	system:*) each_manager "$@" ;;
	*) systemctl --user "$@" ;;
	esac
}

is_users() { # unit
	case " $users_units " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# The login user's own manager, with that user's rights.
users_manager() {
	if [ -z "${login_user:-}" ]; then
		systemctl --user "$@"
	else
		as_login_user env "XDG_RUNTIME_DIR=/run/user/$(id -u -- "$login_user")" systemctl --user "$@"
	fi
}

as_login_user() {
	setpriv --reuid="$login_user" --regid="$(id -g -- "$login_user")" --init-groups --inh-caps=-all \
		env "HOME=$login_home" "$@"
}

# Each of the two is asked about its own units, in the order given. What is about no unit is for the system's, but for the
# reading of unit files.
each_manager() ( # word... [-- unit...]
	set -f
	unset IFS
	asked=
	while [ $# != 0 ] && [ "$1" != -- ]; do
		asked="$asked $1"
		shift
	done
	if [ $# = 0 ]; then
		# shellcheck disable=SC2086 # words without white space
		systemctl $asked || return
		case $asked in
		*' daemon-reload') [ -n "${block:-}" ] || users_manager daemon-reload ;;
		esac
		return
	fi
	status=0
	group=
	of=
	shift
	for unit in "$@" ''; do
		whose=systemctl
		! is_users "$unit" || whose=users_manager
		if [ -n "$of" ] && { [ "$of" != "$whose" ] || [ -z "$unit" ]; }; then
			# shellcheck disable=SC2086 # names have no white space
			ask_about_units "$of" "$asked" $group || status=$?
			[ -z "$unit" ] || [ "${asked# show}" = "$asked" ] || echo
			group=
		fi
		of=$whose
		group="$group $unit"
	done
	return "$status"
)

ask_about_units() { # manager words unit...
	# In a boot, that user's manager comes later, and starts its units by itself.
	[ "$1:${block:+boot}" != users_manager:boot ] || return 0
	manager=$1
	words=$2
	shift 2
	# shellcheck disable=SC2086 # words without white space
	"$manager" $words -- "$@"
}

transient_unit() {
	case $scope in
	system) systemd-run "$@" ;;
	*) systemd-run --user "$@" ;;
	esac
}

# A path as the plan has it: "~/" stands for the home directory of the user who logged in. Sets $path.
expand_home() {
	case $1 in
	[~]/*) path=${login_home:-$HOME}/${1#??} ;;
	*) path=$1 ;;
	esac
}
