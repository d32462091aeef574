# Questions that the host asks itself: where sshd forwards nothing, and what only the host can know.

# Asks over HTTP with what is there: curl, GNU wget, or bash. Prints the answer, head and body, as it comes.
# Exit status 97: there is none of them.
ask_http() { # host port url seconds request headers-by-line own-headers?
	if command -v curl >/dev/null 2>&1; then
		# Headers may hold a token: they go over a pipe, and are in no list of arguments.
		printf '%s\n' "$6" | curl -q --globoff --silent --show-error --include --http1.0 --noproxy '*' \
			--proto =http --max-time "$4" --header @- -- "$3" | head -c 65536
	elif command -v bash >/dev/null 2>&1; then
		# shellcheck disable=SC2016 # expands in the inner shell
		printf '%s' "$5" | timeout "$4" bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit; cat >&3; exec cat <&3' \
			bash "$1" "$2" | head -c 65536
	elif [ -z "$7" ] && wget --version 2>/dev/null | grep -q GNU; then
		wget --no-verbose --output-document=- --save-headers --content-on-error --max-redirect=0 --no-proxy \
			--tries=1 --timeout="$4" -- "$3" | head -c 65536
	else
		exit 97
	fi
}

# Whether a connection can be made. Exit status 97: there is nothing to make it with.
ask_tcp() { # host port url seconds
	if command -v bash >/dev/null 2>&1; then
		# shellcheck disable=SC2016 # expands in the inner shell
		timeout "$4" bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$1" "$2"
	elif command -v curl >/dev/null 2>&1; then
		curl -q --silent --show-error --noproxy '*' --max-time "$4" -- "telnet://$3"
	else
		exit 97
	fi
}

# Runs a command in the release that runs. Exit status 124: it took too long, and was killed.
ask_command() { # root seconds word...
	cd "$1/current" || exit
	seconds=$2
	shift 2
	trap - PIPE
	timeout -k 2 "$seconds" "$@" 2>&1
}

# Whether a line of these starts has the text, one since a time (seconds since 1970) where there is one.
ask_journal() { # text since invocation...
	text=$1
	since=${2:+--since=@$2}
	shift 2
	matches=
	for invocation in "$@"; do
		matches="$matches ${matches:++} _SYSTEMD_INVOCATION_ID=$invocation"
	done
	# Ids are hex digits, and the time is digits: no word of these is anything else.
	# shellcheck disable=SC2086
	journalctl --quiet --no-pager --output=cat $since $matches 2>/dev/null | grep -F -e "$text" >/dev/null
}

ask_unit() { # unit
	service_manager show -p ActiveState,SubState -- "$1"
}
