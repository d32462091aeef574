# Prints the facts of this host that a plan is made from. Changes nothing.
#
# Arguments: the service's name, its root, the units' names in one argument with spaces between, those of them that are the
# login user's in a service of the system's, how much is asked ("present"; "removal": it is all to go; "holds": also who holds
# the service; a number: also the records of all releases, and so many lines of the history), then pairs of a link's path and what it should point
# to below the service's root.
# Output: lines of "key value"; what other programs print stands as they print it, see probe.rs.
tab='	'
name=$1
expand_home "$2"
root=$path
units=$3
users_units=$4
extent=$5
shift 5
home=${login_home:-$HOME}

fact() {
	printf '%s %s\n' "$1" "$2"
}

case $home in
*[[:cntrl:]]*) fact home "(with a control character in it)" ;;
*) fact home "$home" ;;
esac
fact user "${SHIPIT_LOGIN_USER:-$user}"
fact uid "$uid"
read -r uptime _ </proc/uptime && fact uptime "$uptime"

# Side by side with the units: systemctl takes its time. Nothing else is printed until it is over.
manager() {
	fact libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
	if ! command -v systemctl >/dev/null 2>&1; then
		fact systemd missing
	elif [ ! -d /run/systemd/system ]; then
		fact systemd not-booted
	elif manager=$(service_manager show -p Version -p SystemState 2>&1); then
		printf '%s\n' "$manager"
	else
		fact manager_unreachable "${manager%%"$newline"*}"
		fact systemd "$(systemctl --version)"
	fi
}
manager &

