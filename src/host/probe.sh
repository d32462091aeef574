# Prints the facts of this host that a plan is made from. Changes nothing.
#
# Arguments: the service's name, the units' names in one argument with spaces between, then pairs of a link's path
# and what it should point to below the service's root.
# Output: lines of "key value"; lines of a file stand behind "key=".
name=$1
units=$2
shift 2
root=$(root_of "$name")

fact() {
	printf '%s %s\n' "$1" "$2"
}

# A file's lines behind a key, whatever they are, and whether or not the last one ends.
fact_lines() {
	sed "s/^/$1=/" <"$2"
	printf '\n'
}

fact home "$HOME"
fact user "$(id -un)"
fact uid "$(id -u)"
fact kernel "$(uname -s)"
fact machine "$(uname -m)"
fact hostname "$(uname -n)"
read -r uptime _ </proc/uptime && fact uptime "$uptime"
fact libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
if command -v systemctl >/dev/null 2>&1; then
	if [ -d /run/systemd/system ]; then
		fact systemd "$(systemctl --version | head -n 1)"
	else
		fact systemd not-booted
	fi
else
	fact systemd missing
fi

# loginctl enable-linger is this file: org.freedesktop.login1(5), "Linger".
if [ -e "/var/lib/systemd/linger/$(id -un)" ]; then
	lingering=on
else
	lingering=off
fi
fact lingering "$lingering"

home_folder=$(nearest_folder "$root")
if [ -w "$home_folder" ]; then
	fact root_writable yes
else
	fact root_writable no
fi
fact free_kib "$(df -Pk "$home_folder" 2>/dev/null | awk 'END { print $4 }')"
fact free_inodes "$(df -Pi "$home_folder" 2>/dev/null | awk 'END { print $4 }')"

manager=$(systemctl --user show -p SystemState 2>&1)
case $manager in
SystemState=*) fact manager "${manager#SystemState=}" ;;
*) fact manager "unreachable $(printf '%s' "$manager" | head -n 1)" ;;
esac
set -f # a unit's name has no white space, and is not a pattern
for unit in $units; do
	fact unit "$unit"
	shown=$(systemctl --user show \
		-p LoadState,ActiveState,SubState,UnitFileState,Type,MainPID,NRestarts,InvocationID,Result \
		-p ActiveEnterTimestampMonotonic,MemoryCurrent \
		-- "$unit" 2>/dev/null)
	printf '%s\n' "$shown" | sed 's/^/unit_property=/'
	pid=$(printf '%s\n' "$shown" | sed -n 's/^MainPID=//p')
	if [ -n "$pid" ] && [ "$pid" != 0 ] && [ -e "/proc/$pid/exe" ]; then
		# The same inode is the same bytes, and those are hashed below.
		running=$(stat -L -c %d:%i "/proc/$pid/exe" 2>/dev/null)
		stored=$(stat -L -c %d:%i "$root/current/bin/$name" 2>/dev/null)
		if [ -n "$running" ] && [ "$running" = "$stored" ]; then
			fact unit_executable current
		else
			fact unit_executable "$(sha256sum <"/proc/$pid/exe" 2>/dev/null | cut -c 1-64)"
		fi
	fi
done
set +f

if current=$(readlink "$root/current" 2>/dev/null); then
	fact current "$current"
	folder=$root/$current
	if [ -f "$folder/release.json" ]; then
		fact_lines release_json "$folder/release.json"
	fi
	if [ -d "$folder" ]; then
		(
			cd "$folder" || exit
			find . -type f ! -path ./release.json -exec sha256sum {} + 2>/dev/null | sed 's/^/file_hash=/'
			find . -type f ! -path ./release.json -exec stat -c '%a %s %n' {} + 2>/dev/null | sed 's/^/file_mode=/'
			for text in units/* env/*; do
				if [ -f "$text" ] && [ -r "$text" ] && [ "$(wc -c <"$text")" -le 65536 ]; then
					fact text "$text"
					fact_lines text_line "$text"
				fi
			done
		)
	fi
elif [ -e "$root/current" ]; then
	fact current_blocked "$root/current"
fi
if [ -d "$root/releases" ]; then
	find "$root/releases" -mindepth 1 -maxdepth 1 -type d -exec basename {} \; | sed 's/^/release=/'
fi

needs_root=$([ "$lingering" = off ] && echo yes)
while [ $# -ge 2 ]; do
	path=$(expand_home "$1")
	wanted=$root/$2
	shift 2
	parent=$(dirname -- "$path")
	if [ -w "$(nearest_folder "$parent")" ]; then
		access=direct
	else
		access=root
	fi
	if target=$(readlink "$path" 2>/dev/null); then
		printf 'link %s symlink %s\n' "$access" "$target"
		[ "$target" = "$wanted" ] && continue
	elif [ -d "$path" ]; then
		printf 'link %s folder \n' "$access"
	elif [ -e "$path" ]; then
		printf 'link %s file \n' "$access"
	else
		printf 'link %s missing \n' "$access"
	fi
	[ "$access" = root ] && needs_root=yes
done

# Asked only where it matters: sudo writes a line to the host's log each time.
if [ "$(id -u)" = 0 ]; then
	fact sudo root
elif [ "$needs_root" != yes ]; then
	fact sudo not-needed
elif ! command -v sudo >/dev/null 2>&1; then
	fact sudo missing
elif said=$(sudo -n true 2>&1); then
	fact sudo passwordless
else
	fact sudo "refused $(printf '%s' "$said" | tail -n 1)"
fi
fact end ok
