//! Our own reader of ssh_config(5), for machines without ssh. It reads what can be read without running anything or asking
//! the network, in the way of OpenSSH's readconf.c, and refuses the rest: `Match` first of all.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigProblem};
use super::expand::{Machine, tilde};
use super::include;
use super::jump;
use super::keyword::{Form, Keyword, Meaning, meaning};
use super::settings::Settings;
use super::words::{arguments, keyword};
use super::{Files, Login};
use crate::ssh::pattern::{matches_list, matches_pattern};

/// As OpenSSH (READCONF_MAX_DEPTH).
const DEEPEST: usize = 16;

/// Enough for anybody; files that include each other would otherwise be read without end.
const MOST_FILES: usize = 2000;

/// More than any configuration, less than what hurts to read by mistake.
const LARGEST: u64 = 16 << 20;

const SYSTEM: &str = "/etc/ssh/ssh_config";

/// What the configuration sets for a host.
pub(super) fn settings(files: &Files, login: &Login, machine: &Machine) -> Result<Settings, ConfigError> {
    refuse_odd_names(login)?;
    let mut reading = Reading::new(login, machine);
    match files {
        Files::None => {}
        Files::Usual => {
            let user = machine.home.join(".ssh/config");
            reading.file(&user, Place::OfUser, Trust::OwnersOnly, Absence::Fine)?;
            reading.file(Path::new(SYSTEM), Place::OfSystem, Trust::Anyone, Absence::Fine)?;
        }
        Files::Only(path) => reading.file(path, Place::OfUser, Trust::Anyone, Absence::Error)?,
    }
    if !reading.problems.is_empty() {
        return Err(ConfigError::Problems { problems: reading.problems });
    }
    let mut settings = reading.settings;
    // What was said with the question wins.
    if let Some(user) = &login.user {
        settings
            .set(Keyword::User, super::settings::Setting { words: vec![user.clone()], ..Default::default() });
    }
    if let Some(port) = login.port {
        let words = vec![port.to_string()];
        settings.set(Keyword::Port, super::settings::Setting { words, ..Default::default() });
    }
    Ok(settings)
}

/// As ssh does with what stands on its command line: such a name may end up in one of a shell.
fn refuse_odd_names(login: &Login) -> Result<(), ConfigError> {
    let odd = |keyword, value: &str| ConfigError::Value {
        host: login.host.clone(),
        keyword,
        value: value.to_owned(),
        why: "it has characters that no such name has".to_owned(),
    };
    if !jump::is_safe_host(&login.host) {
        return Err(odd(Keyword::HostName, &login.host));
    }
    match &login.user {
        Some(user) if !jump::is_safe_user(user) => Err(odd(Keyword::User, user)),
        _ => Ok(()),
    }
}

/// Reads one text as a configuration file for a host. For tests: no text may do harm, and no other file is opened.
#[cfg(any(test, fuzzing))]
pub(in crate::ssh) fn read_text(text: &[u8], host: &str) {
    let login = Login { host: host.to_owned(), user: None, port: None };
    let machine = Machine { home: "/nonexistent".into(), user: Some("nobody".to_owned()) };
    let mut reading = Reading::new(&login, &machine);
    let _ = reading.text(text, Path::new("config"), Scope::new(Place::OfUser), &mut Block::Applies, DEEPEST);
    let _ = super::HostConfig::new(&reading.settings, &login, &machine);
}

/// Whose file it is, which decides where its `Include`s begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    OfUser,
    OfSystem,
}

/// Who may own a file, and write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// root and the user, as OpenSSH wants it.
    OwnersOnly,
    Anyone,
}

/// What it means that a file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Fine,
    Error,
}

/// Whether the lines at hand speak of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Applies,
    /// It is still read, for errors.
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Scope {
    place: Place,
    /// Included from a block of another host: no `Host` in it can apply.
    never: bool,
}

impl Scope {
    fn new(place: Place) -> Self {
        Self { place, never: false }
    }
}

/// A line that is read.
#[derive(Clone, Copy)]
struct Line<'a> {
    file: &'a Path,
    number: usize,
}

impl Line<'_> {
    fn problem(self, what: impl Into<String>) -> ConfigProblem {
        ConfigProblem { file: self.file.to_owned(), line: self.number, what: what.into() }
    }

    fn needs_ssh(self, keyword: &str) -> ConfigError {
        ConfigError::NeedsSsh { file: self.file.to_owned(), line: self.number, keyword: keyword.to_owned() }
    }
}

