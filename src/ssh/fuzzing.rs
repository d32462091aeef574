//! What the fuzzer feeds texts to: see [`crate::fuzzing`].
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)] // A promise that is broken is to be found.

use russh::keys::Certificate;
use secrecy::SecretString;

use super::config;
use super::host_certificate::HostCertificate;
use super::host_key_algorithms;
use super::host_keys::Shown;
use super::key_text::GivenKey;
use super::known_hosts::{self, HostKey, HostKeyVerdict, KnownHostsFile};
use super::options::HostKeyRules;
use super::pinned_keys::PinnedKeys;
use super::revoked_keys::RevokedKeys;

/// A host certificate: number 7, `id-7`, by an authority that the seeds revoke in all ways there are.
const CERTIFICATE: &str = include_str!("../../fuzz/seeds/host-cert.pub");

/// What known_hosts may call a host.
const HOSTS: [(&str, u16); 4] = [("web1", 22), ("web1", 2222), ("WEB1.Example.com", 22), ("2001:db8::1", 22)];

fn shown() -> Shown {
    let certificate = Certificate::from_openssh(CERTIFICATE.trim()).unwrap();
    let certificate = HostCertificate::verified(&certificate).unwrap();
    // Its own key does not matter: that of the authority is a key as well.
    Shown { key: certificate.authority.clone(), certificate: Some(certificate) }
}

/// The ssh_config reader.
pub fn ssh_config(text: &[u8]) {
    config::read_text(text, "web1");
}

/// The reader of `ssh -G`. A NUL stands between what is printed for a host and what is printed for none.
pub fn ssh_dump(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let (dump, baseline) = text.split_once('\0').unwrap_or((&text, ""));
    config::read_dump(dump, baseline);
}

/// known_hosts: whatever stands in a file, a revocation in the next line counts; and where none does, so does a key.
pub fn known_hosts(content: &[u8]) {
    let key = shown().key;
    let file = KnownHostsFile::parse("known_hosts".into(), content);
    let lines = content.split(|byte| *byte == b'\n').count();
    assert!(file.bad_lines.iter().all(|bad| (1..=lines).contains(&bad.line)));
    let _ = PinnedKeys::new("known_hosts".into(), &String::from_utf8_lossy(content));
    let with = |line: String| {
        let content = [content, b"\n", line.as_bytes()].concat();
        [KnownHostsFile::parse("known_hosts".into(), &content)]
    };
    let (known, revoked) =
        (with(format!("* {}", key.encode())), with(format!("@revoked * {}", key.encode())));
    let files = [file];
    for (host, port) in HOSTS {
        let before = known_hosts::verdict(&files, host, port, &key);
        let wanted = host_key_algorithms::wanted(&files, host, port, &HostKeyRules::default());
        assert!(!wanted.plain.is_empty(), "a file forbids no kind of key");
        let after = known_hosts::verdict(&revoked, host, port, &key);
        assert!(matches!(after, HostKeyVerdict::Revoked { .. }), "{after:?}");
        // `*` is the host on every port.
        let after = known_hosts::verdict(&known, host, port, &key);
        match before {
            HostKeyVerdict::Revoked { .. } => assert_eq!(after, before),
            _ => assert_eq!(after, HostKeyVerdict::Known),
        }
    }
}

/// RevokedHostKeys.
pub fn revoked_keys(content: &[u8]) {
    let shown = shown();
    let bare = Shown { key: shown.key.clone(), certificate: None };
    let keys = RevokedKeys::of(content.to_vec());
    let (whole, part) = (keys.hold(&shown), keys.hold(&bare));
    // Whoever has no certificate is revoked by fewer lists.
    if let (Ok(false), Ok(bare)) = (&whole, &part) {
        assert!(!bare);
    }
}

/// The text of a private key. What is said about one that is of no use holds nothing of it.
pub fn key_text(text: &[u8]) {
    /// Longer than any word of a message.
    const LONG: usize = 24;
    let text = String::from_utf8_lossy(text);
    let Err(error) = GivenKey::read("SHIPIT_SSH_KEY", &SecretString::from(text.as_ref()), None) else {
        return;
    };
    let said = format!("{error} {error:?}");
    for word in said.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c)) {
        assert!(word.len() < LONG || !text.contains(word), "{said}");
    }
}

/// A key of a host in the two words that lists have it in.
pub fn host_key(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Some((kind, encoded)) = text.split_once(' ')
        && let Ok(key) = HostKey::parse(kind, encoded)
    {
        assert_eq!(key.encode().split_once(' ').map(|(kind, _)| kind), Some(kind));
        let _ = key.fingerprint();
    }
}
