//! Logs as a stream of lines: those of the journal, and of files that a service writes by itself.
//!
//! Responsible for the program on the host that prints them, by whoever may read them, and that ends when its client does.
//! What an entry of the journal says is [`super::journal`]'s.
use super::script::Script;
use crate::manifest::{Scope, UnitName};

/// Prints by a command, and ends along with its input when it follows: sshd does not end a silent `journalctl -f` whose
/// connection has gone.
const PRINT: &str = r#"
follow=$1
shift
if [ "$follow" = follow ]; then
	{
		"$@" </dev/null
		kill $$
	} &
	read -r _
	trap '' TERM
	kill 0
else
	exec "$@" </dev/null
fi
"#;

/// Runs the program with root's rights, where `may_read` says that the login user's do not do.
const READ: &str = r#"
program=$1
shift
if [ "$(id -u)" != 0 ] && ! may_read "$@"; then
	for elevation in sudo doas; do
		if "$elevation" -n true 2>/dev/null; then
			exec "$elevation" -n -- /bin/sh -c "$program" sh "$@"
		fi
	done
	explain
fi
exec /bin/sh -c "$program" sh "$@"
"#;

/// The journal of a user's own units is that user's to read.
const OWN_JOURNAL: &str = r"
may_read() { :; }
";

/// Others than root see the system's units in the journal when they are in one of these groups (journalctl(1)).
const SYSTEM_JOURNAL: &str = r#"
may_read() {
	case " $(id -nG) " in
	*" systemd-journal "* | *" adm "*) ;;
	*) return 1 ;;
	esac
}
explain() {
	echo "entries may be missing: $(id -un) is not in the group systemd-journal, and may not use sudo without a password" >&2
}
"#;

/// The entries of units of both managers. `--user-unit` of journalctl(1) means those of who runs it, which may be root by now.
const OF_BOTH: &str = r#"
units=$1
users=$2
shift 2
own=${SUDO_UID:-$(id -u -- "${DOAS_USER:-$(id -un)}")}
matches=
for unit in $units; do
	matches="$matches + _SYSTEMD_UNIT=$unit + UNIT=$unit _PID=1"
done
for unit in $users; do
	matches="$matches + _SYSTEMD_USER_UNIT=$unit _UID=$own + USER_UNIT=$unit _UID=$own"
done
exec journalctl "$@" ${matches# +}
"#;

/// `tail` itself says which it can't read.
const FILES: &str = r#"
may_read() {
	for word in "$@"; do
		case $word in
		/*) [ -r "$word" ] || return ;;
		esac
	done
}
explain() { :; }
"#;

/// The ends of files, and what is written to them then, whatever they are renamed to.
///
/// A file that was rotated a moment ago has next to nothing in it: the lines that it lacks are from the one before it, by
/// logrotate's names for it (with `dateext` or without), unless that is compressed.
const TAIL: &str = r#"
follow=$1
lines=$2
shift 2
before() {
	have=$(tail -n "$lines" -- "$1" 2>/dev/null | wc -l)
	[ "$have" -lt "$lines" ] || return 0
	older=$1.1
	last=
	for dated in "$1"-[0-9]*; do
		case ${dated#"$1"-} in
		*[!0-9]*) ;;
		*) last=$dated ;;
		esac
	done
	[ -z "$last" ] || [ "$older" -nt "$last" ] || older=$last
	[ ! -f "$older" ] || tail -n "$((lines - have))" -- "$older"
}
status=0
for path in "$@"; do
	before "$path"
	[ "$follow" = follow ] || tail -n "$lines" -- "$path" || status=$?
done
[ "$follow" != follow ] || exec tail -q -n "$lines" -F -- "$@"
exit "$status"
"#;

/// Whether what is added later is printed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What there is by now.
    Once,
    /// Then what comes, until the program's input ends.
    Follow,
}

impl Reading {
    /// What the programs call it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Follow => "follow",
        }
    }
}

/// Which of a unit's entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalQuery {
    /// Whose units they are.
    pub scope: Scope,
    /// Which units.
    pub units: Vec<UnitName>,
    /// Which units of the login user's, of a service of the system's.
    pub users_units: Vec<UnitName>,
    /// At most so many of the last ones.
    pub lines: Option<u32>,
    /// Only those since then, in the words of systemd.time(7).
    pub since: Option<String>,
    /// Only those behind this one.
    pub after: Option<String>,
}

/// The program that prints what the query asks for, an entry a line, for a stream of its own.
#[must_use]
pub fn journal_stream(query: &JournalQuery, reading: Reading) -> Script {
    let (may_read, unit) = match query.scope {
        Scope::System => (SYSTEM_JOURNAL, "--unit"),
        Scope::User => (OWN_JOURNAL, "--user-unit"),
    };
    let names = |units: &[UnitName]| units.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ");
    let mut command = match query.users_units.as_slice() {
        [] => vec!["journalctl".to_owned()],
        users => {
            ["/bin/sh", "-c", OF_BOTH, "sh", &names(&query.units), &names(users)].map(str::to_owned).to_vec()
        }
    };
    command.extend(["--quiet", "--no-pager", "--output=json"].map(str::to_owned));
    if query.users_units.is_empty() {
        command.extend(query.units.iter().map(|name| format!("{unit}={name}")));
    }
    command.extend(query.lines.map(|lines| format!("--lines={lines}")));
    command.extend(query.since.as_ref().map(|since| format!("--since={since}")));
    command.extend(query.after.as_ref().map(|cursor| format!("--after-cursor={cursor}")));
    if reading == Reading::Follow {
        command.push("--follow".to_owned());
    }
    program(may_read, reading, command)
}

/// The program that prints the last lines of files on the host, and what is written to them then, whatever they are
/// renamed to.
#[must_use]
pub fn files_stream(paths: &[String], lines: u32, reading: Reading) -> Script {
    let mut command =
        ["/bin/sh", "-c", TAIL, "sh", reading.as_str(), &lines.to_string()].map(str::to_owned).to_vec();
    command.extend(paths.iter().cloned());
    program(FILES, reading, command)
}

fn program(may_read: &'static str, reading: Reading, command: Vec<String>) -> Script {
    let mut script = Script::constant(may_read);
    let arguments = [PRINT, reading.as_str()].map(str::to_owned).into_iter().chain(command);
    script.append(&Script::with_arguments(READ, arguments));
    script
}
