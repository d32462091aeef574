//! `shipit logs`: the journal of the service's units, of all hosts at once.
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, Format, GlobalArgs, line_count};
use super::prompt::Asker;
use super::run::colour;
use super::secret_values::Secrets;
use super::selection;
use crate::host::{JournalEntry, JournalQuery, Reading, files_stream, journal_stream};
use crate::manifest::Address;
use crate::report::{
    Events, JournalStyle, Mask, SCHEMA_VERSION, journal_line, json_line, mask_journal_entry, sanitise,
};
use crate::rollout::{Reach, connect_host, own_logs_hint};
use crate::ssh::{ExitStatus, Output, SshError};

/// Show the service's journal
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// The manifest. The short form, -f, is --follow here, as with tail and journalctl
    #[arg(long, value_name = "FILE", default_value = "deploy.yaml")]
    pub(crate) manifest: PathBuf,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines of each host
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = line_count)]
    pub lines: u32,
    /// Only since then: "2026-11-20 14:00", "yesterday", "-1h" (systemd.time(7) on the host)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// In place of the journal, the files that `log_files` of the manifest names
    #[arg(long, conflicts_with = "since")]
    pub files: bool,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// How long to wait before connecting again, at first.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest piece of a line that is kept in memory.
const LONGEST_LINE: usize = 1024 * 1024;

/// The longest wait before a broken connection is made anew.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What comes from a host.
enum Said {
    Entry(Address, Box<JournalEntry>),
    /// A line of a file.
    Line(Address, String),
    Failed(Address, SshError),
    Note(Address, String),
    /// journalctl would not; it has said why.
    Refused,
}

/// How reading ended.
enum Ended {
    /// The journal, or the connection, was read to its end.
    Read,
    /// journalctl would not begin.
    Refused,
}

/// An entry with its host, as `--format json` has it.
#[derive(Serialize)]
struct HostEntry<'a> {
    v: u32,
    host: &'a Address,
    #[serde(flatten)]
    entry: &'a JournalEntry,
}

/// A line of a file with its host, as `--format json` has it.
#[derive(Serialize)]
struct HostLine<'a> {
    v: u32,
    host: &'a Address,
    line: &'a str,
}

/// What is read.
#[derive(Clone)]
enum Source {
    Journal(JournalQuery),
    Files {
        paths: Vec<String>,
        /// How many of the last lines; none once the connection was made anew.
        lines: u32,
    },
}

impl Source {
    fn program(&self, reading: Reading) -> Vec<u8> {
        let script = match self {
            Self::Journal(query) => journal_stream(query, reading),
            Self::Files { paths, lines } => files_stream(paths, *lines, reading),
        };
        script.as_str().as_bytes().to_vec()
    }

    /// What the host has sent; nothing where it is no entry. Reading anew begins behind it.
    fn take(&mut self, host: &Address, line: &str) -> Option<Said> {
        match self {
            Self::Journal(query) => {
                let entry = JournalEntry::parse(line)?;
                query.after = Some(entry.cursor.clone());
                query.lines = None;
                query.since = None;
                Some(Said::Entry(host.clone(), Box::new(entry)))
            }
            Self::Files { lines, .. } => {
                *lines = 0;
                Some(Said::Line(host.clone(), line.to_owned()))
            }
        }
    }

    /// What reading anew does not show.
    fn gap(&self) -> &'static str {
        match self {
            Self::Journal(_) => "",
            // Of several files' lines, none says where in which file it stands.
            Self::Files { .. } => ": what is written to the files until then is not shown",
        }
    }

    /// Whether anything has come.
    fn has_begun(&self) -> bool {
        match self {
            Self::Journal(query) => query.after.is_some(),
            Self::Files { lines, .. } => *lines == 0,
        }
    }
}

