# What is done to a file outside of the release, in the place of it: by the login user, or as root. Texts for a shell of
# their own, as sudo runs no functions. In them, no word has a single quote.
#
# A finished file takes its place by rename(2). The names in between begin with a dot and end as those of dpkg do: cron, sudo,
# logrotate and run-parts pass over them in the folders they read.

# Sees that a place is what it is expected to be, and saves what is there; also for good, where that is wanted.
# shellcheck disable=SC2016 # expands in the inner shell
save_program='
umask 077
if [ -L "$1" ]; then
	is="link $(readlink -- "$1")"
elif [ -f "$1" ]; then
	is=$(sha256sum <"$1") || exit
	is="file ${is%% *}"
elif [ -e "$1" ]; then
	echo "$1 is neither a file nor a link"
	exit 1
else
	is=missing
fi
if [ "$2" != any ] && [ "$2" != "$is" ]; then
	case $2 in
	missing) echo "$1 is there already, and not of this service" ;;
	*) echo "$1 is not what it was when it was last looked at" ;;
	esac
	exit 1
fi
[ "$is" != missing ] || exit 0
cp -a -T -- "$1" "$3.part" || exit
[ -L "$3.part" ] || sync "$3.part" || exit
mv -T -- "$3.part" "$3" && sync "${3%/*}" || exit
[ "$4" = - ] || cp -a --backup=numbered -T -- "$1" "$4"
'

# Puts a copy of a file at a place, with a mode, an owner and a group. Says at last what it is like there.
# shellcheck disable=SC2016
place_program='
umask 022
folder=${1%/*}/
[ -d "$folder" ] || mkdir -p -- "$folder" || exit
install -m "$3" ${4:+-o "$4"} ${5:+-g "$5"} -T -- "$2" "$6" && sync "$6" && mv -fT -- "$6" "$1" || {
	rm -f -- "$6"
	exit 1
}
if command -v restorecon >/dev/null 2>&1 && selinuxenabled; then
	restorecon -- "$1" || exit
fi
sync "$folder"
find "$1" -maxdepth 0 -printf "placed %m %u %g %i %s %C@\n"
'

# Puts back what was saved; "-": nothing was there.
# shellcheck disable=SC2016
put_back_program='
rm -f -- "$3"
if [ "$2" = - ]; then
	rm -f -- "$1"
elif ! { cp -a -T -- "$2" "$3" && { [ -L "$3" ] || sync "$3"; } && mv -fT -- "$3" "$1"; }; then
	# There may be no room for both.
	rm -f -- "$3" "$1" && cp -a -T -- "$2" "$1" || exit
fi
[ ! -d "${1%/*}/" ] || sync "${1%/*}/"
'
