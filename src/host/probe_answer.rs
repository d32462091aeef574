//! What the probe's program prints, read back into facts.
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use super::copies::{found_copy, seen_copy};
use super::elapse::next_elapse;
use super::probe::ProbeError;
use crate::manifest::{Scope, UnitName};
use crate::plan::{
    Access, Current, Elevation, Facts, FoundCopy, FoundFile, FoundLink, FoundRelease, FoundUnit, FoundUser,
    Hold, Holder, Layout, Libc, Lingering, LinkPath, LinkSpec, LinkState, Manager, PendingRun, RemotePath,
    RootAccess, RunLife, Standing, Sudo, Systemd, Unpacker,
};
use crate::release::{GlibcVersion, History, ReleaseId, ReleasePath, ReleaseRecord, Sha256Digest};

/// What the probe printed, sorted but not yet understood.
#[derive(Default)]
pub(super) struct Answer {
    values: BTreeMap<String, String>,
    manager: BTreeMap<String, String>,
    hashes: BTreeMap<String, Sha256Digest>,
    modes: BTreeMap<String, (u32, u64)>,
    symlinks: BTreeMap<String, String>,
    folders: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    releases: Vec<FoundRelease>,
    prepared: BTreeSet<String>,
    records: BTreeMap<ReleaseId, String>,
    sizes: BTreeMap<ReleaseId, BTreeMap<String, u64>>,
    history: History,
    units: Vec<BTreeMap<String, String>>,
    in_units: bool,
    executables: BTreeMap<String, String>,
    links: Vec<String>,
    copies: Vec<FoundCopy>,
    /// The files below `units/` of the releases, in the order in which their links are told of.
    unit_files: Vec<String>,
    /// Where the service's files were linked to besides, in that order, behind those.
    linked: Vec<String>,
}