/// Runs the command.
pub(super) async fn logs(args: &LogsArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let hosts = selection::hosts(environment, &args.connect)?;
    let asker = Asker::new(global);
    let reach = selection::reach(&args.connect, global, environment, &hosts, &asker).await?;
    Secrets::hide_what_is_at_hand(environment, &hosts, global);
    if args.files && manifest.log_files.is_empty() {
        return Err(CliError::NoLogFiles);
    }
    let has_more = !args.files && !manifest.log_files.is_empty();
    let hint = (has_more && global.format == Format::Text && !global.quiet)
        .then(|| own_logs_hint(&environment.name));
    if args.follow {
        print_hint(hint.as_deref());
    }
    let started = manifest.started_units().map(|(name, _)| name.clone());
    let (units, users_units) = started.partition(|unit| manifest.scope_of(unit) == manifest.scope);
    let query = JournalQuery {
        scope: manifest.scope,
        units,
        users_units,
        lines: Some(args.lines),
        since: args.since.clone(),
        after: None,
    };
    let source = match args.files {
        true => Source::Files { paths: manifest.log_files.clone(), lines: args.lines },
        false => Source::Journal(query),
    };

    // Bounded: a reader that is slow (`| less`) holds back the hosts, and memory does not grow.
    let (sender, mut receiver) = mpsc::channel(256);
    let mut tasks = JoinSet::new();
    for host in &hosts {
        let (reach, source, sender, host) =
            (reach.clone(), source.clone(), sender.clone(), host.address.clone());
        let reading = if args.follow { Reading::Follow } else { Reading::Once };
        tasks.spawn(async move {
            if let Err(error) = read_host(&reach, &host, source, reading, &sender).await {
                // The receiver is gone when the operator has left.
                let _ = sender.send(Said::Failed(host, error)).await;
            }
        });
    }
    drop(sender);

    let mut printer = Printer::new(global, hosts.len() > 1);
    let mut exit = Exit::Done;
    let mut held: Vec<(Address, Box<JournalEntry>)> = Vec::new();
    let mut signals = global.signals.claim();
    loop {
        let said = tokio::select! {
            said = receiver.recv() => said,
            () = signals.next() => break,
        };
        match said {
            None => break,
            Some(Said::Failed(host, error)) => {
                exit = Exit::most_urgent([exit, Exit::of_ssh(&error)].into_iter());
                printer.failed(&host, &error);
            }
            Some(Said::Refused) => exit = Exit::most_urgent([exit, Exit::Failed].into_iter()),
            Some(Said::Note(host, note)) => printer.note(&host, &note),
            Some(Said::Line(host, line)) => {
                if printer.line(&host, &line).is_err() {
                    break;
                }
            }
            // Without --follow the hosts' entries are put in order first.
            Some(Said::Entry(host, entry)) if !args.follow && hosts.len() > 1 => held.push((host, entry)),
            Some(Said::Entry(host, entry)) => {
                if printer.entry(&host, &entry).is_err() {
                    break;
                }
            }
        }
    }
    held.sort_by_key(|(_, entry)| entry.time);
    for (host, entry) in &held {
        if printer.entry(host, entry).is_err() {
            break;
        }
    }
    tasks.abort_all();
    if !args.follow {
        print_hint(hint.as_deref());
    }
    Ok(exit)
}

/// Where it is not scrolled away: before what is followed, and behind what ends.
fn print_hint(hint: Option<&str>) {
    if let Some(hint) = hint {
        // Nobody to tell is no reason to stop.
        let _ = writeln!(io::stderr(), "{hint}");
    }
}

/// Reads one host's logs. While following, a connection that breaks is made anew, and reading goes on behind the
/// last entry of the journal that was seen.
async fn read_host(
    reach: &Reach,
    host: &Address,
    mut source: Source,
    reading: Reading,
    sender: &mpsc::Sender<Said>,
) -> Result<(), SshError> {
    let mut wait = FIRST_WAIT;
    let mut connected_once = false;
    loop {
        let mut heard = false;
        let read =
            read_once(reach, host, &mut source, reading, sender, &mut connected_once, &mut heard).await;
        if heard {
            wait = FIRST_WAIT;
        }
        match read {
            Ok(Ended::Refused) => {
                let _ = sender.send(Said::Refused).await;
                return Ok(());
            }
            Ok(Ended::Read) if reading == Reading::Once => return Ok(()),
            Ok(Ended::Read) => {
                let _ = sender
                    .send(Said::Note(host.clone(), format!("the log ended; reading on{}", source.gap())))
                    .await;
            }
            Err(error) if reading == Reading::Once || !connected_once => return Err(error),
            Err(error) => {
                let note = format!("{error}; connecting again in {} s{}", wait.as_secs(), source.gap());
                let _ = sender.send(Said::Note(host.clone(), note)).await;
            }
        }
        if sender.is_closed() {
            return Ok(());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn read_once(
    reach: &Reach,
    host: &Address,
    source: &mut Source,
    reading: Reading,
    sender: &mpsc::Sender<Said>,
    connected_once: &mut bool,
    heard: &mut bool,
) -> Result<Ended, SshError> {
    let (events, _nobody) = Events::channel();
    // A connection of its own: its output is held back when the operator's terminal is slow.
    let connection = connect_host(reach, host, &events).await?;
    *connected_once = true;
    let program = source.program(reading);
    let (mut stdin, mut output) = connection.start_stream("exec /bin/sh -s", program).await?.split();
    if reading == Reading::Once {
        stdin.close().await;
    }
    let mut lines = Lines::default();
    let mut complained = false;
    let mut status = None;
    while let Some(said) = output.next().await? {
        match said {
            Output::Stdout(bytes) => lines.push(&bytes),
            Output::Stderr(bytes) => {
                complained = true;
                for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
                    let _ = sender.send(Said::Note(host.clone(), line.to_owned())).await;
                }
            }
            Output::Exit(exit) => status = Some(exit),
        }
        while let Some(line) = lines.next() {
            let Some(said) = source.take(host, &line) else { continue };
            *heard = true;
            if sender.send(said).await.is_err() {
                return Ok(Ended::Read);
            }
        }
    }
    connection.close().await;
    // While following, the program ends by a signal however journalctl ended.
    let refused = complained && !source.has_begun() && status != Some(ExitStatus::Code(0));
    Ok(if refused { Ended::Refused } else { Ended::Read })
}

/// The lines of what comes in pieces. One that is longer than anything meant for people comes in several.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Up to where there is no end of a line.
    searched: usize,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<String> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        let (length, skipped) = match end {
            Some(end) => (end, 1),
            None if self.bytes.len() >= LONGEST_LINE => (LONGEST_LINE, 0),
            None => {
                self.searched = self.bytes.len();
                return None;
            }
        };
        let line = String::from_utf8_lossy(self.bytes.get(..length).unwrap_or_default()).into_owned();
        self.bytes.drain(..length + skipped);
        self.searched = 0;
        Some(line)
    }
}

