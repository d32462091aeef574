//! One program that finds out everything a plan needs, in one round trip; and the reading of what it prints.
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::{Manifest, UnitName};
use crate::plan::{
    Access, Current, Facts, FoundFile, FoundLink, FoundUnit, Layout, Libc, Lingering, LinkSpec, LinkState,
    Manager, RemotePath, Sudo, Systemd,
};
use crate::release::{GlibcVersion, ReleaseId, ReleaseRecord, Sha256Digest};

const PROGRAM: &str = include_str!("probe.sh");

/// How long the probe may say nothing: a slow disk may take a while over the hashes.
const IDLE: Duration = Duration::from_secs(60);

/// The host could not be probed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The program ended early.
    #[error("the probe ended with status {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed {
        /// Its exit status.
        status: u32,
        /// What it said.
        said: String,
    },
    /// The program left out something that every host has, or printed something else.
    #[error("the probe's answer has no valid {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
}

/// Asks a host for its facts, as far as the manifest's service is concerned. Changes nothing on it.
pub async fn probe(session: &mut Session, manifest: &Manifest) -> Result<Facts, ProbeError> {
    let links = Layout::links(manifest);
    let mut answer = Answer::default();
    let finished = session.run(&program(manifest, &links), IDLE, |line| answer.take(line)).await?;
    if finished.status != 0 {
        return Err(ProbeError::Failed { status: finished.status, said: finished.said });
    }
    answer.facts(&links)
}

fn program(manifest: &Manifest, links: &[LinkSpec]) -> Script {
    let units: Vec<&str> = manifest.units.iter().map(|unit| unit.name.as_str()).collect();
    let mut arguments = vec![manifest.name.as_str().to_owned(), units.join(" ")];
    for link in links {
        arguments.push(link.path.as_str().to_owned());
        arguments.push(link.target.clone());
    }
    Script::with_arguments(PROGRAM, arguments)
}

/// What the probe printed, sorted but not yet understood.
#[derive(Default)]
struct Answer {
    values: BTreeMap<String, String>,
    record: String,
    hashes: Vec<String>,
    modes: Vec<String>,
    texts: BTreeMap<String, String>,
    text: Option<String>,
    releases: Vec<String>,
    units: Vec<(String, BTreeMap<String, String>)>,
    links: Vec<String>,
}