# What releases have of units, and the manifest perhaps no longer: their names, and the files below units/.
others=
unit_files=$newline
look_into() { # folder of a release...
	for release in "$@"; do
		shift
		set -- "$@" "$release/release.json"
		for file in "$release"/units/* "$release"/units/*.d/*; do
			[ -f "$file" ] || continue
			file=${file##*/units/}
			case $file in
			*[[:cntrl:]]*) continue ;;
			esac
			case $unit_files in
			*"$newline$file$newline"*) ;;
			*) unit_files=$unit_files$file$newline ;;
			esac
		done
	done
	set -f
	# grep first: a record may be a megabyte in one line.
	# shellcheck disable=SC2013 # names have no white space
	for unit in $(grep -oh -e '"units":\[{"name":"[^]]*' -e '"users_units":\["[^]]*' "$@" 2>/dev/null |
		sed -e 's/"units":\[{"name":"//' -e 's/"[^{]*{"name":"/ /g' \
			-e '/"users_units":\["/{s///;s/^/*/;s/","/ */g}' -e 's/".*//' -e 's/\\\\/\\/g'); do
		case $unit: in
		'*'*)
			unit=${unit#?}
			is_users "$unit" || users_units="$users_units${users_units:+ }$unit"
			continue
			;;
		esac
		case " $units $others " in
		*" $unit "*) ;;
		*) others="$others $unit" ;;
		esac
	done
	set +f
}
case $extent in
present | removal | holds) [ ! -L "$root/current" ] || look_into "$root/current" ;;
*) [ ! -d "$root/releases" ] || look_into "$root"/releases/* ;;
esac
users_manager=
if [ -n "$users_units" ] && ! users_manager=$(users_manager show -p Version 2>&1); then
	users_manager="manager_unreachable ${users_manager%%"$newline"*}"
fi
set -f # a unit's name has no white space, and is not a pattern
shown=
units=$units$others
if [ -n "$units" ]; then
	# Times are told in the host's time zone, whose name may be anything.
	# shellcheck disable=SC2086 # one argument a unit
	shown=$(TZ=UTC && export TZ && service_manager show \
		-p LoadState,ActiveState,SubState,UnitFileState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ActiveEnterTimestampMonotonic,MemoryCurrent,NextElapseUSecRealtime,NextElapseUSecMonotonic -- $units 2>/dev/null)
fi
set +f
system=$(uname -snm)
nearest_folder "$root"
room=$(stat -f -c '%a %S %d' -- "$folder" 2>/dev/null)
# A copy made ahead of time makes way (activation/spare.sh).
if read -r kib files 2>/dev/null <"$root/spare/room"; then
	# shellcheck disable=SC2086 # three numbers
	room=$(set -- $room && echo "$(($1 + kib * 1024 / $2)) $2 $(($3 == 0 ? 0 : $3 + files))")
fi
wait
fact others "$others"
fact users_units "$users_units"
[ "${users_manager#manager}" = "$users_manager" ] || printf '%s\n' "$users_manager"
set -f
IFS=$newline
for file in $unit_files; do
	fact unit_file "$file"
	set -- "$@" "$unit_folder/$file" "current/units/$file"
	[ -z "$users_units" ] || set -- "$@" "$home/.config/systemd/user/$file" "current/units/$file"
done
unset IFS
set +f
# Where the service's files were linked to besides, and still are. Nothing is wanted there.
wanted=$newline
for word in "$@"; do
	wanted=$wanted$word$newline
done
if [ -r "$root/linked" ]; then
	while IFS= read -r link; do
		case $wanted in
		*"$newline$link$newline"*) ;;
		*)
			fact linked "$link"
			set -- "$@" "$link" -
			;;
		esac
	done <"$root/linked"
fi
fact system "$system"
if [ -w "$folder" ]; then
	fact root writable
else
	case $(findmnt -n -o OPTIONS -T "$folder" 2>/dev/null) in
	ro | ro,*) fact root read_only ;;
	esac
fi
fact room "$room"
command -v tar >/dev/null 2>&1 && fact tar yes

# loginctl enable-linger is this file: org.freedesktop.login1(5), "Linger".
lingering=off
[ "$scope:$users_units" = system: ] && lingering=on
[ -e "/var/lib/systemd/linger/${login_user:-$user}" ] && lingering=on
fact lingering "$lingering"

set -f
if [ -n "$units" ]; then
	printf 'units_begin\n%s\nunits_end\n' "$shown"
	IFS=$newline
	for line in $shown; do
		case $line in
		MainPID=0 | [!M]* | M[!a]*) continue ;;
		esac
		pid=${line#MainPID=}
		# shellcheck disable=SC3013 # dash and busybox know -ef
		if [ "/proc/$pid/exe" -ef "$root/current/bin/$name" ]; then
			# The same inode is the same bytes, and those are hashed below.
			fact executable "$pid current"
		elif hash=$(sha256sum 2>/dev/null <"/proc/$pid/exe"); then
			fact executable "$pid ${hash%% *}"
		fi
	done
	unset IFS
fi
set +f

# Where all links lead, at once: "PATH<tab>TARGET", each between two line breaks.
read_links() { # path where-it-should-point...
	count=$#
	while [ "$count" -gt 0 ]; do
		expand_home "$1"
		shift 2
		set -- "$@" "$path"
		count=$((count - 2))
	done
	# shellcheck disable=SC2185 # there is a path
	links=$newline$(find "$root/current" "$root/pending" "$@" -maxdepth 0 -type l -printf '%p\t%l\n' 2>/dev/null)$newline
}

# Sets $target to where a link leads.
target_of() { # path
	case $links in
	*"$newline$1$tab"*)
		target=${links#*"$newline$1$tab"}
		target=${target%%"$newline"*}
		;;
	*) return 1 ;;
	esac
}

# What is shown of a release as text: its units, its env file, its record, as far as they are small. awk reads them: a shell
# is slow over thousands of lines.
read_texts() { # lines of "file MODE SIZE CTIME INODE PATH"
	printf '%s\n' "$1" | grep -E '^file [^ ]* [^ ]* [^ ]* [^ ]* ((units|env)/.*|release\.json)$' | awk '
		{
			path = substr($0, length($1 $2 $3 $4 $5) + 6)
			if ($3 > (path == "release.json" ? 33554432 : 65024)) next
			while ((getline line < ("./" path)) > 0) print "text " path "\t" line
			close("./" path)
		}
	' 2>/dev/null
}

read_links "$@"
if target_of "$root/current"; then
	current=$target
	fact current "$current"
	if cd "$root/$current" 2>/dev/null; then
		# What has not been touched since it was sealed (seal in activation/release.sh) has the hashes of its record: reading
		# the files again is most of what a probe can cost.
		files=$(list_release 2>/dev/null)
		if [ -r sealed ] && printf '%s\n' "$files" | cmp -s - sealed; then
			fact intact yes
		else
			printf '%s\n' "$files"
			# A large file takes a while, and a host that says nothing is taken for dead.
			while sleep 15 >/dev/null 2>&1 && echo; do :; done &
			sums=$(find . -type f ! -path ./release.json ! -path ./sealed ! -path ./good -exec sha256sum {} + 2>/dev/null)
			kill "$!" 2>/dev/null
			printf '%s\n' "$sums"
		fi
		read_texts "$files"
		cd / || exit
	fi
elif [ -e "$root/current" ]; then
	fact current_blocked "$root/current"
fi
if target_of "$root/pending"; then
	run=${target##*/}
	alive=dead
	service_manager is-active --quiet "shipit-$run" && alive=alive
	fact pending "$run $alive"
