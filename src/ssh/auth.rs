//! Logging in (RFC 4252), once the host has proved to be the one that was meant.
//!
//! This module decides what to try next: the first way in the order of ssh_config that the server takes and that has
//! something left to show; as long as it takes, since a server may want several proofs. `offer` shows keys, `answers`
//! answers questions.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::{MethodKind, MethodSet};

use super::agent::Agent;
use super::answers::Questions;
use super::auth_failure::{Attempt, AttemptOutcome, AuthenticationFailure};
use super::candidates::{Candidate, candidates};
use super::ending::{Ending, printable};
use super::error::{LostCause, SshError};
use super::handshake::Client;
use super::method::Method;
use super::offer::RsaSignatures;
use super::options::ConnectOptions;
use super::passwords::Asker;
use super::target::Target;

/// How long a person may take who is in between: to touch a token, to confirm on another device. As long as sshd waits for
/// a login (LoginGraceTime).
pub(super) const A_PERSON: Duration = Duration::from_secs(120);

/// Logs in. `host_key` is what the host has shown.
pub(super) async fn authenticate(
    handle: &mut Handle<Client>,
    target: &Target,
    options: &ConnectOptions,
    ending: &Ending,
    host_key: &[u8],
) -> Result<(), SshError> {
    let (agent, trouble) = if options.methods.contains(&Method::PublicKey) {
        Agent::connect(options, handle.agent_session_binding()).await
    } else {
        (None, None)
    };
    let failure = AuthenticationFailure {
        target: target.clone(),
        tried: Vec::new(),
        remaining: Vec::new(),
        disconnected: None,
        agent: trouble,
    };
    let questions = Questions::default();
    let asker = Asker { login: target.clone(), host_key: host_key.to_owned() };
    let mut login = Login {
        handle,
        options,
        ending,
        asker,
        agent,
        rsa: None,
        taken: None,
        halfway: false,
        questions,
        failure,
    };
    login.run().await
}

/// One login under way.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<Client>,
    pub(super) options: &'a ConnectOptions,
    pub(super) ending: &'a Ending,
    /// Who gets passwords that were given before in this run.
    pub(super) asker: Asker,
    pub(super) agent: Option<Agent>,
    /// What RSA keys sign with on this server, once it has been asked.
    pub(super) rsa: Option<RsaSignatures>,
    /// The methods that the server takes now, once it has said so.
    taken: Option<MethodSet>,
    /// Whether the server took one proof and wants another.
    pub(super) halfway: bool,
    pub(super) questions: Questions,
    pub(super) failure: AuthenticationFailure,
}

/// What came of one attempt.
pub(super) enum Verdict {
    /// We are in.
    Accepted,
    /// Something else may do.
    Next(AttemptOutcome),
    /// The server hung up.
    Over(AttemptOutcome),
}

