//! One shell on the host, kept open for a connection and fed one program after another.
//!
//! The login shell only ever sees the constant `exec /bin/sh -s`; so fish and csh make no difference, and each program
//! after the first costs one round trip. What a program prints stands between two marks that carry a random number:
//! a `.bashrc` that prints is outside of them.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::library::{ELEVATION, Library, PRELUDE};
use super::root_shell::{self, NoRoot};
use super::script::Script;
use crate::manifest::{Scope, UnitName};
use crate::plan::{Elevation, RemotePath};
use crate::ssh::{Connection, Events, Output, SshError, Stdin};

/// The only text that a login shell gets to see.
pub(super) const SHELL: &str = "exec /bin/sh -s";

/// What is kept of what a program says on standard error, and of what a login shell says before it ends.
const KEPT: usize = 64 * 1024;

/// A sudo password. Handed to sudo over a pipe, never in an argument.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

impl Password {
    /// Wraps what the operator typed.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    pub(super) fn secret(&self) -> &SecretString {
        &self.0
    }
}

/// Whose rights the programs of a session have.
#[derive(Debug, Clone)]
pub enum Rights {
    /// The login user's.
    Login,
    /// Root's, by sudo or doas; with the password, where one is wanted.
    Root(Option<Password>),
}

/// A program could not be run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Root's rights can't be had.
    #[error("root's rights are refused{}", said_suffix(said))]
    NoRoot {
        /// Whether a password may help.
        why: NoRoot,
        /// What sudo or doas said.
        said: String,
    },
    /// What sshd started in place of `/bin/sh` ended without running any program.
    #[error("the account runs no commands{}", said_suffix(said))]
    NoShell {
        /// All that came from it, in a line.
        said: String,
    },
    /// The login shell, or `/bin/sh`, ended before the program did.
    #[error("the shell on the host ended{}", said_suffix(said))]
    Ended {
        /// The last that it said.
        said: String,
    },
    /// The program said nothing for too long.
    #[error("no answer from the host for {} s", idle.as_secs())]
    Silent {
        /// How long was waited.
        idle: Duration,
    },
}

fn said_suffix(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status.
    pub status: u32,
    /// What it said on standard error, trimmed.
    pub said: String,
}

/// Whether a program may change the session's shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a subshell: it can exit and change nothing of the session.
    Subshell,
    /// In the session's shell itself, to hold a lock open. It must not exit.
    Shell,
}

/// One shell on the host. No `Debug`: what has been read of its output may hold secrets.
pub struct Session {
    connection: Connection,
    scope: Scope,
    users_units: BTreeSet<UnitName>,
    rights: Rights,
    channel: Option<(Stdin, Events)>,
    mark: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What goes before the next program, into the session's shell itself.
    before_next: String,
    /// The libraries that the shell has, by the line that loads them.
    provided: Vec<&'static str>,
    /// What came before the first program began: the login shell's own words.
    preamble: Vec<u8>,
    /// Whether a program has begun, so that there is a shell.
    proven: bool,
}

impl Session {
    /// A session on a connection, for a service of this scope. The shell is started along with the first program.
    pub fn new(connection: Connection, scope: Scope, rights: Rights) -> Result<Self, getrandom::Error> {
        let number = getrandom::u64()?;
        Ok(Self {
            connection,
            scope,
            users_units: BTreeSet::new(),
            rights,
            channel: None,
            mark: format!("shipit-{number:016x}"),
            stdout: Vec::new(),
            stderr: Vec::new(),
            before_next: String::new(),
            provided: Vec::new(),
            preamble: Vec::new(),
            proven: false,
        })
    }

    /// The connection that the session is on.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a program in a subshell, and hands over its lines as they come.
    pub async fn run(
        &mut self,
        script: &Script,
        idle: Duration,
        on_line: impl FnMut(&str),
    ) -> Result<Finished, SessionError> {
        self.run_in(Place::Subshell, script, idle, on_line).await
    }

    /// Has the session's shell tell a run, when its own input ends, that its client is gone: should the program that holds
    /// the lock not be there to do it. Takes effect with the next program.
    pub fn attach(&mut self, run: &RemotePath) {
        let mut script = Script::default();
        script.call("set --", [run.as_str()]);
        script.constant_line("attached=$1");
        self.before_next.push_str(script.as_str());
    }

