# Whose service manager runs the service. For every program of shipit's.
#
# $scope is "user" or "system". In the system's scope, the programs run as root, but for one that only looks.
case $scope in
system) unit_folder=/etc/systemd/system ;;
*) unit_folder=$HOME/.config/systemd/user ;;
esac

service_manager() {
	case $scope in
	system) systemctl "$@" ;;
	*) systemctl --user "$@" ;;
	esac
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