impl Login<'_> {
    async fn run(&mut self) -> Result<(), SshError> {
        let keys = if self.options.methods.contains(&Method::PublicKey) {
            candidates(self.options, self.agent.as_ref()).await
        } else {
            Vec::new()
        };
        let mut keys = keys.into_iter().peekable();
        let mut spent = HashSet::new();
        loop {
            let Some(method) = self.next_method(&spent) else {
                if self.taken.is_some() {
                    return Err(self.give_up());
                }
                // Some servers want nothing; the others say what they want.
                match self.ask_for_methods().await? {
                    Verdict::Accepted => return Ok(()),
                    Verdict::Next(_) => continue,
                    Verdict::Over(_) => return Err(self.give_up()),
                }
            };
            // A key is offered without asking whether the server takes keys: nearly all do, and it saves a round trip.
            if self.taken.is_none() && (method != Method::PublicKey || keys.peek().is_none()) {
                match self.ask_for_methods().await? {
                    Verdict::Accepted => return Ok(()),
                    Verdict::Next(_) => continue,
                    Verdict::Over(_) => return Err(self.give_up()),
                }
            }
            let tried = match method {
                Method::PublicKey => match keys.next() {
                    Some(candidate) => {
                        tracing::debug!("{}: trying {}", self.failure.target, candidate.source);
                        let verdict = self.offer(&candidate).await?;
                        let Candidate { source, identity, .. } = candidate;
                        Some((source, identity, verdict))
                    }
                    None => None,
                },
                Method::KeyboardInteractive => self.answer_questions().await?,
                Method::Password => self.give_password().await?,
            };
            let Some((credential, identity, verdict)) = tried else {
                spent.insert(method);
                continue;
            };
            let (outcome, over) = match verdict {
                Verdict::Accepted => {
                    tracing::debug!("{}: logged in with {credential}", self.failure.target);
                    return Ok(());
                }
                Verdict::Next(outcome) => (outcome, false),
                Verdict::Over(outcome) => (outcome, true),
            };
            tracing::debug!("{}: {credential}: {outcome}", self.failure.target);
            match outcome {
                AttemptOutcome::Partial => {
                    self.halfway = true;
                    // Another proof begins: what was asked may have to be asked again.
                    self.questions = Questions::default();
                    spent.retain(|spent| *spent == Method::PublicKey);
                }
                AttemptOutcome::NobodyToAsk | AttemptOutcome::NoAnswer => {
                    spent.insert(method);
                }
                _ => {}
            }
            self.failure.tried.push(Attempt { credential, identity, outcome });
            if over {
                return Err(self.give_up());
            }
        }
    }

    fn next_method(&self, spent: &HashSet<Method>) -> Option<Method> {
        let takes = |method: &Method| self.taken.as_ref().is_none_or(|taken| taken.contains(&method.kind()));
        self.options.methods.iter().copied().filter(takes).find(|method| !spent.contains(method))
    }

    /// Asks to be let in without proof, which brings the methods that the server takes.
    async fn ask_for_methods(&mut self) -> Result<Verdict, SshError> {
        let user = self.failure.target.user.clone();
        let result = within(self.options.authentication_timeout, self.handle.authenticate_none(user)).await?;
        self.judge(result).await
    }

    /// What the server makes of an attempt.
    pub(super) async fn judge(&mut self, result: AuthResult) -> Result<Verdict, SshError> {
        let (remaining, partial) = match result {
            AuthResult::Success => return Ok(Verdict::Accepted),
            AuthResult::Failure { remaining_methods, partial_success } => {
                (remaining_methods, partial_success)
            }
        };
        if remaining.is_empty() {
            // This is also what russh says when the connection is gone.
            return match self.ending.cause().await {
                LostCause::Disconnected { message } => {
                    self.failure.disconnected = Some(message);
                    Ok(Verdict::Over(AttemptOutcome::NotAnswered))
                }
                source => Err(SshError::ConnectionLost { source }),
            };
        }
        let name = |method: &MethodKind| printable(method.into());
        self.failure.remaining = remaining.iter().map(name).collect();
        self.taken = Some(remaining);
        Ok(Verdict::Next(if partial { AttemptOutcome::Partial } else { AttemptOutcome::Refused }))
    }

    fn give_up(&self) -> SshError {
        SshError::Authentication(Box::new(self.failure.clone()))
    }
}

pub(super) async fn timed<T>(limit: Duration, exchange: impl Future<Output = T>) -> Result<T, SshError> {
    tokio::time::timeout(limit, exchange).await.map_err(|_| SshError::AuthenticationTimeout { after: limit })
}

/// For exchanges whose only error is that the connection is gone: that reads as a refusal with nothing left to try.
pub(super) async fn within(
    limit: Duration,
    exchange: impl Future<Output = Result<AuthResult, russh::Error>>,
) -> Result<AuthResult, SshError> {
    let gone = AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false };
    Ok(timed(limit, exchange).await?.unwrap_or(gone))
}
