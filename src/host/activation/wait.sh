# Waits until a run that is alive is over. Output: a line of nothing now and then, for whoever takes silence for a dead host.
#
# Arguments: the run's folder, its id, how many seconds it waits for its word, whether the service's lock is ours ("own").
root=${1%/runs/*}

# Whether its client is gone: that one would have the lock.
left_alone() {
	[ "$whose" = own ] || flock -n "$root/lock" true
}

whose=$4
read -r begun _ </proc/uptime
# One that is being prepared has no unit yet, but its client has the lock.
while service_manager is-active --quiet "shipit-$2" || {
	[ "$(readlink "$root/pending")" = "runs/$2" ] && ! left_alone
}; do
	sleep 0.2
	read -r now _ </proc/uptime
	[ "$(((${now%.*} - ${begun%.*}) % 10))" != 0 ] || echo
	if [ "$((${now%.*} - ${begun%.*}))" -ge "$3" ] && left_alone &&
		! grep -q '^pending ' "$1/log"; then
		# It hangs, and whoever should have told it is gone, too.
		(hang_up "$1")
	fi
done
