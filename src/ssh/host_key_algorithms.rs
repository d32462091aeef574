//! Which kinds of host key are asked for, and in which order. A server shows one key only, and it should be one that we
//! can compare.

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

use super::host_certificate::AUTHORITY_ALGORITHMS;
use super::known_hosts::{self, KnownHostsFile};
use super::options::HostKeyRules;
use super::pattern::matches_pattern;

/// What is asked for where nothing is configured, in the order of OpenSSH. Keys in hardware are no hosts' keys.
const DEFAULT: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// What can be asked for. Signatures with SHA-1 are asked for only when somebody configures them, for an sshd of before 2016.
const SUPPORTED: &[&str] = &["ssh-rsa-cert-v01@openssh.com", "ssh-rsa"];

/// What is asked for, in this order: all certificates come before all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) certificates: Vec<Algorithm>,
    pub(super) plain: Vec<Algorithm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    name: String,
    algorithm: Algorithm,
    certificate: bool,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        let (plain, certificate) = match name.strip_suffix("-cert-v01@openssh.com") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let algorithm = match plain {
            "ssh-ed25519" => Algorithm::Ed25519,
            "ecdsa-sha2-nistp256" => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
            "ecdsa-sha2-nistp384" => Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
            "ecdsa-sha2-nistp521" => Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
            "rsa-sha2-512" => Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            "rsa-sha2-256" => Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
            "ssh-rsa" => Algorithm::Rsa { hash: None },
            _ => return None,
        };
        Some(Self { name: name.to_owned(), algorithm, certificate })
    }

    /// The type of the key, which is the same whatever it signs with (RFC 8332, section 3).
    fn key_type(&self) -> &str {
        match &self.algorithm {
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        }
    }
}

/// As order_hostkeyalgs() of OpenSSH, for a host by that name and port.
pub(super) fn wanted(files: &[KnownHostsFile], name: &str, port: u16, rules: &HostKeyRules) -> Wanted {
    let allowed = allowed(rules);
    let known = known_hosts::known_types(files, name, port);
    let is_known = |kind: &Kind| known.contains(&kind.key_type());
    let authority = known_hosts::has_authority(files, name, port);
    let (first, last): (Vec<_>, Vec<_>) = match allowed.first() {
        // The best one is known: the order need not change.
        Some(best) if is_known(best) => (allowed, Vec::new()),
        _ => allowed.into_iter().partition(|kind| (kind.certificate && authority) || is_known(kind)),
    };
    // Certificates are of use where an authority is trusted to vouch for the host, and where something may be revoked.
    // Elsewhere the key in one would be judged by itself, and the same server shows it by itself as well.
    let of_use = authority || known_hosts::has_revoked(files, name, port) || !rules.revoked.is_empty();
    let keyless = first.iter().chain(&last).all(|kind| kind.certificate);
    let mut wanted = Wanted { certificates: Vec::new(), plain: Vec::new() };
    for kind in first.into_iter().chain(last) {
        match kind {
            // russh asks for all certificates first, and one of another kind must not come before a key that is known:
            // who has a certificate for a key can show the key as well.
            Kind { certificate: true, algorithm, .. } if wanted.plain.is_empty() && (of_use || keyless) => {
                wanted.certificates.push(algorithm);
            }
            Kind { certificate: true, .. } => {}
            Kind { certificate: false, algorithm, .. } => wanted.plain.push(algorithm),
        }
    }
    wanted
}

/// Whether a key of this type may be shown without a certificate.
pub(super) fn allows_plain(rules: &HostKeyRules, key_type: &str) -> bool {
    allowed(rules).iter().any(|kind| !kind.certificate && kind.key_type() == key_type)
}

fn allowed(rules: &HostKeyRules) -> Vec<Kind> {
    let names = assembled(rules.algorithms.as_deref(), DEFAULT, SUPPORTED);
    names.iter().filter_map(|name| Kind::named(name)).collect()
}

/// The signatures of authorities that count.
pub(super) fn authority_algorithms(rules: &HostKeyRules) -> Vec<String> {
    assembled(rules.ca_signature_algorithms.as_deref(), AUTHORITY_ALGORITHMS, &["ssh-rsa"])
}

/// A list as ssh_config(5) has it: names and patterns that replace the default list, or after `+` come behind it, after
/// `^` before it, or after `-` are taken out of it. `more` is what else there is.
pub(super) fn assembled(list: Option<&str>, default: &[&str], more: &[&str]) -> Vec<String> {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let Some(list) = list else { return owned(default.to_vec()) };
    let named = |patterns: &str| -> Vec<&str> {
        let all = || default.iter().chain(more).copied();
        patterns
            .split(',')
            .flat_map(|pattern| all().filter(|name| matches_pattern(pattern, name)).collect::<Vec<_>>())
            .collect()
    };
    let mut names = match list.split_at_checked(1) {
        Some(("+", rest)) => [default.to_vec(), named(rest)].concat(),
        Some(("^", rest)) => [named(rest), default.to_vec()].concat(),
        Some(("-", rest)) => {
            let out = named(rest);
            default.iter().copied().filter(|name| !out.contains(name)).collect()
        }
        _ => named(list),
    };
    let mut seen = Vec::new();
    names.retain(|name| {
        let new = !seen.contains(name);
        seen.push(*name);
        new
    });
    owned(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_an_algorithm() {
        for name in DEFAULT.iter().chain(SUPPORTED) {
            let kind = Kind::named(name).unwrap();
            let named = if kind.certificate {
                kind.algorithm.to_certificate_type()
            } else {
                kind.algorithm.to_string()
            };
            assert_eq!((named.as_str(), kind.name.as_str()), (*name, *name));
        }
    }

    #[test]
    fn lists_replace_add_and_take_away() {
        let default = &["a-1", "a-2", "b"];
        let list = |text| assembled(text, default, &["old"]).join(",");
        for (text, expected) in [
            (None, "a-1,a-2,b"),
            (Some("b,a-1"), "b,a-1"),
            (Some("a-*,old"), "a-1,a-2,old"),
            (Some("+old,a-1"), "a-1,a-2,b,old"),
            (Some("^b,old"), "b,old,a-1,a-2"),
            (Some("-a*"), "b"),
            (Some("nothing"), ""),
            (Some(""), ""),
        ] {
            assert_eq!(list(text), expected, "{text:?}");
        }
    }
}