fi
for release in "$root"/releases/*; do
	[ -d "$release" ] || continue
	standing=unproven
	[ -e "$release/good" ] && standing=good
	fact release "${release##*/} $standing"
done

for whole in "$root"/prepared/*.whole; do
	[ -e "$whole" ] || continue
	whole=${whole##*/}
	fact prepared "${whole%.whole}"
done

if [ "$extent" != present ] && [ "$extent" != removal ]; then
	[ -r "$root/freeze" ] && print_line freeze "$root/freeze"
	# The file about the holder may outlive it; the lock does not.
	if [ -r "$root/lock.holder" ] && ! flock -n "$root/lock" true; then
		print_line lock "$root/lock.holder"
	fi
fi
case $extent in
present | removal | holds) ;;
*)
	if cd "$root/releases" 2>/dev/null; then
		find . -mindepth 2 -type f -printf 'stored %s %P\n' -name release.json -size -65536 -readable \
			-exec awk '{ printf "record %s\t%s\n", FILENAME, $0 }' {} + 2>/dev/null
		cd / || exit
	fi
	if [ "$extent" != 0 ] && [ -r "$root/history.jsonl" ]; then
		tail -c 1048576 "$root/history.jsonl" | tail -n "$extent" | sed 's/^/history /'
	fi
	;;
esac

# How root's rights are had: "passwordless"; "refused WHY", where a password may help; "denied WHY"; "missing".
ask_for_root() {
	standing=missing
	if command -v sudo >/dev/null 2>&1; then
		said=$(sudo -n true 2>&1) && standing=passwordless
		case $standing:$said in
		passwordless:*) ;;
		*'must have a tty'*)
			# requiretty, sudoers(5). script(1) gives it one.
			elevation=terminal
			if ! command -v script >/dev/null 2>&1; then
				standing="denied $said, and there is no script(1) to give it one"
			else
				said=$(SHELL=/bin/sh script -qec 'exec sudo -n true' /dev/null 2>&1 </dev/null) && standing=passwordless
				said=$(printf '%s\n' "$said" | tr -d '\r')
			fi
			;;
		esac
		case $standing in
		missing) standing="refused ${said##*"$newline"}" ;;
		esac
	fi
	if [ "$standing" != passwordless ] && command -v doas >/dev/null 2>&1; then
		if said=$(doas -n true 2>&1); then
			standing=passwordless
			elevation=doas
		elif [ "$standing" = missing ]; then
			elevation=doas
			case $said in
			*'uthentication required'* | *'uthorization required'*) standing="refused $said" ;;
			*) standing="denied $said" ;;
			esac
		fi
	fi
	fact sudo "$standing"
	[ -z "$elevation" ] || fact elevation "$elevation"
}

elevation=
needs_root=$copies_need_root
[ "$lingering" = off ] && needs_root=yes
while [ $# -ge 2 ]; do
	expand_home "$1"
	wanted=$root/$2
	shift 2
	nearest_folder "${path%/*}"
	access=root
	[ -w "$folder" ] && access=direct
	if target_of "$path"; then
		fact link "$access symlink $target"
		[ "$target" = "$wanted" ] && [ "$extent" != removal ] && continue
	elif [ -d "$path" ]; then
		fact link "$access folder"
	elif [ -e "$path" ]; then
		fact link "$access file"
	else
		fact link "$access missing"
	fi
	[ "$access" = root ] && needs_root=yes
done

# Asked only where it matters: sudo writes a line to the host's log each time.
if [ "$uid" = 0 ]; then
	fact sudo root
elif [ "$needs_root" != yes ]; then
	fact sudo not-needed
else
	ask_for_root
fi
if [ -n "$copies_for_root" ] && [ -z "$elevation" ]; then
	case $uid:${standing:-} in
	0:* | *:passwordless) look_as_root ;;
	esac
fi
fact end ok
