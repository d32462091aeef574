//! OpenSSH certificates of users: what a server is shown in place of a bare key.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use super::ending::printable;
use super::options::ConnectOptions;

/// More than any certificate, less than what hurts to read by mistake.
const LARGEST: u64 = 1 << 20;

/// Reads a certificate. `None` when there is no such file.
pub(super) fn read(path: &Path) -> Option<Result<Certificate, String>> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(error.to_string())),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Some(Err("it is not a certificate".to_owned()));
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(match Certificate::from_openssh(text.trim()) {
        Ok(certificate) if certificate.cert_type() == CertType::User => Ok(certificate),
        Ok(_) => Err("it is the certificate of a host, and not of a user".to_owned()),
        Err(error) => Err(format!("it is not a certificate ({error})")),
    })
}

/// A certificate file that is offered to servers, or would be if there were nothing wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    /// Where it is.
    pub path: PathBuf,
    /// The key that it lies beside; `None` for one that is named.
    pub beside: Option<PathBuf>,
    /// What speaks against it, as far as can be told here.
    pub doubt: Option<String>,
}

impl ConnectOptions {
    /// The certificate files for a user, those that are named first.
    #[must_use]
    pub fn certificate_files(&self, user: &str) -> Vec<CertificateFile> {
        let doubt = |read: Result<Certificate, String>| match read {
            Ok(certificate) => doubts(&certificate, user),
            Err(why) => Some(why),
        };
        let named = self.certificates.iter().map(|path| {
            let read = read(path).unwrap_or_else(|| Err("there is no such file".to_owned()));
            CertificateFile { path: path.clone(), beside: None, doubt: doubt(read) }
        });
        let keys = self.identities.iter().chain(&self.default_identities);
        let found = keys.filter_map(|key| {
            let path = beside(key);
            let doubt = doubt(read(&path)?);
            Some(CertificateFile { path, beside: Some(key.clone()), doubt })
        });
        let mut files: Vec<CertificateFile> = Vec::new();
        for file in named.chain(found) {
            if !files.iter().any(|other| other.path == file.path) {
                files.push(file);
            }
        }
        files
    }
}

/// Where OpenSSH looks for the certificate of a key.
pub(super) fn beside(key: &Path) -> PathBuf {
    let name = key.as_os_str().to_string_lossy();
    // `IdentityFile` may name the public half, where an agent has the other.
    match name.strip_suffix(".pub") {
        Some(stem) => format!("{stem}-cert.pub").into(),
        None => {
            let mut name = key.as_os_str().to_owned();
            name.push("-cert.pub");
            name.into()
        }
    }
}

/// When it can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    Now,
    NotYet { after: u64 },
    Expired { before: u64 },
}

pub(super) fn validity(certificate: &Certificate) -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    if now >= before {
        Validity::Expired { before }
    } else if now < after {
        Validity::NotYet { after }
    } else {
        Validity::Now
    }
}

/// What may have been the matter with a certificate that was refused.
pub(super) fn doubts(certificate: &Certificate, user: &str) -> Option<String> {
    match validity(certificate) {
        Validity::Expired { before } => {
            return Some(format!("the certificate expired at {}", moment(before)));
        }
        Validity::NotYet { after } => {
            return Some(format!("the certificate is not valid before {}", moment(after)));
        }
        Validity::Now => {}
    }
    let principals = certificate.valid_principals();
    if !principals.is_empty() && !principals.iter().any(|principal| principal == user) {
        let principals: Vec<String> = principals.iter().map(|principal| printable(principal)).collect();
        return Some(format!("the certificate is for {}, and not for {user}", principals.join(", ")));
    }
    None
}

fn moment(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{seconds} s"), |moment| moment.to_string())
}
