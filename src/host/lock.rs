//! The service's lock on a host: held by a program at the far end of a channel of its own, and kept by a heartbeat.
//!
//! A client that dies closes the channel; one that is cut off in silence stops beating. Either way the program ends, and
//! the kernel lets go of the lock: nothing stale is left behind.
use std::time::Duration;

use tokio::task::JoinHandle;

use super::root_shell;
use super::script::Script;
use super::session::{Rights, SHELL, SessionError};
use crate::manifest::Scope;
pub use crate::plan::Holder;
use crate::release::RunId;
use crate::ssh::{Connection, Events, Output, Stdin};

const PROGRAM: &str = concat!(include_str!("scope.sh"), include_str!("hang_up.sh"), include_str!("lock.sh"));

/// The time between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);

/// How long the host waits for one: after a silent cut, the lock is free after at most this long.
pub const SILENCE: Duration = Duration::from_secs(20);

/// How long the host may take to answer beyond the wait for the lock itself.
const IDLE: Duration = Duration::from_secs(60);

/// How asking for the lock ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// It is ours; what `current` points to under it ("-" for nothing).
    Locked(String),
    /// Someone else holds it, and still did when the wait was over.
    Held(Option<Holder>),
    /// People have frozen the service.
    Frozen(Option<Holder>),
    /// The folder can't be written to.
    Unwritable,
}

/// Who wants the lock, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Whose service manager runs it.
    pub scope: Scope,
    /// The root of the service whose lock it is, with `~/` for the home directory.
    pub root: &'a str,
    /// Who we are.
    pub holder: &'a Holder,
    /// How long to wait for it.
    pub patience: Duration,
    /// The run that we may begin under it. It is told when we are gone.
    pub run: &'a RunId,
    /// How long that waits for our word.
    pub deadline: Duration,
}

/// A program on the host that will hold the lock, and then holds it.
#[derive(Debug)]
pub struct Lock {
    stdin: Option<Stdin>,
    events: Events,
    buffer: Vec<u8>,
    patience: Duration,
    beating: Option<JoinHandle<()>>,
    run: RunId,
}

impl Lock {
    /// Opens the channel. Nothing is locked yet.
    pub async fn open(
        connection: &Connection,
        claim: &Claim<'_>,
        rights: &Rights,
    ) -> Result<Self, SessionError> {
        let Claim { scope, root, holder, patience, run, deadline } = *claim;
        let seconds = |time: Duration| time.as_millis().div_ceil(1000).to_string();
        let arguments = [
            scope.as_str(),
            root,
            &seconds(patience),
            &seconds(SILENCE),
            &holder.to_json(),
            &run.to_string(),
            &seconds(deadline),
        ];
        // A shell that reads its input byte by byte, as bash does, leaves what comes behind the program to the program.
        let script = Script::with_arguments(PROGRAM.trim_end(), arguments);
        let program = script.as_str().as_bytes().to_vec();
        let (stdin, events) = match rights {
            Rights::Login => connection.start_with_input(SHELL, program).await?.split(),
            Rights::Root(password) => {
                // Named after the run, it is as hard to mistake as its answer.
                let mark = format!("shipit-lock-{run}");
                let (mut stdin, events) = root_shell::open(connection, &mark, password.as_ref()).await?;
                stdin.write(program).await?;
                (stdin, events)
            }
        };
        Ok(Self { stdin: Some(stdin), events, buffer: Vec::new(), patience, beating: None, run: run.clone() })
    }

    /// Asks for the lock, and waits as long as was said. `waiting` is told who holds it meanwhile.
    pub async fn acquire(
        &mut self,
        mut waiting: impl FnMut(Option<Holder>),
    ) -> Result<LockOutcome, SessionError> {
        // Asked before the program reads its input, the byte could be taken for a part of the program.
        let ready = format!("ready {}", self.run);
        while self.line(IDLE).await? != ready {}
        let Some(mut stdin) = self.stdin.take() else {
            return Err(SessionError::Ended { said: String::new() });
        };
        stdin.write(b"L".to_vec()).await?;
        loop {
            let line = self.line(self.patience + IDLE).await?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                "waiting" => waiting(Holder::parse(rest)),
                "held" => return Ok(LockOutcome::Held(Holder::parse(rest))),
                "frozen" => return Ok(LockOutcome::Frozen(Holder::parse(rest))),
                "unwritable" => return Ok(LockOutcome::Unwritable),
                "locked" => {
                    self.beating = Some(tokio::spawn(beat(stdin)));
                    return Ok(LockOutcome::Locked(rest.to_owned()));
                }
                _ => {}
            }
        }
    }

    async fn line(&mut self, idle: Duration) -> Result<String, SessionError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let next = tokio::time::timeout(idle, self.events.next()).await;
            match next.map_err(|_| SessionError::Silent { idle })?? {
                Some(Output::Stdout(bytes)) => self.buffer.extend(bytes),
                Some(Output::Stderr(_) | Output::Exit(_)) => {}
                None => return Err(SessionError::Ended { said: String::new() }),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The input of the program ends with the task that owns it.
        if let Some(beating) = &self.beating {
            beating.abort();
        }
    }
}

async fn beat(mut stdin: Stdin) {
    loop {
        tokio::time::sleep(BEAT).await;
        if stdin.write(b"b".to_vec()).await.is_err() {
            return;
        }
    }
}
