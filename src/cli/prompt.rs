//! Questions to the operator on the terminal: passphrases, host keys, the sudo password, and "go ahead?".
//!
//! Each is asked while nothing else is drawn. Where nobody can be asked, every answer is no.
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::askpass::Askpass;
use super::global::GlobalArgs;
use super::run::{Run, Shown};
use super::signals::Signals;
use crate::host::Password;
use crate::manifest::Address;
use crate::plan::Elevation;
use crate::report::Suspend;
use crate::rollout::SudoPrompt;
use crate::ssh::{Answer, Echo, HostKeyQuestion, LoginQuestion, Prompt};

/// Asks on the terminal, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// Whether someone sits at a terminal.
    available: bool,
    /// Who is asked for secrets in place of the terminal.
    askpass: Option<Askpass>,
    suspend: Suspend,
    shown: Option<Shown>,
    signals: Signals,
    /// The keys whose passphrase was asked for: asked again, the one before was wrong.
    asked: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Asker {
    /// One that asks only when someone is there.
    #[must_use]
    pub(super) fn new(global: &GlobalArgs) -> Self {
        Self {
            available: global.can_ask(),
            askpass: Askpass::find(global.seat()),
            suspend: Suspend::none(),
            shown: None,
            signals: global.signals.clone(),
            asked: Arc::default(),
        }
    }

    /// The same for a run that is reported on: the question comes below all that has happened until then.
    #[must_use]
    pub(super) fn in_run(global: &GlobalArgs, run: &Run) -> Self {
        Self { suspend: run.suspend.clone(), shown: Some(run.shown.clone()), ..Self::new(global) }
    }

    /// Whether somebody sits at a terminal.
    #[must_use]
    pub(super) fn sits_at_a_terminal(&self) -> bool {
        self.available
    }

    /// A secret that the manifest wants to have asked for: of the terminal only.
    #[must_use]
    pub(super) fn manifest_secret(&self, question: &str) -> Option<SecretString> {
        self.typed(&format!("{question}: "))
    }

    /// Whether there is anybody to ask for a secret.
    #[must_use]
    pub(super) fn is_available(&self) -> bool {
        self.available || self.askpass.is_some()
    }

    /// The passphrase of a key that was given under this name.
    #[must_use]
    pub(super) fn given_passphrase(&self, name: &str, again: bool) -> Option<SecretString> {
        let again = if again { "Sorry, that was not it. " } else { "" };
        self.secret(&format!("{again}Passphrase for the key in {name}: "))
            .filter(|text| !text.expose_secret().is_empty())
    }

    fn ask<T>(&self, question: impl FnOnce() -> T) -> T {
        if let Some(shown) = &self.shown {
            shown.wait();
        }
        self.suspend.suspend(question)
    }

    /// Asks for a yes.
    #[must_use]
    pub(super) fn confirm(&self, question: &str) -> bool {
        self.available && self.ask(|| yes(question))
    }

    /// Asks for what must not be seen. It may be empty.
    fn secret(&self, question: &str) -> Option<SecretString> {
        if let Some(askpass) = &self.askpass {
            return self.ask(|| askpass.ask(question));
        }
        self.typed(question)
    }

    /// The same, of the terminal only.
    fn typed(&self, question: &str) -> Option<SecretString> {
        if !self.available {
            return None;
        }
        let terminal = self.signals.has_terminal();
        let heard = self.signals.count();
        let typed = self.ask(|| rpassword::prompt_password(question));
        drop(terminal);
        if matches!(&typed, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
            // It has sent us the signal that the terminal would have sent. Whoever listens is to hear of it first.
            self.signals.await_more_than(heard);
        }
        typed.ok().map(SecretString::from)
    }

    /// Asks for what may be seen.
    fn open(&self, question: &str) -> Option<SecretString> {
        if let Some(askpass) = &self.askpass {
            return self.ask(|| askpass.ask(question));
        }
        if !self.available {
            return None;
        }
        self.ask(|| line(question)).map(|line| SecretString::from(line.as_str()))
    }
}

/// Not holding on to standard error: who is interrupted by it has something to say.
fn show(question: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()
}

fn line(question: &str) -> Option<Zeroizing<String>> {
    show(question).ok()?;
    let mut answer = Zeroizing::new(String::new());
    match io::stdin().read_line(&mut answer) {
        Ok(1..) => Some(Zeroizing::new(answer.trim_end_matches(['\n', '\r']).to_owned())),
        Ok(0) | Err(_) => None,
    }
}

fn yes(question: &str) -> bool {
    let asked = show(&format!("{question} [y/N] "));
    let mut answer = String::new();
    asked.is_ok()
        && io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

impl Prompt for Asker {
    fn is_there(&self) -> bool {
        self.is_available()
    }

    fn answer(&self, question: &LoginQuestion) -> Option<SecretString> {
        let LoginQuestion { target, preface, text, echo } = question;
        let mut lines: Vec<String> = preface.iter().map(|line| format!("{target}: {line}")).collect();
        // Which of many hosts wants to know; some say so themselves.
        let says_so = text.contains(&format!("{}@{}", target.user, target.host));
        lines.push(if says_so { text.clone() } else { format!("({target}) {text}") });
        match echo {
            Echo::Off => self.secret(&lines.join("\n")),
            Echo::On => self.open(&lines.join("\n")),
        }
    }

    fn passphrase(&self, key: &Path) -> Option<SecretString> {
        let first = self.asked.lock().is_ok_and(|mut asked| asked.insert(key.to_owned()));
        let again = if first { "" } else { "Sorry, that was not it. " };
        self.secret(&format!("{again}Passphrase for {}: ", key.display()))
            .filter(|text| !text.expose_secret().is_empty())
    }

    fn accept_host_key(&self, question: &HostKeyQuestion) -> Answer {
        let HostKeyQuestion { target, key_type, fingerprint } = question;
        let text = format!(
            "{target} is not in known_hosts. Its {key_type} key is\n  {fingerprint}\nCompare it with what the host's \
             administrator says. Trust it from now on?"
        );
        if self.confirm(&text) { Answer::Accepted } else { Answer::Refused }
    }
}

impl SudoPrompt for Asker {
    fn sudo_password(&self, host: &Address, by: Elevation, again: bool) -> Option<Password> {
        let again = if again { "Sorry, that was not it. " } else { "" };
        // Not by SSH_ASKPASS: what answers to that may have one answer to everything, and this goes to the host.
        self.typed(&format!("{again}{} password on {host}: ", by.program()))
            .filter(|text| !text.expose_secret().is_empty())
            .map(Password::new)
    }
}
