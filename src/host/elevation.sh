# Root's rights where plain sudo is not the way to them; takes the place of what prelude.sh has. $elevation is "terminal"
# (sudo wants one: requiretty, sudoers(5)) or "doas".

as_root() {
	case $elevation:$sudo_mode in
	doas:without_password) doas -n -- "$@" </dev/null ;;
	doas:password) as_root_on_terminal doas_with_password "$@" ;;
	*:password) as_root_on_terminal sudo_with_password "$@" ;;
	*) as_root_on_terminal sudo_without_password "$@" ;;
	esac
}

# doas can only be asked by a command.
check_password() {
	as_root true
}

# Runs a command on a terminal of its own. script(1) hands a text to a shell: the words of the command are variables
# there, and no part of it.
as_root_on_terminal() ( # function word...
	how=$1
	shift
	count=0
	words=
	for word in "$@"; do
		count=$((count + 1))
		eval "root_word_$count=\$word; export root_word_$count"
		words="$words \"\$root_word_$count\""
	done
	SHELL=/bin/sh
	export SHELL
	$how "$words"
	status=$?
	# A terminal's line ends, and how it shows the end of its input.
	[ -z "$heard" ] || printf '%s\n' "$heard" | sed 's/\r//g; s/\^[@D]//g; /^$/d'
	exit "$status"
)

sudo_without_password() { # words
	heard=$(script -qec "exec sudo -n --$1" /dev/null 2>&1 </dev/null)
}

# As with_password in prelude.sh. Ways past the terminal, since that would show what it is given.
sudo_with_password() { # words
	heard=$(printf '%s\n' "$sudo_password" |
		script -qec "sudo -S -p '' -v <&4 || exit 77; exec sudo -n --$1" /dev/null 2>&1 4<&0 </dev/null)
	status=$?
	case $status:$heard in
	0:* | 77:*) return "$status" ;;
	*'is required'*)
		heard=$(printf '%s\n' "$sudo_password" |
			script -qec "exec sudo -k -S -p '' --$1 <&4" /dev/null 2>&1 4<&0 </dev/null)
		;;
	*) return "$status" ;;
	esac
}

# doas reads a password from its terminal alone, and forgets what was typed before it asks. So the answer waits for the
# question; by then the terminal no longer shows what it is given.
doas_with_password() { # words
	folder=$(mktemp -d) && mkfifo -m 600 "$folder/answer" || return
	heard=$(
		{
			timeout 60 script -qec "exec doas --$1" /dev/null 2>&1 <"$folder/answer"
			printf '\nstatus %s\n' "$?"
		} | {
			exec 9>"$folder/answer"
			question=
			while byte=$(dd bs=1 count=1 2>/dev/null && echo .) && [ "$byte" != . ]; do
				question=$question${byte%.}
				case $question in
				*assword:\ )
					printf '%s\n' "$sudo_password" >&9
					question=
					break
					;;
				esac
			done
			printf '%s' "$question"
			cat
		}
	)
	rm -rf "$folder"
	status=${heard##*"${newline}status "}
	heard=${heard%"${newline}status "*}
	case $heard in
	*"$sudo_password"*) heard='what it said is not shown: the password is in it' ;;
	esac
	return "$status"
}