/// At once: who follows a log wants to see it.
fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

/// Prints entries in the format asked for.
struct Printer {
    format: Format,
    style: JournalStyle,
    width: Option<usize>,
    mask: Mask,
}

impl Printer {
    fn new(global: &GlobalArgs, several: bool) -> Self {
        let style = JournalStyle {
            colour: colour(global.colours(&io::stdout())),
            zone: TimeZone::system(),
            today: Some(Zoned::now().date()),
        };
        Self { format: global.format, style, width: several.then_some(0), mask: global.mask.clone() }
    }

    fn entry(&mut self, host: &Address, entry: &JournalEntry) -> io::Result<()> {
        let mut masked;
        let entry = if self.mask.is_empty() {
            entry
        } else {
            masked = entry.clone();
            mask_journal_entry(&mut masked, &self.mask);
            &masked
        };
        let line = match self.format {
            Format::Json => json_line(&HostEntry { v: SCHEMA_VERSION, host, entry }),
            Format::Text => {
                let label = self.label(host);
                journal_line(entry, label.as_deref(), &self.style) + "\n"
            }
        };
        print(&line)
    }

    /// The host's name, where there are several, as wide as the widest so far.
    fn label(&mut self, host: &Address) -> Option<String> {
        let width = self.width.as_mut()?;
        let name = host.host.to_string();
        *width = name.len().max(*width);
        Some(format!("{name:width$}"))
    }

    fn line(&mut self, host: &Address, line: &str) -> io::Result<()> {
        let line = self.mask.text(line);
        let line = match self.format {
            Format::Json => json_line(&HostLine { v: SCHEMA_VERSION, host, line: &line }),
            Format::Text => {
                let text = sanitise(&line);
                let text = text.trim_end();
                self.label(host).map_or_else(|| format!("{text}\n"), |label| format!("{label}  {text}\n"))
            }
        };
        print(&line)
    }

    fn note(&self, host: &Address, note: &str) {
        // Nobody to tell is no reason to stop.
        let _ = writeln!(io::stderr(), "{host}: {}", sanitise(&self.mask.text(note)));
    }

    fn failed(&self, host: &Address, error: &SshError) {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.note(host, &text);
        for detail in error.details() {
            let _ = writeln!(io::stderr(), "  {}", sanitise(&detail));
        }
        if let Some(help) = error.help() {
            let _ = writeln!(io::stderr(), "  help: {}", sanitise(&help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_as_they_are_and_endless_ones_in_pieces() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw");
        assert_eq!(lines.next().as_deref(), Some("one"));
        assert_eq!(lines.next(), None);
        lines.push(b"o\n\n");
        assert_eq!((lines.next().as_deref(), lines.next().as_deref()), (Some("two"), Some("")));
        for _ in 0..LONGEST_LINE / 1000 + 1 {
            lines.push(&[b'x'; 1000]);
            if let Some(line) = lines.next() {
                assert_eq!(line.len(), LONGEST_LINE);
            }
        }
        assert!(lines.bytes.len() < 1000);
    }
}
