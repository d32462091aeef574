//! A program on the host: its input, its output, how it ended.

use super::channel::{Received, Sending};
use super::error::SshError;

/// How a program ended (RFC 4254, section 6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited.
    Code(u32),
    /// A signal killed it.
    Signal {
        /// Without `SIG`: `TERM`, `KILL`...
        name: String,
        /// What the server had to say about it.
        message: String,
    },
}

/// What comes from a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// From its standard output.
    Stdout(Vec<u8>),
    /// From its standard error.
    Stderr(Vec<u8>),
    /// It ended. Output may still follow.
    Exit(ExitStatus),
}

/// Everything a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// How it ended; `None` when the server did not say.
    pub exit: Option<ExitStatus>,
}

/// A running program. Dropping it closes its channel, at which sshd closes the program's input and output.
#[derive(Debug)]
pub struct Process {
    stdin: Stdin,
    events: Events,
}

/// The input of a program. Dropping it closes the input.
#[derive(Debug)]
pub struct Stdin(Sending);

/// The output of a program. Dropping it closes the channel.
#[derive(Debug)]
pub struct Events(Received);

impl Process {
    pub(super) fn new((sending, received): (Sending, Received)) -> Self {
        Self { stdin: Stdin(sending), events: Events(received) }
    }

    /// Writes all of `bytes` to the program's input, waiting while the program does not take any.
    ///
    /// # Errors
    /// [`SshError::InputClosed`] when the program has ended; [`Process::next`] tells how.
    pub async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), SshError> {
        self.stdin.write(bytes).await
    }

    /// Tells the program that there is no more input.
    pub async fn close_stdin(&mut self) {
        self.stdin.close().await;
    }

    /// What comes next; `None` once the channel is closed. [`Output::Exit`] is not the end.
    ///
    /// # Errors
    /// [`SshError::ConnectionLost`], [`SshError::BacklogExceeded`], [`SshError::RequestRefused`].
    pub async fn next(&mut self) -> Result<Option<Output>, SshError> {
        self.events.next().await
    }

    /// Closes the input and collects everything up to the end.
    ///
    /// # Errors
    /// As [`Process::next`]; [`SshError::BacklogExceeded`] when there is more than `limit` bytes in all.
    pub async fn output(mut self, limit: usize) -> Result<Collected, SshError> {
        self.close_stdin().await;
        let mut collected = Collected { stdout: Vec::new(), stderr: Vec::new(), exit: None };
        while let Some(output) = self.next().await? {
            match output {
                Output::Stdout(bytes) => collected.stdout.extend(bytes),
                Output::Stderr(bytes) => collected.stderr.extend(bytes),
                Output::Exit(status) => collected.exit = Some(status),
            }
            if collected.stdout.len() + collected.stderr.len() > limit {
                return Err(SshError::BacklogExceeded { limit });
            }
        }
        Ok(collected)
    }

    /// Separates input from output, so that one task can write while another reads.
    pub fn split(self) -> (Stdin, Events) {
        (self.stdin, self.events)
    }
}

impl Stdin {
    /// As [`Process::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), SshError> {
        self.0.write(bytes.into()).await
    }

    /// As [`Process::close_stdin`].
    pub async fn close(&mut self) {
        self.0.eof().await;
    }
}

impl Events {
    /// As [`Process::next`].
    ///
    /// # Errors
    /// As there.
    pub async fn next(&mut self) -> Result<Option<Output>, SshError> {
        self.0.next().await
    }
}
