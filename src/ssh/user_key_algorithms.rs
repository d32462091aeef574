//! Which algorithms the operator's keys may sign with: `PubkeyAcceptedAlgorithms`.
use russh::keys::{Algorithm, HashAlg};

use super::host_key_algorithms::assembled;

/// What is allowed where nothing is configured, in the order of OpenSSH.
const DEFAULT: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// The list, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed(Vec<String>);

/// What a server is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Key,
    Certificate,
}

impl Allowed {
    /// `list` has the form of ssh_config(5).
    pub(super) fn by(list: Option<&str>) -> Self {
        // Signatures with SHA-1 are not made, whatever the list has.
        Self(assembled(list, DEFAULT, &[]))
    }

    /// Whether a key that is no RSA key may be shown.
    pub(super) fn allow(&self, algorithm: &Algorithm, form: Form) -> bool {
        match algorithm {
            Algorithm::Rsa { .. } => self.rsa(HashAlg::Sha512, form).is_some(),
            other => self.has(&match form {
                Form::Key => other.to_string(),
                Form::Certificate => other.to_certificate_type(),
            }),
        }
    }

    /// What an RSA key signs with: the best that is allowed, where the server takes `best`.
    pub(super) fn rsa(&self, best: HashAlg, form: Form) -> Option<HashAlg> {
        let hashes: &[HashAlg] = match best {
            // A server that takes the one takes the other (RFC 8332).
            HashAlg::Sha512 => &[HashAlg::Sha512, HashAlg::Sha256],
            _ => &[HashAlg::Sha256],
        };
        hashes.iter().copied().find(|hash| {
            let name = if *hash == HashAlg::Sha512 { "rsa-sha2-512" } else { "rsa-sha2-256" };
            match form {
                Form::Key => self.has(name),
                Form::Certificate => self.has(&format!("{name}-cert-v01@openssh.com")),
            }
        })
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_leaves_what_it_names() {
        let rsa = Algorithm::Rsa { hash: None };
        let allowed = |list: Option<&str>, algorithm: &Algorithm| {
            let allowed = Allowed::by(list);
            (allowed.allow(algorithm, Form::Key), allowed.allow(algorithm, Form::Certificate))
        };
        for algorithm in [&Algorithm::Ed25519, &Algorithm::SkEd25519, &Algorithm::SkEcdsaSha2NistP256, &rsa] {
            assert_eq!(allowed(None, algorithm), (true, true), "{algorithm}");
            assert_eq!(allowed(Some("-*"), algorithm), (false, false), "{algorithm}");
        }
        assert_eq!(allowed(Some("ssh-ed25519"), &Algorithm::Ed25519), (true, false));
        assert_eq!(allowed(Some("*-cert-v01@openssh.com"), &Algorithm::Ed25519), (false, true));
        assert_eq!(allowed(Some("-ssh-ed25519*"), &Algorithm::SkEd25519), (true, true));
        assert_eq!(allowed(Some("rsa-sha2-256"), &rsa), (true, false));
        // SHA-1 is not brought back by this.
        assert_eq!(allowed(Some("ssh-rsa"), &rsa), (false, false));
        let hash = |list, best| Allowed::by(list).rsa(best, Form::Key);
        assert_eq!(hash(None, HashAlg::Sha512), Some(HashAlg::Sha512));
        assert_eq!(hash(Some("-rsa-sha2-512"), HashAlg::Sha512), Some(HashAlg::Sha256));
        assert_eq!(hash(Some("rsa-sha2-512"), HashAlg::Sha256), None);
    }
}
