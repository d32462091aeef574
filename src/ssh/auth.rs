//! Logging in with a key (RFC 4252, section 7), once the host has proved to be the one that was meant.
//!
//! Keys are offered in this order: files the operator named, each signed for by the agent if that holds the key; the
//! agent's other keys; the default files. A passphrase is asked for only after the server has said that it
//! would take the key.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{AgentAuthError, MethodKind, SendError, Signer};

use super::agent::Agent;
use super::auth_failure::{Attempt, AttemptOutcome, AuthenticationFailure};
use super::candidates::{Candidate, Secret, candidates};
use super::ending::{Ending, printable};
use super::error::{LostCause, SshError};
use super::handshake::Client;
use super::options::ConnectOptions;
use super::target::Target;

/// Logs in.
pub(super) async fn authenticate(
    handle: &mut Handle<Client>,
    target: &Target,
    options: &ConnectOptions,
    ending: &Ending,
) -> Result<(), SshError> {
    let (agent, trouble) = Agent::connect(options).await;
    let candidates = candidates(options, agent.as_ref()).await;
    let failure = AuthenticationFailure {
        target: target.clone(),
        tried: Vec::new(),
        remaining: Vec::new(),
        disconnected: None,
        agent: trouble,
    };
    let mut login = Login { handle, options, ending, agent, rsa: None, failure };
    for candidate in candidates {
        tracing::debug!("{target}: trying {}", candidate.source);
        let offer = login.offer(&candidate).await?;
        let (outcome, stop) = match offer {
            Offer::Accepted => {
                tracing::debug!("{target}: logged in with {}", candidate.source);
                return Ok(());
            }
            Offer::Next(outcome) => (outcome, false),
            Offer::Stop(outcome) => (outcome, true),
        };
        tracing::debug!("{target}: {}: {outcome}", candidate.source);
        let Candidate { source, identity, .. } = candidate;
        login.failure.tried.push(Attempt { key: source, identity, outcome });
        if stop {
            return Err(login.give_up());
        }
    }
    if login.failure.remaining.is_empty() {
        // No key was answered to. Some servers want none; the others say what they want.
        let result =
            within(options.authentication_timeout, login.handle.authenticate_none(&target.user)).await?;
        if let Offer::Accepted = login.judge(result).await? {
            return Ok(());
        }
    }
    Err(login.give_up())
}

struct Login<'a> {
    handle: &'a mut Handle<Client>,
    options: &'a ConnectOptions,
    ending: &'a Ending,
    agent: Option<Agent>,
    /// What RSA keys sign with on this server, once it has been asked.
    rsa: Option<RsaSignatures>,
    failure: AuthenticationFailure,
}

/// What came of offering one key.
enum Offer {
    Accepted,
    Next(AttemptOutcome),
    /// No other key can do better.
    Stop(AttemptOutcome),
}

#[derive(Clone, Copy)]
enum RsaSignatures {
    With(HashAlg),
    /// The server takes only SHA-1, which can be forged.
    Unsafe,
}

