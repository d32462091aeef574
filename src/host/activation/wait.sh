# Waits until a run that is alive is over.
#
# Arguments: the run's folder, its id, how many seconds it waits for its word.
root=${1%/runs/*}
read -r begun _ </proc/uptime
# One that is being prepared has no unit yet, but its client has the lock.
while systemctl --user is-active --quiet "shipit-$2" || {
	[ "$(readlink "$root/pending")" = "runs/$2" ] && ! flock -n "$root/lock" true
}; do
	sleep 0.2
	read -r now _ </proc/uptime
	if [ "$((${now%.*} - ${begun%.*}))" -ge "$3" ] && flock -n "$root/lock" true &&
		! grep -q '^pending ' "$1/log"; then
		# It hangs, and whoever should have told it is gone, too.
		hang_up "$1"
	fi
done
