//! Which keys to offer, and in which order: a server counts every one, and hangs up after a few.

use std::path::Path;
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PrivateKey, PublicKey};

use super::Fingerprint;
use super::agent::Agent;
use super::auth_failure::{AttemptOutcome, Credential};
use super::certificates::{self, Validity};
use super::ending::printable;
use super::keyring::KeyFile;
use super::options::{AgentKeys, ConnectOptions};

/// A key or a certificate to offer.
pub(super) struct Candidate {
    pub(super) source: Credential,
    /// Algorithm and fingerprint, where the public part is known. A certificate has the fingerprint of its key.
    pub(super) identity: Option<(String, Fingerprint)>,
    /// What the server is shown, where it is known.
    pub(super) shown: Option<Shown>,
    pub(super) secret: Secret,
}

/// What the server is shown.
#[derive(Clone)]
pub(super) enum Shown {
    Key(PublicKey),
    Certificate(Box<Certificate>),
}

/// Who can sign with it.
#[derive(Clone)]
pub(super) enum Secret {
    Ready(Arc<PrivateKey>),
    /// A file that needs a passphrase.
    Encrypted(std::path::PathBuf),
    Agent(Box<AgentIdentity>),
    /// Nobody; it is listed for the account of the failure.
    None(AttemptOutcome),
}

/// All keys, without repeating one: what was given, then the files that were named, each by way of the agent if that holds
/// the key and each with its certificates first; the agent's other keys; the default files. Certificates that are out of
/// date come last: it is the server's clock that counts.
pub(super) async fn candidates(options: &ConnectOptions, agent: Option<&Agent>) -> Vec<Candidate> {
    let held = agent.map(|agent| agent.identities.as_slice()).unwrap_or_default();
    let mut list = List { candidates: Vec::new(), held, certificates: Vec::new() };
    for path in &options.certificates {
        list.certificate_file(path);
    }
    if let Some(given) = &options.given_key {
        let shown = Shown::Key(given.key.public_key().clone());
        list.add_with_certificates(Candidate {
            source: Credential::Given(given.name.clone()),
            identity: shown.describe(),
            shown: Some(shown),
            secret: Secret::Ready(Arc::clone(&given.key)),
        });
    }
    for path in &options.identities {
        let candidate = from_file(options, path).await;
        list.certificate_beside(path);
        list.add_by_way_of_the_agent(candidate.unwrap_or_else(|| Candidate {
            source: Credential::File(path.clone()),
            identity: None,
            shown: None,
            secret: Secret::None(AttemptOutcome::Unreadable("there is no such file".into())),
        }));
    }
    match options.agent_keys {
        AgentKeys::All => held.iter().map(from_agent).for_each(|held| list.add_with_certificates(held)),
        AgentKeys::Named => list.add_agent_keys_with_certificates(),
    }
    for path in &options.default_identities {
        if let Some(candidate) = from_file(options, path).await {
            list.certificate_beside(path);
            if matches!(candidate.secret, Secret::None(AttemptOutcome::OnlyPublic)) {
                list.add_twins(&candidate);
            } else {
                list.add_by_way_of_the_agent(candidate);
            }
        }
    }
    list.finish()
}

struct List<'a> {
    candidates: Vec<Candidate>,
    held: &'a [AgentIdentity],
    certificates: Vec<CertificateFile>,
}

/// Whether the agent can sign for a bare key.
#[derive(PartialEq, Eq)]
enum Twins {
    None,
    TheKey,
}

struct CertificateFile {
    source: Credential,
    certificate: Result<Box<Certificate>, String>,
    used: bool,
}

