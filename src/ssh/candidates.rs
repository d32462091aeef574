//! Which keys to offer, and in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::{PrivateKey, PublicKey};

use super::Fingerprint;
use super::agent::Agent;
use super::auth_failure::{AttemptOutcome, KeySource};
use super::ending::printable;
use super::keyring::KeyFile;
use super::options::{AgentKeys, ConnectOptions};

/// A key to offer.
pub(super) struct Candidate {
    pub(super) source: KeySource,
    /// Algorithm and fingerprint, where the public part is known.
    pub(super) identity: Option<(String, Fingerprint)>,
    pub(super) secret: Secret,
}

/// Who can sign with it.
pub(super) enum Secret {
    Ready(Arc<PrivateKey>),
    Encrypted {
        path: PathBuf,
        public: Option<PublicKey>,
    },
    Agent(Box<AgentIdentity>),
    /// Nobody; it is listed for the account of the failure.
    None(AttemptOutcome),
}

/// All keys, without repeating one.
pub(super) async fn candidates(options: &ConnectOptions, agent: Option<&Agent>) -> Vec<Candidate> {
    let held = agent.map(|agent| agent.identities.as_slice()).unwrap_or_default();
    let mut list = List(Vec::new());
    for path in &options.identities {
        let candidate = from_file(options, path).await.unwrap_or_else(|| Candidate {
            source: KeySource::File(path.clone()),
            identity: None,
            secret: Secret::None(AttemptOutcome::Unreadable("there is no such file".into())),
        });
        let twins = held.iter().map(from_agent).filter(|other| candidate.is_same_key(other));
        let before = list.0.len();
        twins.for_each(|twin| list.add(twin));
        if list.0.len() == before {
            list.add(candidate);
        }
    }
    if options.agent_keys == AgentKeys::All {
        held.iter().map(from_agent).for_each(|candidate| list.add(candidate));
    }
    for path in &options.default_identities {
        if let Some(candidate) = from_file(options, path).await {
            let twins = held.iter().map(from_agent).filter(|other| candidate.is_same_key(other));
            twins.for_each(|twin| list.add(twin));
            list.add(candidate);
        }
    }
    list.0
}

struct List(Vec<Candidate>);

impl List {
    fn add(&mut self, candidate: Candidate) {
        if !self.0.iter().any(|other| other.is_same(&candidate)) {
            self.0.push(candidate);
        }
    }
}

impl Candidate {
    fn is_same_key(&self, other: &Self) -> bool {
        let fingerprint = |candidate: &Self| candidate.identity.as_ref().map(|(_, print)| print.clone());
        fingerprint(self).is_some_and(|print| fingerprint(other) == Some(print))
    }

    /// A certificate and the bare key it is for are two ways in.
    fn is_same(&self, other: &Self) -> bool {
        let certificate = |candidate: &Self| matches!(&candidate.secret, Secret::Agent(held) if matches!(**held, AgentIdentity::Certificate { .. }));
        (self.is_same_key(other) || (self.identity.is_none() && self.source == other.source))
            && certificate(self) == certificate(other)
    }
}

fn from_agent(identity: &AgentIdentity) -> Candidate {
    let (AgentIdentity::PublicKey { comment, .. } | AgentIdentity::Certificate { comment, .. }) = identity;
    Candidate {
        source: KeySource::Agent { comment: printable(comment) },
        identity: describe(&identity.public_key()),
        secret: Secret::Agent(Box::new(identity.clone())),
    }
}

async fn from_file(options: &ConnectOptions, path: &Path) -> Option<Candidate> {
    let (public, secret) = match options.key_ring.inspect(path).await {
        KeyFile::Missing => return None,
        KeyFile::Ready(key) => (Some(key.public_key().clone()), Secret::Ready(key)),
        KeyFile::Encrypted(public) => (public.clone(), Secret::Encrypted { path: path.to_owned(), public }),
        KeyFile::Useless(outcome, public) => (public, Secret::None(outcome)),
    };
    let identity = public.as_ref().and_then(describe);
    Some(Candidate { source: KeySource::File(path.to_owned()), identity, secret })
}

fn describe(key: &PublicKey) -> Option<(String, Fingerprint)> {
    let blob = key.to_bytes().ok()?;
    Some((key.algorithm().to_string(), Fingerprint::of(&blob)))
}
