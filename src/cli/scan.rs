//! `shipit hosts --scan`: the keys that the hosts show, with their fingerprints; and from there to the file that the
//! manifest names. What is pinned already is never replaced.
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use futures::future::join_all;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{Format, GlobalArgs};
use super::hosts::HostsArgs;
use super::prompt::Asker;
use super::say::say;
use super::{pinned as pinned_keys, selection};
use crate::manifest::{Address, Environment, Host, KnownHosts};
use crate::report::{SCHEMA_VERSION, json_line, sanitise};
use crate::ssh::{Hop, PinnedKeys, PinnedStanding, ScannedKey, SshError};

/// What came of one host, as `--format json` has it.
#[derive(Debug, Serialize)]
struct Scanned<'a> {
    v: u32,
    host: &'a Address,
    /// What known_hosts calls it.
    known_as: String,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    keys: Vec<Key>,
}

/// A key that a host has shown.
#[derive(Debug, Serialize)]
struct Key {
    #[serde(rename = "type")]
    key_type: String,
    fingerprint: String,
    standing: &'static str,
    /// The line of known_hosts that pins it.
    line: String,
}

/// Runs the command.
pub(super) async fn scan(
    args: &HostsArgs,
    global: &GlobalArgs,
    environment: &Environment,
    hosts: &[Host],
) -> Result<Exit, CliError> {
    let asker = Asker::new(global);
    let pinned = match &environment.known_hosts {
        // It is about to be written.
        Some(KnownHosts::File(path)) if !path.exists() => None,
        _ => pinned_keys::keys(environment)?,
    };
    let reach = selection::reach_by(&args.connect, global, pinned.clone(), hosts, &asker).await?;
    let mut ways = Vec::new();
    for host in hosts {
        ways.push(reach.way(&host.address).await?);
    }
    let results = join_all(ways.iter().map(|hop| hop.scan())).await;
    let (mut text, mut missing, mut exit) = (String::new(), Vec::new(), Exit::Done);
    for ((host, hop), result) in hosts.iter().zip(&ways).zip(results) {
        let (scanned, found) = understand(&host.address, hop, pinned.as_ref(), result, &mut missing);
        exit = Exit::most_urgent([exit, found].into_iter());
        match global.format {
            Format::Text => text.push_str(&sanitise(&scanned.text())),
            Format::Json => text.push_str(&json_line(&scanned)),
        }
    }
    // Nobody to read it is no reason to stop.
    let _ = io::stdout().write_all(text.as_bytes());
    if !missing.is_empty() {
        match global.format {
            Format::Text => offer(args, environment, &missing, &asker)?,
            // A program reads it: nothing is asked, and the lines are in what it got.
            Format::Json if args.yes => write(environment, &missing)?,
            Format::Json => {}
        }
    }
    Ok(exit)
}

/// How the keys of a host stand to those that are pinned. Those that are missing there are added to `missing`.
fn understand<'a>(
    host: &'a Address,
    hop: &Hop,
    pinned: Option<&PinnedKeys>,
    result: Result<Vec<ScannedKey>, SshError>,
    missing: &mut Vec<String>,
) -> (Scanned<'a>, Exit) {
    let mut scanned =
        Scanned { v: SCHEMA_VERSION, host, known_as: hop.known_as(), error: None, keys: Vec::new() };
    let keys = match result {
        Ok(keys) => keys,
        Err(error) => {
            scanned.error = Some(error.to_string());
            return (scanned, Exit::of_ssh(&error));
        }
    };
    let mut exit = Exit::Done;
    for key in keys {
        let standing = pinned.map_or(PinnedStanding::Missing, |pinned| pinned.standing(hop, &key));
        let standing = match standing {
            PinnedStanding::Pinned => "pinned",
            PinnedStanding::Missing => {
                if !missing.contains(&key.line) {
                    missing.push(key.line.clone());
                }
                "new"
            }
            PinnedStanding::Contradicted => {
                exit = Exit::HostKey;
                "contradicted"
            }
        };
        let ScannedKey { key_type, fingerprint, line } = key;
        scanned.keys.push(Key { key_type, fingerprint: fingerprint.to_string(), standing, line });
    }
    (scanned, exit)
}

impl Scanned<'_> {
    fn text(&self) -> String {
        // Writing to a string does not fail.
        let mut text = format!("{} is {}\n", self.host, self.known_as);
        if let Some(error) = &self.error {
            let _ = writeln!(text, "  {error}");
        }
        for Key { key_type, fingerprint, standing, .. } in &self.keys {
            let note = match *standing {
                "contradicted" => "NOT THE ONE THAT IS PINNED",
                other => other,
            };
            let _ = writeln!(text, "  {key_type} {fingerprint}  {note}");
        }
        text
    }
}

/// The file that the manifest names.
fn file(environment: &Environment) -> Option<&Path> {
    match &environment.known_hosts {
        Some(KnownHosts::File(path)) => Some(path),
        Some(KnownHosts::Lines(_)) | None => None,
    }
}

/// Writes the lines to the file, where the manifest names one.
fn write(environment: &Environment, lines: &[String]) -> Result<(), CliError> {
    let Some(file) = file(environment) else { return Ok(()) };
    append(file, lines).map_err(|source| CliError::KnownHostsNotWritten { file: file.to_owned(), source })?;
    say(&format!("added {} to {}", keys(lines.len()), file.display()));
    Ok(())
}

/// Writes the lines to the file, if there is one and somebody agrees; or else shows them.
fn offer(
    args: &HostsArgs,
    environment: &Environment,
    lines: &[String],
    asker: &Asker,
) -> Result<(), CliError> {
    let question = |file: &Path| {
        format!(
            "Compare the fingerprints with what the hosts' administrator says. Add the new ones to {}?",
            file.display()
        )
    };
    match file(environment) {
        Some(file) if args.yes || asker.confirm(&question(file)) => {
            write(environment, lines)?;
        }
        other => {
            let mut text = match other {
                Some(_) => "\nNothing was written. The lines would be:\n".to_owned(),
                None => {
                    "\nThe manifest names no file for them (`known_hosts: ./known_hosts`). The lines are:\n"
                        .to_owned()
                }
            };
            for line in lines {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{line}");
            }
            let _ = io::stdout().write_all(sanitise(&text).as_bytes());
        }
    }
    Ok(())
}

fn keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

/// By way of a new file, so that nobody reads half of it. It is no secret, and part of a repository.
fn append(file: &Path, lines: &[String]) -> io::Result<()> {
    let mut text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}
