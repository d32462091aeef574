# What is built on the host for a release: folders beside the releases, each named after what it is built from. A file
# beside each says that it is whole.

prepare() { # seconds key text
	folder=$root/prepared/$2
	rm -rf "$folder" "$folder.whole" || return
	mkdir -p "$folder" && cd "$folder" || return
	SHIPIT_PREPARED=$folder
	export SHIPIT_PREPARED
	run_text "$1" "$3" || return
	sync -f . && true >"$folder.whole" && sync "$folder.whole" "$root/prepared"
}

# Removes what no release leads to any more.
sweep_prepared() {
	[ -d "$root/prepared" ] || return 0
	used=$(find "$root"/releases/* -maxdepth 1 -type l -lname '../../prepared/*' -printf '%l\n' 2>/dev/null)
	for folder in "$root"/prepared/*; do
		case $folder in
		*.whole) [ -d "${folder%.whole}" ] || rm -f "$folder" ;;
		*)
			case $newline$used$newline in
			*"$newline../../prepared/${folder##*/}$newline"*) ;;
			*) rm -rf "$folder" "$folder.whole" ;;
			esac
			;;
		esac
	done
}