struct Reading<'a> {
    login: &'a Login,
    machine: &'a Machine,
    settings: Settings,
    /// Keywords that may be unknown.
    ignored: Option<String>,
    problems: Vec<ConfigProblem>,
    /// How many files were included.
    files: usize,
}

impl<'a> Reading<'a> {
    fn new(login: &'a Login, machine: &'a Machine) -> Self {
        Self { login, machine, settings: Settings::default(), ignored: None, problems: Vec::new(), files: 0 }
    }

    fn file(&mut self, path: &Path, place: Place, trust: Trust, absence: Absence) -> Result<(), ConfigError> {
        let mut block = Block::Applies;
        match read(path, trust)? {
            Some(text) => self.text(&text, path, Scope::new(place), &mut block, 0),
            None if absence == Absence::Fine => Ok(()),
            None => {
                Err(ConfigError::Unreadable {
                    file: path.to_owned(), // In the words of the system.
                    source: path.metadata().err().unwrap_or_else(|| io::ErrorKind::NotFound.into()),
                })
            }
        }
    }

    fn text(
        &mut self,
        text: &[u8],
        file: &Path,
        scope: Scope,
        block: &mut Block,
        depth: usize,
    ) -> Result<(), ConfigError> {
        for (index, bytes) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = Line { file, number: index + 1 };
            // A comment may be in any encoding.
            if bytes.trim_ascii_start().first() == Some(&b'#') {
                continue;
            }
            match std::str::from_utf8(bytes) {
                Ok(text) => self.line(text, line, scope, block, depth)?,
                Err(_) => self.problems.push(line.problem("this line is not UTF-8")),
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        text: &str,
        line: Line<'_>,
        scope: Scope,
        block: &mut Block,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let Some((word, rest)) = keyword(text) else { return Ok(()) };
        let mut problem = |what: String| self.problems.push(line.problem(what));
        if rest.is_empty() {
            problem(format!("`{word}` has no argument"));
            return Ok(());
        }
        let Ok(words) = arguments(rest) else {
            problem("a quote is not closed".to_owned());
            return Ok(());
        };
        let Some(meaning) = meaning(&word) else {
            if !self.ignored.as_ref().is_some_and(|list| matches_list(&list.to_ascii_lowercase(), &word)) {
                problem(format!("`{word}` is not a keyword of ssh_config"));
            }
            return Ok(());
        };
        let applies = *block == Block::Applies;
        match meaning {
            Meaning::Indifferent => {}
            Meaning::Match => return Err(line.needs_ssh("Match")),
            Meaning::Host => *block = self.host(&words, line, scope),
            Meaning::Include => return self.include(&words, line, scope, *block, depth),
            Meaning::IgnoreUnknown => {
                if let (true, None, Some(list)) = (applies, &self.ignored, words.first()) {
                    self.ignored = Some(list.clone());
                }
            }
            Meaning::Canonicalize(harmless) => {
                let is_harmless = |word: &String| harmless.iter().any(|no| no.eq_ignore_ascii_case(word));
                if applies && !words.first().is_some_and(is_harmless) {
                    return Err(line.needs_ssh(&word));
                }
            }
            Meaning::RefuseConnection if applies => {
                let message = words.first().cloned().unwrap_or_default();
                return Err(ConfigError::Refused { file: line.file.to_owned(), line: line.number, message });
            }
            Meaning::RefuseConnection => {}
            Meaning::Setting(keyword) => return self.setting(keyword, &word, rest, words, line, *block),
        }
        Ok(())
    }

    fn host(&mut self, patterns: &[String], line: Line<'_>, scope: Scope) -> Block {
        let mut block = Block::Other;
        for pattern in patterns {
            if pattern.is_empty() {
                self.problems.push(line.problem("a pattern is empty"));
                return block;
            }
            if scope.never {
                return block;
            }
            let (pattern, negated) = match pattern.strip_prefix('!') {
                Some(pattern) => (pattern, true),
                None => (pattern.as_str(), false),
            };
            match (matches_pattern(pattern, &self.login.host), negated) {
                (true, true) => return Block::Other,
                (true, false) => block = Block::Applies,
                (false, _) => {}
            }
        }
        block
    }

    fn setting(
        &mut self,
        keyword: Keyword,
        name: &str,
        rest: &str,
        mut words: Vec<String>,
        line: Line<'_>,
        block: Block,
    ) -> Result<(), ConfigError> {
        let form = keyword.form();
        match form {
            Form::Rest | Form::Jump => {
                words = vec![rest.trim_start_matches(|c: char| " \t\r\n=".contains(c)).to_owned()];
            }
            Form::Words => {}
            Form::Word
            | Form::Agent
            | Form::Choice(_)
            | Form::Time
            | Form::Count
            | Form::Port
            | Form::Repeated => {
                if words.len() > 1 {
                    self.problems.push(line.problem(format!("`{name}` takes one argument")));
                    return Ok(());
                }
            }
        }
        if words.iter().any(String::is_empty) || words.is_empty() {
            self.problems.push(line.problem(format!("`{name}` has an empty argument")));
            return Ok(());
        }
        if let Err(what) = form.check(&words) {
            self.problems.push(line.problem(format!("{name}: {what}")));
            return Ok(());
        }
        if block == Block::Other {
            return Ok(());
        }
        match (keyword, form) {
            // The version of ssh decides whether these are tokens.
            (Keyword::User, _) if words.iter().any(|word| word.contains(['%', '$'])) => {
                return Err(line.needs_ssh("User with tokens"));
            }
            // Whichever of the two comes first keeps the other out; but for `ProxyJump none`, in later versions of ssh.
            (Keyword::ProxyJump, _) if self.settings.get(Keyword::ProxyCommand).is_some() => {}
            (Keyword::ProxyCommand, _)
                if self
                    .settings
                    .word(Keyword::ProxyJump)
                    .is_some_and(|jump| !jump.eq_ignore_ascii_case("none")) => {}
            (_, Form::Repeated) => words.into_iter().for_each(|word| self.settings.add(keyword, word)),
            _ => self.settings.set_first(keyword, words),
        }
        Ok(())
    }

    fn include(
        &mut self,
        patterns: &[String],
        line: Line<'_>,
        scope: Scope,
        block: Block,
        depth: usize,
    ) -> Result<(), ConfigError> {
        if depth >= DEEPEST {
            self.problems.push(line.problem("files include each other too deeply"));
            return Ok(());
        }
        let scope = Scope { never: scope.never || block == Block::Other, ..scope };
        for pattern in patterns {
            // Later versions of OpenSSH put in what these stand for, earlier ones do not.
            if pattern.contains('%') || pattern.contains("${") {
                return Err(line.needs_ssh("Include with tokens"));
            }
            let pattern = match (pattern.starts_with('~'), scope.place) {
                (true, Place::OfSystem) => {
                    self.problems.push(line.problem("`~` means nothing in a configuration for all users"));
                    continue;
                }
                (true, Place::OfUser) => match tilde(pattern, &self.machine.home) {
                    Ok(path) => path,
                    Err(what) => {
                        self.problems.push(line.problem(what));
                        continue;
                    }
                },
                (false, Place::OfUser) => self.machine.home.join(".ssh").join(pattern),
                (false, Place::OfSystem) => Path::new("/etc/ssh").join(pattern),
            };
            let Some(files) = include::files(&pattern) else {
                self.problems.push(line.problem(format!("`{}` is not a pattern", pattern.display())));
                continue;
            };
            for file in files {
                self.files += 1;
                if self.files > MOST_FILES {
                    self.problems.push(line.problem("too many files are included"));
                    return Ok(());
                }
                let Some(text) = read(&file, Trust::OwnersOnly)? else { continue };
                // What a `Host` in there begins ends with the file.
                self.text(&text, &file, scope, &mut block.clone(), depth + 1)?;
            }
        }
        Ok(())
    }
}

/// A file's text; `None` when there is none. A directory has no lines.
fn read(path: &Path, trust: Trust) -> Result<Option<Vec<u8>>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: path.to_owned(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let owners = [Some(0), Machine::uid().or(Some(metadata.uid()))];
    if trust == Trust::OwnersOnly && (metadata.mode() & 0o022 != 0 || !owners.contains(&Some(metadata.uid())))
    {
        return Err(ConfigError::Permissions { file: PathBuf::from(path) });
    }
    let mut text = Vec::new();
    if !metadata.is_dir() {
        file.by_ref().take(LARGEST).read_to_end(&mut text).map_err(unreadable)?;
    }
    Ok(Some(text))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
