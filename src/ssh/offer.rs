//! Logging in with a key or a certificate (RFC 4252, section 7). A passphrase is asked for only after the server has said
//! that it would take the key.

use std::path::Path;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::auth::{A_PERSON, Login, Verdict, timed};
use super::auth_failure::AttemptOutcome;
use super::candidates::{Candidate, Secret, Shown};
use super::certificates;
use super::error::SshError;
use super::signer::{KeyHolder, Unsigned};
use super::user_key_algorithms::{Allowed, Form};

/// What RSA keys sign with.
#[derive(Clone, Copy)]
pub(super) enum RsaSignatures {
    With(HashAlg),
    /// The server takes only SHA-1, which can be forged.
    Unsafe,
}

/// What came of showing a key.
enum Show {
    Verdict(Verdict),
    /// The server would take it.
    Wanted,
}

impl Login<'_> {
    /// Tries one key.
    pub(super) async fn offer(&mut self, candidate: &Candidate) -> Result<Verdict, SshError> {
        let verdict = match (&candidate.secret, &candidate.shown) {
            (Secret::None(outcome), _) => Verdict::Next(outcome.clone()),
            (Secret::Encrypted(path), Some(shown)) => match self.show(shown, Signing::Locked).await? {
                Show::Verdict(verdict) => verdict,
                Show::Wanted => self.unlock(path, Some(shown)).await?,
            },
            (Secret::Encrypted(path), None) => self.unlock(path, None).await?,
            (Secret::Ready(key), Some(shown)) => {
                let key = Arc::clone(key);
                self.show(shown, Signing::Here(key)).await?.verdict()
            }
            (Secret::Agent(identity), Some(shown)) => {
                self.show(shown, Signing::Agent(identity)).await?.verdict()
            }
            // Not reached: what can sign is known.
            (Secret::Ready(_) | Secret::Agent(_), None) => Verdict::Next(AttemptOutcome::NotAnswered),
        };
        Ok(match (verdict, &candidate.shown) {
            (Verdict::Next(AttemptOutcome::Refused), Some(Shown::Certificate(certificate))) => {
                let doubts = certificates::doubts(certificate, &self.failure.target.user);
                Verdict::Next(doubts.map_or(AttemptOutcome::Refused, AttemptOutcome::RefusedFor))
            }
            (verdict, _) => verdict,
        })
    }

    async fn unlock(&mut self, path: &Path, shown: Option<&Shown>) -> Result<Verdict, SshError> {
        match self.options.key_ring.unlock(path, &self.options.prompter).await {
            Ok(key) => {
                let bare = Shown::Key(key.public_key().clone());
                Ok(self.show(shown.unwrap_or(&bare), Signing::Here(key)).await?.verdict())
            }
            Err(outcome) => Ok(Verdict::Next(outcome)),
        }
    }

    async fn show(&mut self, shown: &Shown, signing: Signing<'_>) -> Result<Show, SshError> {
        let (algorithm, form) = match shown {
            Shown::Key(key) => (key.algorithm(), Form::Key),
            Shown::Certificate(certificate) => (certificate.algorithm(), Form::Certificate),
        };
        let allowed = Allowed::by(self.options.pubkey_algorithms.as_deref());
        if !allowed.allow(&algorithm, form) {
            return Ok(Show::Verdict(Verdict::Next(AttemptOutcome::NotAllowed)));
        }
        let hash = match self.hash(&algorithm).await? {
            Some(None) => None,
            Some(Some(best)) => match allowed.rsa(best, form) {
                Some(hash) => Some(hash),
                None => return Ok(Show::Verdict(Verdict::Next(AttemptOutcome::NotAllowed))),
            },
            None => {
                let why = "the server takes RSA signatures with SHA-1 only".into();
                return Ok(Show::Verdict(Verdict::Next(AttemptOutcome::CannotSign(why))));
            }
        };
        let user = self.failure.target.user.clone();
        let quick = self.options.authentication_timeout;
        let (mut holder, limit) = match signing {
            Signing::Here(key) => (KeyHolder::Here(key), quick),
            Signing::Locked => (KeyHolder::Locked, quick),
            Signing::Agent(identity) => match self.agent.as_mut() {
                // It may have to ask, or its token be touched.
                Some(agent) => (KeyHolder::Agent(&mut agent.client, identity), quick + A_PERSON),
                None => return Ok(Show::Verdict(Verdict::Next(AttemptOutcome::NotAnswered))),
            },
        };
        let result = match shown {
            Shown::Key(key) => {
                let key: PublicKey = key.clone();
                timed(limit, self.handle.authenticate_publickey_with(user, key, hash, &mut holder)).await?
            }
            Shown::Certificate(certificate) => {
                let certificate = (**certificate).clone();
                let attempt = self.handle.authenticate_certificate_with(user, certificate, hash, &mut holder);
                timed(limit, attempt).await?
            }
        };
        match result {
            Ok(result) => Ok(Show::Verdict(self.judge(result).await?)),
            Err(Unsigned::Wanted) => Ok(Show::Wanted),
            Err(Unsigned::Impossible(why)) => {
                Ok(Show::Verdict(Verdict::Next(AttemptOutcome::CannotSign(why))))
            }
            Err(Unsigned::Gone) => Err(self.ending.error().await),
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
}

/// Who is to sign.
enum Signing<'a> {
    Here(Arc<russh::keys::PrivateKey>),
    Agent(&'a russh::keys::agent::AgentIdentity),
    Locked,
}

impl Show {
    fn verdict(self) -> Verdict {
        match self {
            Self::Verdict(verdict) => verdict,
            // Not reached: only a locked key is wanted in vain.
            Self::Wanted => Verdict::Next(AttemptOutcome::NotAnswered),
        }
    }
}
