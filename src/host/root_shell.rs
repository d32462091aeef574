//! Root's shell, for a service of the system's scope: the login user's one becomes it, by sudo or doas.
//!
//! This takes a round trip of its own, since a shell may read ahead: what is sent before it has answered might be read
//! by the one that is about to give way.
use std::time::Duration;

use secrecy::ExposeSecret;

use super::script::Script;
use super::session::{Password, SHELL, SessionError};
use crate::ssh::{Connection, Events, Output, Stdin};

const PROGRAM: &str = include_str!("root_shell.sh");

/// How long sudo may take to answer: it may ask a directory on the network.
const IDLE: Duration = Duration::from_secs(60);

/// Why root's rights can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoot {
    /// A password is wanted, or the one that was given is wrong.
    PasswordWanted,
    /// They can't be had, whatever is typed.
    Refused,
}

/// Starts the login user's shell, and returns once it is root's.
pub(super) async fn open(
    connection: &Connection,
    mark: &str,
    password: Option<&Password>,
) -> Result<(Stdin, Events), SessionError> {
    let mut script = Script::constant(PROGRAM);
    let password = password.map_or("", |password| password.secret().expose_secret());
    script.call("become_root", [mark, password]);
    let input = script.as_str().as_bytes().to_vec();
    let (stdin, mut events) = connection.start_with_input(SHELL, input).await?.split();
    let mut heard = Vec::new();
    loop {
        if let Some(answer) = answer(&heard, mark) {
            return match answer.split_once(' ').unwrap_or((answer.as_str(), "")) {
                ("root", _) => Ok((stdin, events)),
                (kind, said) => {
                    let why = if kind == "password" { NoRoot::PasswordWanted } else { NoRoot::Refused };
                    Err(SessionError::NoRoot { why, said: said.trim().to_owned() })
                }
            };
        }
        let next = tokio::time::timeout(IDLE, events.next()).await;
        match next.map_err(|_| SessionError::Silent { idle: IDLE })?? {
            Some(Output::Stdout(bytes)) => heard.extend(bytes),
            Some(Output::Stderr(_) | Output::Exit(_)) => {}
            None => {
                let said = String::from_utf8_lossy(&heard);
                let words: Vec<&str> = said
                    .split(|c: char| c.is_whitespace() || c.is_control())
                    .filter(|w| !w.is_empty())
                    .collect();
                return Err(SessionError::NoShell { said: words.join(" ") });
            }
        }
    }
}

/// What stands behind the mark, once the line is whole. What the login shell's start-up files print is before it.
fn answer(heard: &[u8], mark: &str) -> Option<String> {
    let text = String::from_utf8_lossy(heard);
    let whole = &text[..=text.rfind('\n')?];
    let line = whole.lines().find_map(|line| line.strip_prefix(mark))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_behind_what_a_login_shell_prints() {
        assert_eq!(answer(b"Welcome!\n\nshipit-1 root\n", "shipit-1").as_deref(), Some("root"));
        let refused = b"\nshipit-1 password sudo: a password is required\n";
        assert_eq!(answer(refused, "shipit-1").as_deref(), Some("password sudo: a password is required"));
        assert_eq!(answer(b"shipit-1 ro", "shipit-1"), None, "half a line");
        assert_eq!(answer(b"hello\n", "shipit-1"), None);
    }
}
