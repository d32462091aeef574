# A copy of what is most of a large release, for the next one to begin with: the next deploy need not wait for it.

# So many files are worth it.
spare_from=500

# What of a release is neither its program nor a unit nor its env file, beside everything that runs. Made once a run is over,
# by nobody's time; compared with the release, which must be as it was sealed. stage.sh takes it, and nothing else does.
make_spare() {
	cd "$root/current" && release=$(pwd -P) && [ -r sealed ] || return
	count=$(wc -l <sealed)
	[ "$count" -ge "$spare_from" ] || return
	exec 9>>"$root/spare.lock" && flock -w 60 9 || return
	rm -rf "$root/spare" "$root/spare.new"
	kib=$(du -sk .) && kib=${kib%%"$tab"*} && room_for_spare || return
	# Whatever else the host has to do goes first.
	renice -n 19 -p "$$" && ionice -c 3 -p "$$"
	if mkdir -p "$root/spare.new/files" && copy_ahead; then
		mv -T "$root/spare.new" "$root/spare"
	else
		rm -rf "$root/spare.new"
	fi
}

# Not on a disk that it could fill.
room_for_spare() {
	# shellcheck disable=SC2046 # four numbers
	set -- $(stat -f -c '%a %S %d %c' -- "$root")
	[ "$(($1 * $2 / 1024))" -ge "$((kib * 4))" ] && { [ "$4" = 0 ] || [ "$3" -ge "$((count * 4))" ]; }
}

copy_ahead() {
	new=$root/spare.new
	list_release | cmp -s - sealed || return
	for entry in ./* ./.[!.]* ./..?*; do
		case $entry in
		./bin | ./units | ./env | ./release.json | ./sealed | ./good) continue ;;
		esac
		[ -e "$entry" ] || [ -L "$entry" ] || continue
		cp -dRp -- "$entry" "$new/files" || return
	done
	(cd "$new/files" && list_release >../sealed) || return
	(cd "$new/files" && find . -type f -exec sha256sum {} +) | sha256sum --check --strict --quiet - || return
	# What was compared with is what was sealed, still.
	list_release | cmp -s - sealed || return
	printf '%s\n' "${release##*/}" >"$new/of" && printf '%s %s\n' "$kib" "$count" >"$new/room" && sync -f "$new"
}