impl Answer {
    fn take(&mut self, line: &str) {
        // Keys are letters and underscores; the first "=" or " " behind them tells which kind of line it is.
        let Some(at) = line.find(|c: char| !(c.is_ascii_lowercase() || c == '_')) else { return };
        let (key, value) = (&line[..at], &line[at + 1..]);
        match (line.as_bytes()[at], key) {
            (b'=', "release_json") => self.record.push_str(value),
            (b'=', "file_hash") => self.hashes.push(value.to_owned()),
            (b'=', "file_mode") => self.modes.push(value.to_owned()),
            (b'=', "release") => self.releases.push(value.to_owned()),
            (b'=', "text_line") => {
                if let Some(text) = self.text.as_ref().and_then(|path| self.texts.get_mut(path)) {
                    text.push_str(value);
                    text.push('\n');
                }
            }
            (b'=', "unit_property") => {
                if let (Some((_, unit)), Some((key, value))) = (self.units.last_mut(), value.split_once('='))
                {
                    unit.insert(key.to_owned(), value.to_owned());
                }
            }
            (b' ', "text") => {
                self.text = Some(value.to_owned());
                self.texts.insert(value.to_owned(), String::new());
            }
            (b' ', "unit") => self.units.push((value.to_owned(), BTreeMap::new())),
            (b' ', "unit_executable") => {
                if let Some((_, unit)) = self.units.last_mut() {
                    unit.insert("Executable".to_owned(), value.to_owned());
                }
            }
            (b' ', "link") => self.links.push(value.to_owned()),
            (b' ', key) => {
                self.values.insert(key.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }

    fn value(&self, what: &'static str) -> Result<&str, ProbeError> {
        self.values
            .get(what)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
            .ok_or(ProbeError::Incomplete { what })
    }

    fn facts(mut self, links: &[LinkSpec]) -> Result<Facts, ProbeError> {
        // The last line: without it the answer was cut short.
        self.value("end")?;
        let home = RemotePath::new(self.value("home")?).ok_or(ProbeError::Incomplete { what: "home" })?;
        let files = self.files();
        let units = self.units(&files);
        let current = self.current();
        let mut releases: Vec<ReleaseId> = self.releases.iter().filter_map(|id| id.parse().ok()).collect();
        releases.sort();
        Ok(Facts {
            home,
            user: self.value("user")?.to_owned(),
            uid: self.value("uid")?.parse().map_err(|_| ProbeError::Incomplete { what: "uid" })?,
            hostname: self.values.get("hostname").cloned().unwrap_or_default(),
            kernel: self.value("kernel")?.to_owned(),
            machine: self.value("machine")?.to_owned(),
            libc: self.libc(),
            systemd: self.systemd()?,
            manager: self.manager(),
            lingering: if self.value("lingering")? == "on" { Lingering::On } else { Lingering::Off },
            sudo: self.sudo()?,
            root_access: if self.value("root_writable")? == "yes" { Access::Direct } else { Access::Root },
            free_bytes: self.number("free_kib").map(|kib| kib.saturating_mul(1024)),
            // Some file systems (btrfs) have no fixed number, and say 0.
            free_inodes: self.number("free_inodes").filter(|inodes| *inodes > 0),
            record: ReleaseRecord::from_json(&self.record).ok(),
            current,
            files,
            texts: std::mem::take(&mut self.texts),
            releases,
            units,
            links: self.links(links)?,
        })
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.parse().ok()
    }

    fn libc(&self) -> Libc {
        let version = self.values.get("libc").and_then(|text| text.strip_prefix("glibc "));
        version.and_then(|text| GlibcVersion::from_str(text).ok()).map_or(Libc::Other, Libc::Glibc)
    }

    fn systemd(&self) -> Result<Systemd, ProbeError> {
        Ok(match self.value("systemd")? {
            "missing" => Systemd::Missing,
            "not-booted" => Systemd::NotBooted,
            // "systemd 252 (252.38-1~deb12u1)"
            text => {
                let number = text.split_whitespace().nth(1).unwrap_or_default();
                let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
                Systemd::Running(
                    digits.parse().map_err(|_| ProbeError::Incomplete { what: "systemd version" })?,
                )
            }
        })
    }

    fn manager(&self) -> Manager {
        match self.values.get("manager").map(String::as_str).unwrap_or_default() {
            text if text.starts_with("unreachable") => {
                Manager::Unreachable(text.trim_start_matches("unreachable").trim().to_owned())
            }
            state => Manager::Answers(state.to_owned()),
        }
    }

    fn sudo(&self) -> Result<Sudo, ProbeError> {
        Ok(match self.value("sudo")? {
            "root" => Sudo::Root,
            "not-needed" => Sudo::NotNeeded,
            "missing" => Sudo::Missing,
            "passwordless" => Sudo::Passwordless,
            text => Sudo::Refused(text.trim_start_matches("refused").trim().to_owned()),
        })
    }

    fn current(&self) -> Current {
        if self.values.contains_key("current_blocked") {
            return Current::Blocked;
        }
        match self.values.get("current") {
            None => Current::Nothing,
            Some(target) => match target.strip_prefix("releases/").and_then(|id| id.parse().ok()) {
                Some(id) => Current::Release(id),
                None => Current::Foreign(target.clone()),
            },
        }
    }

    fn files(&self) -> BTreeMap<String, FoundFile> {
        // "644 123 ./units/x.service"
        let modes = self.modes.iter().filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let mode = u32::from_str_radix(words.next()?, 8).ok()?;
            let size: u64 = words.next()?.parse().ok()?;
            Some((words.next()?.strip_prefix("./")?, (mode, size)))
        });
        let modes: BTreeMap<&str, (u32, u64)> = modes.collect();
        // "HASH  ./units/x.service"; sha256sum(1) begins a line with a backslash where a name has odd characters.
        let files = self.hashes.iter().filter_map(|line| {
            let (hash, path) = line.trim_start_matches('\\').split_once("  ./")?;
            let (mode, size) = *modes.get(path)?;
            Some((path.to_owned(), FoundFile { sha256: hash.parse().ok()?, mode, size }))
        });
        files.collect()
    }

    fn units(&self, files: &BTreeMap<String, FoundFile>) -> BTreeMap<UnitName, FoundUnit> {
        let stored = files.iter().find(|(path, _)| path.starts_with("bin/")).map(|(_, file)| file.sha256);
        let uptime = self.values.get("uptime").and_then(|text| text.parse().ok());
        let uptime = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let units = self.units.iter().filter_map(|(name, properties)| {
            Some((name.parse().ok()?, found_unit(properties, stored, uptime)))
        });
        units.collect()
    }

    fn links(&self, specs: &[LinkSpec]) -> Result<Vec<FoundLink>, ProbeError> {
        if self.links.len() != specs.len() {
            return Err(ProbeError::Incomplete { what: "links" });
        }
        let links = specs.iter().zip(&self.links).map(|(spec, line)| {
            let mut words = line.splitn(3, ' ');
            let access = if words.next() == Some("direct") { Access::Direct } else { Access::Root };
            let state = match (words.next(), words.next()) {
                (Some("symlink"), Some(target)) => LinkState::Symlink(target.to_owned()),
                (Some("missing"), _) => LinkState::Missing,
                (Some("folder"), _) => LinkState::Folder,
                _ => LinkState::File,
            };
            FoundLink { path: spec.path.clone(), access, state }
        });
        Ok(links.collect())
    }
}

fn found_unit(
    properties: &BTreeMap<String, String>,
    stored: Option<Sha256Digest>,
    uptime: Option<Duration>,
) -> FoundUnit {
    let get = |key: &str| properties.get(key).cloned().unwrap_or_default();
    // Microseconds of the clock that /proc/uptime shows; 0 where the unit was never active.
    let entered = get("ActiveEnterTimestampMonotonic").parse().ok().filter(|micros| *micros != 0);
    let entered = entered.map(Duration::from_micros);
    FoundUnit {
        load_state: get("LoadState"),
        active_state: get("ActiveState"),
        sub_state: get("SubState"),
        unit_file_state: get("UnitFileState"),
        result: get("Result"),
        restarts: get("NRestarts").parse().unwrap_or_default(),
        invocation: get("InvocationID"),
        active_for: uptime.zip(entered).and_then(|(uptime, entered)| uptime.checked_sub(entered)),
        // systemd says 2^64-1, or "[not set]", where it does not count.
        memory: get("MemoryCurrent").parse().ok().filter(|bytes| *bytes != u64::MAX),
        main_pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        executable: match get("Executable").as_str() {
            "current" => stored,
            hash => hash.parse().ok(),
        },
    }
}