    /// These units of a service of the system's are the login user's. Takes effect with the next program.
    pub(super) fn tell_users_units(&mut self, units: &BTreeSet<UnitName>) {
        self.users_units.clone_from(units);
        if self.channel.is_some() {
            let script = self.users_units();
            self.before_next.push_str(script.as_str());
        }
    }

    fn users_units(&self) -> Script {
        let mut script = Script::default();
        script.call("set --", self.users_units.iter().map(UnitName::as_str));
        script.constant_line("users_units=$*; set --");
        script
    }

    /// The run is over.
    pub fn detach(&mut self) {
        self.before_next.push_str("attached=\n");
    }

    /// Gives the shell a library, unless it has it. Takes effect with the next program.
    pub(super) fn provide(&mut self, library: &Library) {
        if !self.provided.contains(&library.load) {
            self.provided.push(library.load);
            self.before_next.push_str(library.provide().as_str());
        }
    }

    /// Runs a program where [`Place`] says.
    pub async fn run_in(
        &mut self,
        place: Place,
        script: &Script,
        idle: Duration,
        mut on_line: impl FnMut(&str),
    ) -> Result<Finished, SessionError> {
        let frame = std::mem::take(&mut self.before_next) + &self.frame(place, script);
        let (begun_at, bytes) = (Instant::now(), frame.len());
        self.send(frame, idle).await?;
        let mut begun = false;
        loop {
            while let Some(line) = take_line(&mut self.stdout) {
                let line = String::from_utf8_lossy(&line);
                match line.strip_prefix(&self.mark) {
                    Some(" begin") => {
                        begun = true;
                        self.proven = true;
                    }
                    Some(end) if begun => {
                        let status = end.trim().parse().unwrap_or(u32::MAX);
                        let said = self.said_until_mark(idle).await?;
                        let (target, took) = (self.connection.target(), begun_at.elapsed());
                        tracing::debug!(
                            "{target}: a program of {bytes} bytes ended with {status} after {took:.0?}"
                        );
                        return Ok(Finished { status, said });
                    }
                    _ if begun => on_line(&line),
                    // What the login shell's start-up files print.
                    _ => {
                        let room = KEPT.saturating_sub(self.preamble.len());
                        self.preamble.extend(line.bytes().chain([b'\n']).take(room));
                    }
                }
            }
            self.receive(idle).await?;
        }
    }

    /// Has later programs, and runs that are begun from now on, get root's rights in this way. Takes effect with the next
    /// program.
    pub fn elevate(&mut self, elevation: Elevation) {
        let way = match elevation {
            Elevation::Sudo => return,
            Elevation::SudoOnTerminal => "terminal",
            Elevation::Doas => "doas",
        };
        if self.provided.contains(&ELEVATION.load) {
            return;
        }
        self.provided.push(ELEVATION.load);
        let mut script = Script::default();
        script.call("set --", [ELEVATION.text().as_str(), way]);
        // A run's program is written from what is kept of the prelude.
        script.constant_line("prelude=\"$prelude$newline$1${newline}elevation=$2\"");
        script.constant_line("elevation=$2");
        script.constant_line(ELEVATION.load);
        script.constant_line("set --");
        self.before_next.push_str(script.as_str());
    }

    /// Lets later programs use sudo, or doas, with this password. It is kept in the shell's memory, and nowhere else.
    pub async fn set_sudo_password(
        &mut self,
        password: &Password,
        idle: Duration,
    ) -> Result<bool, SessionError> {
        let mut script = Script::default();
        script.call("set --", [password.0.expose_secret()]);
        script.constant_line("sudo_password=$1; sudo_mode=password; set --");
        script.constant_line("check_password");
        Ok(self.run_in(Place::Shell, &script, idle, |_| {}).await?.status == 0)
    }