impl Answer {
    pub(super) fn take(&mut self, line: &str) {
        if let Some((path, hash)) = file_hash(line) {
            self.hashes.insert(path, hash);
            return;
        }
        // What systemctl printed: properties begin with a capital letter, and an empty line stands between two units.
        if line.starts_with(|c: char| c.is_ascii_uppercase()) {
            if let Some((key, value)) = line.split_once('=') {
                let properties = if self.in_units { self.units.last_mut() } else { Some(&mut self.manager) };
                properties.map(|properties| properties.insert(key.to_owned(), value.to_owned()));
            }
            return;
        }
        match line.split_once(' ') {
            None if line == "units_begin" => {
                self.in_units = true;
                self.units.push(BTreeMap::new());
            }
            None if line == "units_end" => self.in_units = false,
            None if line.is_empty() && self.in_units => self.units.push(BTreeMap::new()),
            None => {}
            Some(("text", rest)) => {
                if let Some((path, line)) = rest.split_once('\t') {
                    let text = self.texts.entry(path.trim_start_matches("./").to_owned()).or_default();
                    text.push_str(line);
                    text.push('\n');
                }
            }
            Some(("file", rest)) => self.modes.extend(file_mode(rest)),
            Some(("symlink", rest)) => {
                if let Some((path, says)) = rest.split_once('\t') {
                    self.symlinks.insert(path.to_owned(), says.to_owned());
                }
            }
            Some(("folder", path)) => {
                self.folders.insert(path.to_owned());
            }
            Some(("prepared", key)) => {
                self.prepared.insert(key.to_owned());
            }
            Some(("executable", rest)) => {
                if let Some((pid, hash)) = rest.split_once(' ') {
                    self.executables.insert(pid.to_owned(), hash.to_owned());
                }
            }
            Some(("release", rest)) => self.releases.extend(found_release(rest)),
            Some(("stored", rest)) => {
                if let Some((id, path, size)) = stored_file(rest) {
                    self.sizes.entry(id).or_default().insert(path, size);
                }
            }
            Some(("record", rest)) => {
                if let Some((id, json)) = stored_record(rest) {
                    self.records.insert(id, json);
                }
            }
            Some(("history", line)) => self.history.add(line),
            Some(("unit_file", rest)) => self.unit_files.push(rest.to_owned()),
            Some(("linked", rest)) => self.linked.push(rest.to_owned()),
            Some(("link", rest)) => self.links.push(rest.to_owned()),
            Some(("copy", rest)) => self.copies.extend(found_copy(rest)),
            Some(("copy_seen", rest)) => self.see_copy(rest),
            Some((key, value)) => {
                self.values.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    fn value(&self, what: &'static str) -> Result<&str, ProbeError> {
        self.values
            .get(what)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
            .ok_or(ProbeError::Incomplete { what })
    }

    pub(super) fn facts(
        mut self,
        scope: Scope,
        mut units: Vec<UnitName>,
        mut links: Vec<LinkSpec>,
    ) -> Result<Facts, ProbeError> {
        // The last line: without it the answer was cut short.
        self.value("end")?;
        let home = self.values.get("home").cloned().unwrap_or_default();
        let home = RemotePath::new(home.as_str()).ok_or(ProbeError::Home { path: home })?;
        // "Linux web1 x86_64"
        let mut system = self.value("system")?.split_whitespace();
        let mut system = || system.next().map(str::to_owned).ok_or(ProbeError::Incomplete { what: "system" });
        let (kernel, hostname, machine) = (system()?, system()?, system()?);
        let record = self.texts.remove("release.json");
        let record = record.and_then(|json| ReleaseRecord::from_json(&json).ok());
        if self.values.contains_key("intact") {
            self.as_recorded(record.as_ref());
        }
        // The states of units come in the order they were asked for.
        units.extend(self.names("others", "names of units")?);
        let users_units: BTreeSet<UnitName> =
            self.names("users_units", "names of the user's units")?.into_iter().collect();
        for file in std::mem::take(&mut self.unit_files) {
            if format!("units/{file}").parse::<ReleasePath>().is_err() {
                return Err(ProbeError::Incomplete { what: "names of unit files" });
            }
            links.push(Layout::unit_link(scope, &file));
            if !users_units.is_empty() {
                links.push(Layout::unit_link(Scope::User, &file));
            }
        }
        let linked = std::mem::take(&mut self.linked);
        links.extend(
            linked.iter().map(|path| LinkSpec { path: LinkPath::noted(path), target: String::new() }),
        );
        let files = self.files();
        let releases = self.releases();
        let (free_bytes, free_inodes) = self.room();
        Ok(Facts {
            home,
            user: self.value("user")?.to_owned(),
            uid: self.value("uid")?.parse().map_err(|_| ProbeError::Incomplete { what: "uid" })?,
            hostname,
            kernel,
            machine,
            libc: self.libc(),
            systemd: self.systemd()?,
            manager: self.manager(),
            lingering: if self.value("lingering")? == "on" { Lingering::On } else { Lingering::Off },
            sudo: self.sudo()?,
            elevation: match self.values.get("elevation").map(String::as_str) {
                Some("terminal") => Elevation::SudoOnTerminal,
                Some("doas") => Elevation::Doas,
                _ => Elevation::Sudo,
            },
            root_access: match self.values.get("root").map(String::as_str) {
                Some("writable") => RootAccess::Writable,
                Some("read_only") => RootAccess::ReadOnly,
                _ => RootAccess::Denied,
            },
            free_bytes,
            free_inodes,
            record,
            current: self.current(),
            pending: self.pending(),
            units: self.units(&units, &files),
            files,
            symlinks: std::mem::take(&mut self.symlinks),
            folders: std::mem::take(&mut self.folders),
            unpacker: if self.values.contains_key("tar") { Unpacker::Tar } else { Unpacker::Missing },
            texts: std::mem::take(&mut self.texts),
            releases,
            history: std::mem::take(&mut self.history),
            lock: self.hold("lock"),
            freeze: self.hold("freeze"),
            links: self.links(&links)?,
            users_units,
            service_user: self.service_user(),
            prepared: std::mem::take(&mut self.prepared),
            copies: std::mem::take(&mut self.copies),
        })
    }

    /// Units, from a line of names.
    fn names(&self, key: &str, what: &'static str) -> Result<Vec<UnitName>, ProbeError> {
        let names = self.values.get(key).map(|names| names.split_whitespace().map(str::parse));
        let names: Result<Vec<UnitName>, _> = names.into_iter().flatten().collect();
        names.map_err(|_| ProbeError::Incomplete { what })
    }

    /// What root has seen where the login user could not look.
    fn see_copy(&mut self, text: &str) {
        if let Some((path, state)) = seen_copy(text)
            && let Some(found) = self.copies.iter_mut().find(|found| found.path == path)
        {
            found.state = state;
        }
    }

    /// Nothing of the release has been touched since it was sealed: it is what its record says.
    fn as_recorded(&mut self, record: Option<&ReleaseRecord>) {
        for file in record.iter().flat_map(|record| &record.artifacts) {
            let path = file.path.to_string();
            self.modes.insert(path.clone(), (file.mode.bits(), file.size));
            self.hashes.insert(path, file.sha256);
        }
        for link in record.iter().flat_map(|record| &record.skeleton.symlinks) {
            self.symlinks.insert(link.path.to_string(), link.target.to_string());
        }
        let folders = record.iter().flat_map(|record| &record.skeleton.folders);
        self.folders.extend(folders.map(ToString::to_string));
    }

    /// The releases, oldest first, each with what is on file about it.
    fn releases(&mut self) -> Vec<FoundRelease> {
        let mut releases = std::mem::take(&mut self.releases);
        for release in &mut releases {
            let record = self.records.remove(&release.id);
            release.record = record.and_then(|json| ReleaseRecord::from_json(&json).ok());
            release.sizes = self.sizes.remove(&release.id).unwrap_or_default();
        }
        releases.sort_by(|a, b| a.id.cmp(&b.id));
        releases
    }

    fn hold(&self, key: &str) -> Hold {
        self.values.get(key).map_or(Hold::Free, |line| Hold::By(Holder::parse(line)))
    }

    /// Free bytes and inodes, from "BLOCKS BLOCK-SIZE INODES".
    fn room(&self) -> (Option<u64>, Option<u64>) {
        let words = self.values.get("room").map(|text| text.split_whitespace());
        let mut numbers = words.into_iter().flatten().map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let (blocks, size, inodes) = (next(), next(), next());
        let bytes = blocks.zip(size).map(|(blocks, size)| blocks.saturating_mul(size));
        // Some file systems (btrfs) have no fixed number of inodes, and say 0.
        (bytes, inodes.filter(|inodes| *inodes > 0))
    }

    fn libc(&self) -> Libc {
        let version = self.values.get("libc").and_then(|text| text.strip_prefix("glibc "));
        version.and_then(|text| GlibcVersion::from_str(text).ok()).map_or(Libc::Other, Libc::Glibc)
    }

    fn systemd(&self) -> Result<Systemd, ProbeError> {
        let text = match self.values.get("systemd").map(String::as_str) {
            Some("missing") => return Ok(Systemd::Missing),
            Some("not-booted") => return Ok(Systemd::NotBooted),
            // "systemd 252 (252.38-1~deb12u1)"
            Some(text) => text.split_whitespace().nth(1),
            // "252.38-1~deb12u1", from the manager itself.
            None => self.manager.get("Version").map(String::as_str),
        };
        let digits: String = text.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().map(Systemd::Running).map_err(|_| ProbeError::Incomplete { what: "systemd version" })
    }

    fn manager(&self) -> Manager {
        match self.values.get("manager_unreachable") {
            Some(said) => Manager::Unreachable(said.clone()),
            None => Manager::Answers(self.manager.get("SystemState").cloned().unwrap_or_default()),
        }
    }

    fn sudo(&self) -> Result<Sudo, ProbeError> {
        Ok(match self.value("sudo")? {
            "root" => Sudo::Root,
            "not-needed" => Sudo::NotNeeded,
            "missing" => Sudo::Missing,
            "passwordless" => Sudo::Passwordless,
            text => match text.split_once(' ').unwrap_or((text, "")) {
                ("denied", why) => Sudo::Denied(why.trim().to_owned()),
                (_, why) => Sudo::Refused(why.trim().to_owned()),
            },
        })
    }

    fn service_user(&self) -> Option<FoundUser> {
        let groups = self.values.get("service_user")?;
        Some(FoundUser { groups: groups.split_whitespace().map(str::to_owned).collect() })
    }

    fn pending(&self) -> Option<PendingRun> {
        let (id, life) = self.values.get("pending")?.split_once(' ')?;
        let life = if life == "alive" { RunLife::Alive } else { RunLife::Dead };
        Some(PendingRun { id: id.parse().ok()?, life })
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
        let files = self.hashes.iter().filter_map(|(path, sha256)| {
            let (mode, size) = *self.modes.get(path)?;
            Some((path.clone(), FoundFile { sha256: *sha256, mode, size }))
        });
        files.collect()
    }

    /// systemctl answers in the order it was asked in.
    fn units(
        &self,
        asked: &[UnitName],
        files: &BTreeMap<String, FoundFile>,
    ) -> BTreeMap<UnitName, FoundUnit> {
        let stored = files.iter().find(|(path, _)| path.starts_with("bin/")).map(|(_, file)| file.sha256);
        let uptime = self.values.get("uptime").and_then(|text| text.parse().ok());
        let uptime = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let units = asked.iter().zip(&self.units).map(|(unit, properties)| {
            let mut found = found_unit(properties, uptime);
            let pid = properties.get("MainPID").map(String::as_str).unwrap_or_default();
            found.executable = match self.executables.get(pid).map(String::as_str) {
                Some("current") => stored,
                Some(hash) => hash.parse().ok(),
                None => None,
            };
            (unit.clone(), found)
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
        let mut found: Vec<FoundLink> = Vec::new();
        // The manifest and the releases want mostly the same.
        for link in links {
            if found.iter().all(|other| other.path != link.path) {
                found.push(link);
            }
        }
        Ok(found)
    }
}

/// Reads "20261120T030041Z-8be1d2a4 good".
fn found_release(text: &str) -> Option<FoundRelease> {
    let (id, standing) = text.split_once(' ')?;
    let standing = if standing == "good" { Standing::Good } else { Standing::Unproven };
    Some(FoundRelease::new(id.parse().ok()?, standing))
}

/// Reads "123 20261120T030041Z-8be1d2a4/units/x.service": the release, the path in it, and the size.
fn stored_file(text: &str) -> Option<(ReleaseId, String, u64)> {
    let (size, path) = text.split_once(' ')?;
    let (id, path) = path.split_once('/')?;
    Some((id.parse().ok()?, path.to_owned(), size.parse().ok()?))
}

/// Reads "./20261120T030041Z-8be1d2a4/release.json", a tab, and a line of the record, which has no more than one.
fn stored_record(text: &str) -> Option<(ReleaseId, String)> {
    let (path, json) = text.split_once('\t')?;
    let id = path.strip_prefix("./")?.strip_suffix("/release.json")?;
    Some((id.parse().ok()?, json.to_owned()))
}

/// Reads a line of sha256sum(1), "HASH  ./units/x.service": the path in the release, and the hash. The line begins
/// with a backslash where the name has one, which stands twice then.
fn file_hash(line: &str) -> Option<(String, Sha256Digest)> {
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (hash, path) = line.split_once("  ./")?;
    let path = if escaped { path.replace(r"\\", r"\") } else { path.to_owned() };
    Some((path, hash.parse().ok()?))
}

/// Reads "644 123 1763683200.1 42 units/x.service": the path, the mode and the size. The other two are the host's own.
fn file_mode(text: &str) -> Option<(String, (u32, u64))> {
    let mut words = text.splitn(5, ' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let size = words.next()?.parse().ok()?;
    Some((words.nth(2)?.to_owned(), (mode, size)))
}

fn found_unit(properties: &BTreeMap<String, String>, uptime: Option<Duration>) -> FoundUnit {
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
        next_elapse: next_elapse(&get("NextElapseUSecRealtime"), &get("NextElapseUSecMonotonic"), uptime),
        memory: get("MemoryCurrent").parse().ok().filter(|bytes| *bytes != u64::MAX),
        main_pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        executable: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "20261120T030041Z-8be1d2a4";

    #[test]
    fn releases_come_with_what_is_on_file_about_them() {
        let mut answer = Answer::default();
        for line in [
            format!("release {ID} good"),
            "release 20261120T030007Z-3f2a9c01 unproven".to_owned(),
            "release lost+found unproven".to_owned(),
            format!("stored 12 {ID}/bin/a b"),
            "stored 12 elsewhere".to_owned(),
            format!("record ./{ID}/release.json\t{{}}"),
        ] {
            answer.take(&line);
        }
        let releases = answer.releases();
        let standings: Vec<_> = releases.iter().map(|release| release.standing).collect();
        assert_eq!(standings, [Standing::Unproven, Standing::Good], "oldest first");
        assert_eq!(releases[1].sizes.get("bin/a b"), Some(&12));
        assert_eq!(releases[1].record, None, "a record that can't be read is none");
    }

    #[test]
    fn a_line_of_the_history_is_taken_for_nothing_else() {
        let mut answer = Answer::default();
        for line in ["history current releases/x", "history end ok", "history units_begin"] {
            answer.take(line);
        }
        assert!(answer.values.is_empty() && !answer.in_units);
        assert_eq!(answer.history.unreadable, 3);
    }

    #[test]
    fn a_freeze_without_words_is_one_all_the_same() {
        let mut answer = Answer::default();
        answer.take("freeze ");
        assert_eq!((answer.hold("freeze"), answer.hold("lock")), (Hold::By(None), Hold::Free));
    }
}
