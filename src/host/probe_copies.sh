# Prints what stands where copies of the release's files are, or are to be. A part of the probe, before the rest of it.
#
# Arguments: the service's root, then the places that the manifest names. Those that have a copy are in "installed" at the root
# (activation/install.sh). Output: lines of
# "copy ACCESS KIND MODE OWNER GROUP HASH<tab>TARGET OF A LINK<tab>WHAT SHIPIT PUT THERE<tab>PLACE"; where only root can tell,
# "copy_seen KIND MODE OWNER GROUP HASH<tab>TARGET<tab>PLACE" may follow.
tab='	'
expand_home "$1"
root=$path
shift
places=$newline
for place in "$@"; do
	expand_home "$place"
	places=$places$path$newline
done
lines=$newline
if [ -r "$root/installed" ]; then
	while IFS= read -r line; do
		lines=$lines$line$newline
		place=${line##*"$tab"}
		case $places in
		*"$newline$place$newline"*) ;;
		*) places=$places$place$newline ;;
		esac
	done <"$root/installed"
fi

# What shipit put at a place, without its name. Sets $placed; empty: nothing.
placed_at() { # place
	placed=
	case $lines in
	*"$tab$1$newline"*)
		placed=${lines%%"$tab$1$newline"*}
		placed=${placed##*"$newline"}
		;;
	esac
}

copies_for_root=
look_at_copies() { # place...
	seen=$newline$(find "$@" -maxdepth 0 -printf '%p\t%y %m %u %g %i %s %C@ %l\n' 2>/dev/null)$newline
	for place in "$@"; do
		placed_at "$place"
		nearest_folder "${place%/*}"
		access=root
		[ -w "$folder" ] && access=direct
		case $seen in
		*"$newline$place$tab"*)
			found=${seen#*"$newline$place$tab"}
			found=${found%%"$newline"*}
			;;
		*)
			found='missing - - - - - - '
			[ -x "$folder" ] || found='hidden - - - - - - '
			;;
		esac
		IFS=' ' read -r kind mode owner group inode size changed target <<-FOUND
			$found
		FOUND
		hash=-
		if [ "$kind" = f ]; then
			case $placed in
			# As it was when it was put there: it need not be read.
			*" $inode $size $changed$tab"*) hash=${placed%% *} ;;
			*)
				if [ -r "$place" ] && sum=$(sha256sum <"$place"); then
					hash=${sum%% *}
				fi
				;;
			esac
		fi
		case $kind:$hash in
		hidden:* | f:-) copies_for_root=$copies_for_root$place$newline ;;
		esac
		printf 'copy %s %s %s %s %s %s\t%s\t%s\t%s\n' "$access" "$kind" "$mode" "$owner" "$group" "$hash" \
			"$target" "$placed" "$place"
		[ "$access" = direct ] || copies_need_root=yes
	done
}

# The same, with root's rights.
look_as_root() {
	set -f
	IFS=$newline
	# shellcheck disable=SC2086 # one argument a place
	set -- $copies_for_root
	unset IFS
	set +f
	# shellcheck disable=SC2016 # expands in the inner shell
	as_root sh -c '
		for place; do
			hash=-
			target=
			if [ -L "$place" ]; then
				kind=l
				target=$(readlink -- "$place")
			elif [ -f "$place" ]; then
				kind=f
				hash=$(sha256sum <"$place")
				hash=${hash%% *}
			elif [ -e "$place" ]; then
				kind=d
			else
				printf "copy_seen missing - - - -\t\t%s\n" "$place"
				continue
			fi
			printf "copy_seen %s %s %s\t%s\t%s\n" "$kind" "$(stat -c "%a %U %G" -- "$place")" "$hash" "$target" "$place"
		done
	' sh "$@" </dev/null
}

copies_need_root=
if [ "$places" != "$newline" ]; then
	set -f
	IFS=$newline
	# shellcheck disable=SC2086 # one argument a place
	set -- $places
	unset IFS
	set +f
	look_at_copies "$@"
fi