    fn frame(&self, place: Place, script: &Script) -> String {
        let mark = &self.mark;
        let (open, close) = match place {
            Place::Subshell => ("(", ")"),
            Place::Shell => ("{", "}"),
        };
        // The shell reads the whole of a compound command before it runs it, so a program that reads its standard
        // input can't swallow the next one; it has none anyway.
        format!(
            "printf '%s begin\\n' {mark}\n{open}\n{}{close} </dev/null\nprintf '\\n%s %s\\n' {mark} \"$?\"\nprintf '\\n%s\\n' {mark} >&2\n",
            script.as_str()
        )
    }

    /// The rights that its programs have.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Starts a shell with these rights in place of the one there is, if any.
    pub async fn become_root(&mut self, password: Option<Password>) -> Result<(), SessionError> {
        self.channel = Some(root_shell::open(&self.connection, &self.mark, password.as_ref()).await?);
        self.rights = Rights::Root(password);
        self.provided.clear();
        let beginning = self.beginning();
        self.before_next.insert_str(0, &beginning);
        Ok(())
    }

    /// What every shell is told first.
    fn beginning(&self) -> String {
        let mut script = PRELUDE.provide();
        script.call("set --", [self.scope.as_str()]);
        script.constant_line("scope=$1; set --");
        script.append(&self.users_units());
        script.constant_line(PRELUDE.load);
        script.as_str().to_owned()
    }

    /// A shell that is there may take nothing for as long as it may say nothing. To start one may take a person's answer.
    async fn send(&mut self, frame: String, idle: Duration) -> Result<(), SessionError> {
        let frame = if self.channel.is_some() { frame } else { self.beginning() + &frame };
        match (&mut self.channel, &self.rights) {
            (Some((stdin, _)), _) => {
                let written = tokio::time::timeout(idle, stdin.write(frame.into_bytes())).await;
                written.map_err(|_| SessionError::Silent { idle })??;
            }
            (none, Rights::Login) => {
                *none = Some(self.connection.start_with_input(SHELL, frame.into_bytes()).await?.split());
            }
            (none, Rights::Root(password)) => {
                let (mut stdin, events) =
                    root_shell::open(&self.connection, &self.mark, password.as_ref()).await?;
                stdin.write(frame.into_bytes()).await?;
                *none = Some((stdin, events));
            }
        }
        Ok(())
    }

    /// Waits for something from the shell.
    async fn receive(&mut self, idle: Duration) -> Result<(), SessionError> {
        let Some((_, events)) = &mut self.channel else {
            return Err(SessionError::Ended { said: String::new() });
        };
        let next =
            tokio::time::timeout(idle, events.next()).await.map_err(|_| SessionError::Silent { idle })?;
        match next? {
            Some(Output::Stdout(bytes)) => self.stdout.extend(bytes),
            Some(Output::Stderr(bytes)) => {
                self.stderr.extend(bytes);
                let excess = self.stderr.len().saturating_sub(KEPT);
                self.stderr.drain(..excess);
            }
            // The exit status does not end a channel; the end of it does.
            Some(Output::Exit(_)) => {}
            None => {
                let mut said = std::mem::take(&mut self.stderr);
                if said.is_empty() {
                    said = std::mem::take(&mut self.preamble);
                    said.append(&mut self.stdout);
                }
                self.channel = None;
                self.provided.clear();
                let said = String::from_utf8_lossy(&said);
                return Err(if self.proven {
                    SessionError::Ended { said: said.trim().to_owned() }
                } else {
                    let words = said.split(|c: char| c.is_whitespace() || c.is_control());
                    let said: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                    SessionError::NoShell { said: said.join(" ") }
                });
            }
        }
        Ok(())
    }

    /// The two streams of a channel are not in step: standard error has its own mark to wait for.
    async fn said_until_mark(&mut self, idle: Duration) -> Result<String, SessionError> {
        loop {
            let text = String::from_utf8_lossy(&self.stderr).into_owned();
            if let Some(at) = text.find(&self.mark) {
                self.stderr.clear();
                return Ok(text[..at].trim().to_owned());
            }
            self.receive(idle).await?;
        }
    }
}

/// Takes the first whole line out of the buffer, without its end.
fn take_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let mut line: Vec<u8> = buffer.drain(..=end).collect();
    line.pop();
    Some(line)
}
