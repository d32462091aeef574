//! A certificate that a host shows in place of a bare key (PROTOCOL.certkeys of OpenSSH): who vouches for it, for which
//! names, and until when.
//!
//! russh sees to it that the host has the private key. That an authority has signed is checked here; that this
//! authority is one to trust is for known_hosts to say.

use std::fmt;

use russh::keys::{Certificate, PublicKey};

use super::known_hosts::HostKey;

/// Whose signatures count unless `CASignatureAlgorithms` says otherwise: no SHA-1.
pub(super) const AUTHORITY_ALGORITHMS: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// A certificate with a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostCertificate {
    /// Who has signed.
    pub(super) authority: HostKey,
    /// The number that the authority gave it.
    pub(super) serial: u64,
    /// The name that the authority gave it.
    pub(super) key_id: String,
    for_hosts: bool,
    principals: Vec<String>,
    /// Seconds since 1970.
    valid_after: u64,
    valid_before: u64,
    critical_options: Vec<String>,
    signed_by: String,
}

/// Why a certificate by a trusted authority does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateFlaw {
    /// It is for users.
    ForUsers,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It is for other names.
    OtherNames {
        /// What known_hosts calls the host.
        name: String,
        /// Whom it is for.
        principals: Vec<String>,
    },
    /// It holds options that must be understood, and are not: no such option is defined for hosts.
    CriticalOptions(Vec<String>),
    /// It was signed in a way that is not allowed.
    SignedBy(String),
}

impl fmt::Display for CertificateFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForUsers => f.write_str("it is for users, not for hosts"),
            Self::NotYetValid => f.write_str("it is not valid yet"),
            Self::Expired => f.write_str("it has expired"),
            Self::OtherNames { name, principals } => {
                write!(f, "it is not for {name} but for {}", principals.join(", "))
            }
            Self::CriticalOptions(options) => {
                write!(f, "it has critical options that are not known: {}", options.join(", "))
            }
            Self::SignedBy(algorithm) => write!(f, "it was signed with {algorithm}, which is not allowed"),
        }
    }
}

impl HostCertificate {
    /// `None` when the signature is not that of the key that is said to have signed.
    pub(super) fn verified(certificate: &Certificate) -> Option<Self> {
        certificate.verify_signature().ok()?;
        let authority = PublicKey::from(certificate.signature_key().clone());
        Some(Self {
            authority: HostKey::of(&authority)?,
            serial: certificate.serial(),
            key_id: certificate.key_id().to_owned(),
            for_hosts: certificate.cert_type().is_host(),
            principals: certificate.valid_principals().to_vec(),
            valid_after: certificate.valid_after(),
            valid_before: certificate.valid_before(),
            critical_options: certificate.critical_options().keys().cloned().collect(),
            signed_by: certificate.signature().algorithm().to_string(),
        })
    }

    /// As sshkey_cert_check_host() of OpenSSH: what speaks against it, for a host that known_hosts calls `name`, which is
    /// in lower case. A certificate without any principals is for all hosts.
    pub(super) fn flaw(&self, name: &str, now: u64, allowed: &[String]) -> Option<CertificateFlaw> {
        if !self.for_hosts {
            Some(CertificateFlaw::ForUsers)
        } else if now < self.valid_after {
            Some(CertificateFlaw::NotYetValid)
        } else if now >= self.valid_before {
            Some(CertificateFlaw::Expired)
        } else if !self.principals.is_empty() && !self.principals.iter().any(|principal| principal == name) {
            let (name, principals) = (name.to_owned(), self.principals.clone());
            Some(CertificateFlaw::OtherNames { name, principals })
        } else if !self.critical_options.is_empty() {
            Some(CertificateFlaw::CriticalOptions(self.critical_options.clone()))
        } else if !allowed.contains(&self.signed_by) {
            Some(CertificateFlaw::SignedBy(self.signed_by.clone()))
        } else {
            None
        }
    }
}