impl List<'_> {
    fn certificate_file(&mut self, path: &Path) {
        let read = certificates::read(path).unwrap_or_else(|| Err("there is no such file".to_owned()));
        self.add_certificate(path, read);
    }

    /// The one that need not be there.
    fn certificate_beside(&mut self, key: &Path) {
        let path = certificates::beside(key);
        if let Some(read) = certificates::read(&path) {
            self.add_certificate(&path, read);
        }
    }

    fn add_certificate(&mut self, path: &Path, read: Result<Certificate, String>) {
        let source = Credential::Certificate(path.to_owned());
        if !self.certificates.iter().any(|file| file.source == source) {
            let certificate = read.map(Box::new);
            self.certificates.push(CertificateFile { source, certificate, used: false });
        }
    }

    /// Adds a key that is named, or what the agent has of it.
    fn add_by_way_of_the_agent(&mut self, candidate: Candidate) {
        if self.add_twins(&candidate) == Twins::None {
            self.add_with_certificates(candidate);
        }
    }

    /// Adds what the agent has of a key.
    fn add_twins(&mut self, candidate: &Candidate) -> Twins {
        let twins = self.held.iter().map(from_agent).filter(|other| candidate.is_same_key(other));
        let (certificates, keys): (Vec<_>, Vec<_>) =
            twins.partition(|twin| matches!(twin.shown, Some(Shown::Certificate(_))));
        let found = if keys.is_empty() { Twins::None } else { Twins::TheKey };
        certificates.into_iter().for_each(|twin| self.add(twin));
        keys.into_iter().for_each(|twin| self.add_with_certificates(twin));
        found
    }

    /// `IdentitiesOnly` lets keys of the agent pass that a named certificate is for.
    fn add_agent_keys_with_certificates(&mut self) {
        for held in self.held {
            let candidate = from_agent(held);
            let mut certified = self.certified(&candidate);
            certified.drain(..).for_each(|certified| self.add(certified));
        }
    }

    fn add_with_certificates(&mut self, candidate: Candidate) {
        let mut certified = self.certified(&candidate);
        certified.drain(..).for_each(|certified| self.add(certified));
        self.add(candidate);
    }

    /// The certificates from files that this key can sign for.
    fn certified(&mut self, candidate: &Candidate) -> Vec<Candidate> {
        let Some(Shown::Key(key)) = &candidate.shown else { return Vec::new() };
        if matches!(candidate.secret, Secret::None(_)) {
            return Vec::new();
        }
        let mut certified = Vec::new();
        for file in &mut self.certificates {
            let Ok(certificate) = &file.certificate else { continue };
            if certificate.public_key() == key.key_data() {
                file.used = true;
                let shown = Shown::Certificate(certificate.clone());
                certified.push(Candidate {
                    source: file.source.clone(),
                    identity: shown.describe(),
                    shown: Some(shown),
                    secret: candidate.secret.clone(),
                });
            }
        }
        certified
    }

    fn add(&mut self, candidate: Candidate) {
        if !self.candidates.iter().any(|other| other.is_same(&candidate)) {
            self.candidates.push(candidate);
        }
    }

    fn finish(mut self) -> Vec<Candidate> {
        for file in self.certificates.iter().filter(|file| !file.used) {
            let shown = file.certificate.as_ref().ok().map(|it| Shown::Certificate(it.clone()));
            let why = match &file.certificate {
                Ok(_) => "there is no private key for it".to_owned(),
                Err(why) => why.clone(),
            };
            self.candidates.push(Candidate {
                source: file.source.clone(),
                identity: shown.as_ref().and_then(Shown::describe),
                shown,
                secret: Secret::None(AttemptOutcome::Unreadable(why)),
            });
        }
        // Stable: nothing else changes its place.
        self.candidates.sort_by_key(Candidate::is_out_of_date);
        self.candidates
    }
}

impl Candidate {
    fn is_same_key(&self, other: &Self) -> bool {
        let fingerprint = |candidate: &Self| candidate.identity.as_ref().map(|(_, print)| print.clone());
        fingerprint(self).is_some_and(|print| fingerprint(other) == Some(print))
    }

    /// A certificate and the bare key it is for are two ways in.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.shown, &other.shown) {
            (Some(Shown::Certificate(one)), Some(Shown::Certificate(two))) => one == two,
            (Some(Shown::Key(_)), Some(Shown::Key(_))) => self.is_same_key(other),
            (None, None) => self.source == other.source,
            _ => false,
        }
    }

    fn is_out_of_date(&self) -> bool {
        match &self.shown {
            Some(Shown::Certificate(certificate)) => certificates::validity(certificate) != Validity::Now,
            Some(Shown::Key(_)) | None => false,
        }
    }
}

impl Shown {
    fn describe(&self) -> Option<(String, Fingerprint)> {
        let (algorithm, key) = match self {
            Self::Key(key) => (key.algorithm().to_string(), key.key_data()),
            Self::Certificate(certificate) => {
                (certificate.algorithm().to_certificate_type(), certificate.public_key())
            }
        };
        Some((algorithm, Fingerprint::of(&blob(key)?)))
    }
}

fn blob(key: &KeyData) -> Option<Vec<u8>> {
    PublicKey::from(key.clone()).to_bytes().ok()
}

fn from_agent(identity: &AgentIdentity) -> Candidate {
    let (comment, shown) = match identity {
        AgentIdentity::PublicKey { key, comment } => (comment, Shown::Key(key.clone())),
        AgentIdentity::Certificate { certificate, comment } => {
            (comment, Shown::Certificate(Box::new(certificate.clone())))
        }
    };
    Candidate {
        source: Credential::Agent { comment: printable(comment) },
        identity: shown.describe(),
        shown: Some(shown),
        secret: Secret::Agent(Box::new(identity.clone())),
    }
}

async fn from_file(options: &ConnectOptions, path: &Path) -> Option<Candidate> {
    let (public, secret) = match options.key_ring.inspect(path).await {
        KeyFile::Missing => return None,
        KeyFile::Ready(key) => (Some(key.public_key().clone()), Secret::Ready(key)),
        KeyFile::Encrypted(public) => (public, Secret::Encrypted(path.to_owned())),
        KeyFile::Useless(outcome, public) => (public, Secret::None(outcome)),
    };
    let shown = public.map(Shown::Key);
    let identity = shown.as_ref().and_then(Shown::describe);
    Some(Candidate { source: Credential::File(path.to_owned()), identity, shown, secret })
}
