# The user that a service of the system's runs as. Never removed, and changed only by new groups.

make_user() { # argument-of-useradd...
	useradd "$@"
}

join_groups() { # name group...
	name=$1
	shift
	for group in "$@"; do
		usermod --append --groups "$group" -- "$name" || return
	done
}
