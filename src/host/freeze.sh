# A freeze: people keep a service as it is on this host, until one of them lifts it. The file "freeze" at the service's
# root says who; lock.sh looks at it once it has the lock.
expand_home "$1"
root=$path

# Prints "made", or "there HOLDER" where someone was first; then "held HOLDER" when a run is under way, which a freeze
# does not stop.
freeze() { # line-of-json-about-the-holder
	mkdir -p "$root" || return
	new=$root/freeze.new.$$
	# On the disk before it has its name: a freeze outlasts a power cut, too.
	printf '%s\n' "$1" >"$new" && sync "$new" || return
	# link(2) does not replace: of two at once, one is first.
	if ln -T "$new" "$root/freeze" 2>/dev/null; then
		rm -f "$new"
		sync "$root"
		echo made
	elif [ -e "$root/freeze" ]; then
		rm -f "$new"
		print_line there "$root/freeze"
	else
		rm -f "$new"
		echo "the file $root/freeze could not be made" >&2
		return 1
	fi
	if [ -r "$root/lock.holder" ] && ! flock -n "$root/lock" true; then
		print_line held "$root/lock.holder"
	fi
}

# Prints "lifted HOLDER", or "none".
lift() {
	taken=$root/freeze.lifted.$$
	if mv -T "$root/freeze" "$taken" 2>/dev/null; then
		print_line lifted "$taken"
		rm -f "$taken"
	elif [ -e "$root/freeze" ]; then
		echo "the file $root/freeze could not be removed" >&2
		return 1
	else
		echo none
	fi
}
