//! The journal of a service, as `journalctl -o json` gives it.
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::activation::UnitProperties;
use super::script::Script;
use super::session::{Session, SessionError};

/// How long journalctl may say nothing: a large journal on a slow disk takes a while to search.
const IDLE: Duration = Duration::from_secs(60);

/// The longest message that is kept; journald itself splits what a service writes at 48 KiB (`LineMax=`,
/// journald.conf(5)).
const LONGEST_MESSAGE: usize = 64 * 1024;

/// The entries of some starts of units: what the programs wrote, and what the manager wrote about them.
///
/// `+` joins alternatives (journalctl(1)).
///
/// journald looks up whose process a line is from when the line arrives; of a process that is gone by then, it knows
/// only the number. A service that fails at once would have no last words: so those are asked for by number.
///
/// With "ended", it waits for the manager's word on how a process ended: journald takes what a program wrote last, and
/// that word, a moment after systemctl tells of the end. The ids are those of "unit process exited", "unit failed" and
/// "unit deactivated" in systemd's sd-messages.h.
const INVOCATIONS: &str = r#"
lines=$1
ended=$2
invocations=$3
shift 3
matches=
for invocation in $invocations; do
	matches="$matches ${matches:++} _SYSTEMD_INVOCATION_ID=$invocation"
	# What the manager says about a unit has the unit's id in a field of its own.
	case $scope in
	# One of its units may be the login user's.
	system) matches="$matches + INVOCATION_ID=$invocation _PID=1 + USER_INVOCATION_ID=$invocation" ;;
	*) matches="$matches + USER_INVOCATION_ID=$invocation" ;;
	esac
done
boot=$(tr -d - </proc/sys/kernel/random/boot_id)
# A user's units run as that user.
whose=
[ "$scope" = system ] || whose=_UID=$(id -u)
for pid in "$@"; do
	matches="$matches + _BOOT_ID=$boot $whose _PID=$pid"
done
# Ids are digits: no word of $matches is anything else.
if [ "$ended" = ended ]; then
	tries=0
	until journalctl --quiet --no-pager --output=json --lines="$lines" $matches | grep -q \
		-e 98e322203f7a4ed290d09fe03c09fe15 -e d9b373ed55a64feb8242e02dbe79a49c -e 7ad2d189f7e94e70a38c781354912448; do
		tries=$((tries + 1))
		[ "$tries" -lt 20 ] || break
		sleep 0.1
	done
	sleep 0.1
fi
# systemd writes a line about every start, so without one journald has not got round to it yet; or the line is further back
# than was asked for.
tries=0
until entries=$(journalctl --quiet --no-pager --output=json --lines="$lines" $matches) && case $entries in
	*'"INVOCATION_ID"'* | *'"USER_INVOCATION_ID"'*) ;;
	'') [ "$tries" -ge 8 ] ;;
	*) [ "$tries" -ge 2 ] ;;
	esac; do
	[ "$tries" -lt 8 ] || break
	tries=$((tries + 1))
	sleep 0.1
done
printf '%s\n' "$entries"
"#;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// When journald took it.
    pub time: Timestamp,
    /// syslog's: 0 is an emergency, 3 an error, 6 the usual, 7 for debugging.
    pub priority: u8,
    /// Who wrote it: `simple_api`, or `systemd` for the manager.
    pub identifier: String,
    /// The process that wrote it.
    pub pid: Option<u32>,
    /// The text, without its control characters.
    pub message: String,
    /// The start of the unit that it belongs to.
    pub invocation: Option<String>,
    /// Where in the journal it stands.
    #[serde(skip)]
    pub cursor: String,
}

impl JournalEntry {
    /// Reads a line of `journalctl -o json`; `None` when it isn't one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| fields.get(key).and_then(message_text);
        let micros: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
        Some(Self {
            time: Timestamp::from_microsecond(micros).ok()?,
            priority: text("PRIORITY").and_then(|p| p.parse().ok()).unwrap_or(6),
            identifier: text("SYSLOG_IDENTIFIER").or_else(|| text("_COMM")).unwrap_or_default(),
            pid: text("_PID").and_then(|pid| pid.parse().ok()),
            message: text("MESSAGE").unwrap_or_default(),
            // A user's manager is a service itself, with an id that is not meant; the system's has none.
            invocation: text("USER_INVOCATION_ID")
                .or_else(|| text("_SYSTEMD_INVOCATION_ID"))
                .or_else(|| text("INVOCATION_ID")),
            cursor: text("__CURSOR").unwrap_or_default(),
        })
    }
}