impl Login<'_> {
    async fn offer(&mut self, candidate: &Candidate) -> Result<Offer, SshError> {
        match &candidate.secret {
            Secret::None(outcome) => Ok(Offer::Next(outcome.clone())),
            Secret::Ready(key) => self.sign(Arc::clone(key)).await,
            Secret::Agent(identity) => self.sign_by_agent(identity).await,
            Secret::Encrypted { path, public: Some(public) } => self.ask_then_unlock(path, public).await,
            Secret::Encrypted { path, public: None } => self.unlock(path).await,
        }
    }

    /// Offers the public key first: no use bothering the operator about a key that the server does not take.
    async fn ask_then_unlock(&mut self, path: &Path, public: &PublicKey) -> Result<Offer, SshError> {
        let Some(hash) = self.hash(&public.algorithm()).await? else { return Ok(sha1_only()) };
        let user = self.failure.target.user.clone();
        let mut unwilling = Unwilling;
        let probe = self.handle.authenticate_publickey_with(user, public.clone(), hash, &mut unwilling);
        match timed(self.options.authentication_timeout, probe).await? {
            Ok(result) => self.judge(result).await,
            Err(Declined::Wanted) => self.unlock(path).await,
            Err(Declined::Gone) => Err(self.ending.error().await),
        }
    }

    async fn unlock(&mut self, path: &Path) -> Result<Offer, SshError> {
        match self.options.key_ring.unlock(path, &self.options.prompter).await {
            Ok(key) => self.sign(key).await,
            Err(outcome) => Ok(Offer::Next(outcome)),
        }
    }

    async fn sign(&mut self, key: Arc<PrivateKey>) -> Result<Offer, SshError> {
        let Some(hash) = self.hash(&key.algorithm()).await? else { return Ok(sha1_only()) };
        let user = self.failure.target.user.clone();
        let attempt = self.handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash));
        let result = within(self.options.authentication_timeout, attempt).await?;
        self.judge(result).await
    }

    async fn sign_by_agent(&mut self, identity: &AgentIdentity) -> Result<Offer, SshError> {
        let Some(hash) = self.hash(&identity.public_key().algorithm()).await? else { return Ok(sha1_only()) };
        let user = self.failure.target.user.clone();
        let Some(agent) = self.agent.as_mut() else { return Ok(Offer::Next(AttemptOutcome::NotAnswered)) };
        let limit = self.options.authentication_timeout;
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let attempt =
                    self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent.client);
                timed(limit, attempt).await?
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let certificate = certificate.clone();
                let attempt =
                    self.handle.authenticate_certificate_with(user, certificate, hash, &mut agent.client);
                timed(limit, attempt).await?
            }
        };
        match result {
            Ok(result) => self.judge(result).await,
            Err(AgentAuthError::Key(error)) => Ok(Offer::Next(AttemptOutcome::CannotSign(error.to_string()))),
            Err(AgentAuthError::Send(_)) => Err(self.ending.error().await),
        }
    }

    /// What to hash with: the outer `None` when there is no safe choice.
    async fn hash(&mut self, algorithm: &Algorithm) -> Result<Option<Option<HashAlg>>, SshError> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(Some(None));
        }
        let rsa = match self.rsa {
            Some(rsa) => rsa,
            None => match self.handle.best_supported_rsa_hash().await {
                Ok(Some(Some(hash))) => RsaSignatures::With(hash),
                Ok(Some(None)) => RsaSignatures::Unsafe,
                // Servers that do not say what they take (RFC 8308) mostly do take this (RFC 8332).
                Ok(None) => RsaSignatures::With(HashAlg::Sha512),
                Err(_) => return Err(self.ending.error().await),
            },
        };
        self.rsa = Some(rsa);
        Ok(match rsa {
            RsaSignatures::With(hash) => Some(Some(hash)),
            RsaSignatures::Unsafe => None,
        })
    }

    async fn judge(&mut self, result: AuthResult) -> Result<Offer, SshError> {
        let (remaining, partial) = match result {
            AuthResult::Success => return Ok(Offer::Accepted),
            AuthResult::Failure { remaining_methods, partial_success } => {
                (remaining_methods, partial_success)
            }
        };
        if remaining.is_empty() {
            // This is also what russh says when the connection is gone.
            return match self.ending.cause().await {
                LostCause::Disconnected { message } => {
                    self.failure.disconnected = Some(message);
                    Ok(Offer::Stop(AttemptOutcome::NotAnswered))
                }
                source => Err(SshError::ConnectionLost { source }),
            };
        }
        self.failure.remaining = remaining.iter().map(|method| printable(method.into())).collect();
        let outcome = if partial { AttemptOutcome::Partial } else { AttemptOutcome::Refused };
        Ok(if remaining.contains(&MethodKind::PublicKey) {
            Offer::Next(outcome)
        } else {
            Offer::Stop(outcome)
        })
    }

    fn give_up(self) -> SshError {
        SshError::Authentication(Box::new(self.failure))
    }
}

fn sha1_only() -> Offer {
    Offer::Next(AttemptOutcome::CannotSign("the server takes RSA signatures with SHA-1 only".into()))
}

async fn timed<T>(limit: Duration, exchange: impl Future<Output = T>) -> Result<T, SshError> {
    tokio::time::timeout(limit, exchange).await.map_err(|_| SshError::AuthenticationTimeout { after: limit })
}

/// For exchanges whose only error is that the connection is gone: that reads as a refusal with nothing left to try.
async fn within(
    limit: Duration,
    exchange: impl Future<Output = Result<AuthResult, russh::Error>>,
) -> Result<AuthResult, SshError> {
    let gone = AuthResult::Failure { remaining_methods: russh::MethodSet::empty(), partial_success: false };
    Ok(timed(limit, exchange).await?.unwrap_or(gone))
}

/// A signer that never signs: being asked is all there is to know.
struct Unwilling;

enum Declined {
    /// The server would take the key.
    Wanted,
    Gone,
}

impl From<SendError> for Declined {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for Unwilling {
    type Error = Declined;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        Err(Declined::Wanted)
    }
}