/// A field is text, or the bytes of what is not text as an array of numbers, or null where it was too long
/// (systemd's "Journal JSON Format"). Control characters could rewrite the operator's terminal: they go.
fn message_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().filter_map(|b| u8::try_from(b.as_u64()?).ok()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Value::Null => "(too long for journalctl to show)".to_owned(),
        _ => return None,
    };
    let kept = text.chars().filter(|c| !c.is_control() || *c == '\t' || *c == '\n');
    Some(kept.take(LONGEST_MESSAGE).collect())
}

/// Whether a unit's process has ended, so that the journal has, or will have, a word about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainProcess {
    /// As far as is known, it runs.
    Runs,
    /// It has ended, perhaps only just.
    Ended,
}

/// Starts of units, as far as their entries are found by it.
#[derive(Debug, Clone, Default)]
pub struct UnitRuns {
    invocations: Vec<String>,
    pids: Vec<u32>,
}

impl UnitRuns {
    /// Adds what the unit was when these properties were read.
    pub fn add(&mut self, properties: &UnitProperties) {
        // An id is 32 hex digits (systemd.exec(5), $INVOCATION_ID); nothing else gets near the program's word
        // splitting.
        let id = properties.get("InvocationID");
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id && !self.invocations.iter().any(|known| known == id) {
            self.invocations.push(id.to_owned());
        }
        if let Some(pid) = properties.get("ExecMainPID").parse().ok().filter(|pid| *pid != 0)
            && !self.pids.contains(&pid)
        {
            self.pids.push(pid);
        }
    }

    /// Leaves out what belongs to others.
    pub fn keep_own(&self, entries: &mut Vec<JournalEntry>) {
        entries.retain(|entry| self.has(entry));
    }

    /// An entry found by the number of its process alone may be from another unit that had that number before.
    fn has(&self, entry: &JournalEntry) -> bool {
        entry.invocation.as_ref().is_none_or(|id| self.invocations.contains(id))
    }
}

/// The program that prints the last entries of these starts of units; `None` where there is none to print.
pub(super) fn journal_script(runs: &UnitRuns, process: MainProcess, lines: u32) -> Option<Script> {
    if runs.invocations.is_empty() {
        return None;
    }
    let ended = if process == MainProcess::Ended { "ended" } else { "" };
    let mut arguments = vec![lines.to_string(), ended.to_owned(), runs.invocations.join(" ")];
    arguments.extend(runs.pids.iter().map(u32::to_string));
    Some(Script::with_arguments(INVOCATIONS, arguments))
}

/// The last entries of these starts of units, oldest first.
pub async fn read_journal(
    session: &mut Session,
    runs: &UnitRuns,
    process: MainProcess,
    lines: u32,
) -> Result<Vec<JournalEntry>, SessionError> {
    let Some(script) = journal_script(runs, process, lines) else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    session.run(&script, IDLE, |line| entries.extend(JournalEntry::parse(line))).await?;
    runs.keep_own(&mut entries);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_cleaned_of_control_characters() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"api",
            "_PID":"7","MESSAGE":[27,91,51,49,109,104,105],"__CURSOR":"s=1","USER_INVOCATION_ID":"aa","_SYSTEMD_INVOCATION_ID":"bb"}"#;
        let entry = JournalEntry::parse(&line.replace('\n', "")).unwrap();
        assert_eq!((entry.priority, entry.identifier.as_str(), entry.pid), (3, "api", Some(7)));
        assert_eq!(entry.message, "[31mhi");
        assert_eq!(entry.invocation.as_deref(), Some("aa"));
        let line = r#"{"__REALTIME_TIMESTAMP":"1","_PID":"1","MESSAGE":"Started api.service.","INVOCATION_ID":"cc"}"#;
        assert_eq!(JournalEntry::parse(line).unwrap().invocation.as_deref(), Some("cc"));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in ["", "{", "[]", "null", r#"{"MESSAGE":"x"}"#, r#"{"__REALTIME_TIMESTAMP":"x"}"#] {
            assert_eq!(JournalEntry::parse(line), None, "{line}");
        }
    }
}
