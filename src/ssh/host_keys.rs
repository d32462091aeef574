//! Whether to believe a host: reads the known_hosts files, applies what the options say about unknown keys, and writes
//! down keys that were accepted.
//!
//! A question is asked with no connection open: the handshake is given up, and made again once the key is on file. So
//! a person can take their time, and what is trusted in the end is what the file says.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::host_key_error::{HostKeyError, Refusal};
use super::known_hosts::{self, HostKey, HostKeyVerdict, KnownHostsFile};
use super::options::{ConnectOptions, KnownHostsFiles, UnknownHostKey};
use super::prompt::{Answer, HostKeyQuestion};
use super::target::Target;

/// What to do with a connection whose host has shown its key.
#[derive(Debug)]
pub(super) enum Decision {
    /// Go on.
    Trust,
    /// Give up this connection, and [`ask`] whether to make another.
    Ask(HostKey),
    /// Give up.
    Refuse(Box<HostKeyError>),
}

/// Reads all the files. They are small, and a connection needs them at once.
pub(super) fn load(files: &KnownHostsFiles) -> Result<Vec<KnownHostsFile>, Box<HostKeyError>> {
    let mut parsed = Vec::new();
    for path in files.user.iter().chain(&files.global) {
        match std::fs::read(path) {
            Ok(content) => {
                let file = KnownHostsFile::parse(path.clone(), &content);
                for bad in &file.bad_lines {
                    tracing::warn!("{}:{}: {}; line ignored", path.display(), bad.line, bad.reason);
                }
                parsed.push(file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Not to be passed over: it might say that the key is revoked.
            Err(source) => return Err(HostKeyError::Unreadable { file: path.clone(), source }.into()),
        }
    }
    Ok(parsed)
}

/// Judges the key that a host has shown.
pub(super) async fn decide(target: &Target, options: &ConnectOptions, key: HostKey) -> Decision {
    match judge(target, options, &key) {
        Ok(Standing::Known) => Decision::Trust,
        Ok(Standing::Unknown { authority }) => match options.unknown_host_key {
            UnknownHostKey::Ask => Decision::Ask(key),
            UnknownHostKey::Refuse => Decision::Refuse(unknown(target, &key, Refusal::NotAsked, authority)),
            UnknownHostKey::Accept => {
                // One at a time, so that two connections do not write the same line.
                let _turn = options.prompter.turn().await;
                match judge(target, options, &key) {
                    Ok(Standing::Known) => Decision::Trust,
                    Ok(Standing::Unknown { .. }) => match record(options, target, &key) {
                        Ok(()) => Decision::Trust,
                        Err(error) => Decision::Refuse(error),
                    },
                    Err(error) => Decision::Refuse(error),
                }
            }
        },
        Err(error) => Decision::Refuse(error),
    }
}

/// Asks the operator about an unknown key, unless another connection's question has settled it meanwhile. After `Ok`
/// the key is on file.
pub(super) async fn ask(
    target: &Target,
    options: &ConnectOptions,
    key: &HostKey,
) -> Result<(), Box<HostKeyError>> {
    let turn = options.prompter.turn().await;
    let authority = match judge(target, options, key)? {
        Standing::Known => return Ok(()),
        Standing::Unknown { authority } => authority,
    };
    let question = HostKeyQuestion {
        target: target.clone(),
        key_type: key.key_type.clone(),
        fingerprint: key.fingerprint(),
    };
    match turn.accept_host_key(question).await {
        Answer::Accepted => record(options, target, key),
        Answer::Refused => Err(unknown(target, key, Refusal::ByOperator, authority)),
    }
}

enum Standing {
    Known,
    Unknown { authority: bool },
}

fn judge(target: &Target, options: &ConnectOptions, key: &HostKey) -> Result<Standing, Box<HostKeyError>> {
    let files = load(&options.known_hosts)?;
    let (name, port) = options.known_as(target);
    match known_hosts::verdict(&files, name, port, key) {
        HostKeyVerdict::Known => Ok(Standing::Known),
        HostKeyVerdict::Unknown => {
            Ok(Standing::Unknown { authority: known_hosts::has_authority(&files, name, port) })
        }
        HostKeyVerdict::Changed { known } => Err(Box::new(HostKeyError::Changed {
            target: target.clone(),
            name: known_hosts::host_field(name, port),
            key_type: key.key_type.clone(),
            fingerprint: key.fingerprint(),
            known,
        })),
        HostKeyVerdict::Revoked { file, line } => Err(Box::new(HostKeyError::Revoked {
            target: target.clone(),
            fingerprint: key.fingerprint(),
            file,
            line,
        })),
    }
}

fn unknown(target: &Target, key: &HostKey, refusal: Refusal, authority: bool) -> Box<HostKeyError> {
    Box::new(HostKeyError::Unknown {
        target: target.clone(),
        key_type: key.key_type.clone(),
        fingerprint: key.fingerprint(),
        refusal,
        authority,
    })
}

/// Adds a key to the first of the user's files.
fn record(options: &ConnectOptions, target: &Target, key: &HostKey) -> Result<(), Box<HostKeyError>> {
    let Some(path) = options.known_hosts.user.first() else {
        let source = io::Error::new(io::ErrorKind::NotFound, "no known_hosts file is configured");
        return Err(HostKeyError::NotRecorded { file: Path::new("known_hosts").to_owned(), source }.into());
    };
    let failed = |source| Box::new(HostKeyError::NotRecorded { file: path.clone(), source });
    // The characters OpenSSH won't write either, since they have a meaning there, and white space.
    let special = |c: char| "@?*#[]|'\"\\,!".contains(c) || c.is_whitespace() || c.is_control();
    let (name, port) = options.known_as(target);
    if name.is_empty() || name.contains(special) {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the host's name cannot be written there",
        )));
    }
    let line = format!("{} {}\n", known_hosts::host_field(name, port), key.encode());
    append(path, &line).map_err(failed)?;
    tracing::info!("added the host key of {target} ({}) to {}", key.fingerprint(), path.display());
    Ok(())
}

/// In a single write, so that processes that add lines at the same time do not mix them up.
fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let text = if ends_with_newline(&mut file)? { line.to_owned() } else { format!("\n{line}") };
    file.write_all(text.as_bytes())
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::Arc;

    use secrecy::SecretString;

    use super::super::prompt::Prompt;
    use super::*;

    fn key() -> HostKey {
        let mut blob = vec![0, 0, 0, 11];
        blob.extend(b"ssh-ed25519");
        blob.extend([7; 36]);
        HostKey { key_type: "ssh-ed25519".into(), blob }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { user: "deploy".into(), host: host.into(), port }
    }

    fn files(path: PathBuf) -> KnownHostsFiles {
        KnownHostsFiles { user: vec![path], global: vec!["/does/not/exist".into()] }
    }

    struct Nobody;

    impl Prompt for Nobody {
        fn passphrase(&self, _: &Path) -> Option<SecretString> {
            None
        }

        fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
            Answer::Refused
        }
    }

    fn options(path: &Path) -> ConnectOptions {
        let mut options = ConnectOptions::new(Path::new("/nonexistent"), Arc::new(Nobody));
        options.known_hosts = files(path.to_owned());
        options
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn recording_makes_a_private_file_in_a_private_directory() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".ssh/known_hosts");
        record(&options(&path), &target("Web1", 2222), &key()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("[web1]:2222 {}\n", key().encode()));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let parsed = load(&files(path)).unwrap();
        assert_eq!(known_hosts::verdict(&parsed, "web1", 2222, &key()), HostKeyVerdict::Known);
    }

    #[test]
    fn recording_finishes_an_unfinished_line_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        std::fs::write(&path, "# no newline").unwrap();
        record(&options(&path), &target("web1", 22), &key()).unwrap();
        record(&options(&path), &target("web2", 22), &key()).unwrap();
        let expected = format!("# no newline\nweb1 {0}\nweb2 {0}\n", key().encode());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_name_that_means_something_else_there_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        for host in ["*", "a,b", "!a", "a b", "a\nb", "[a]", "#a", "@revoked", ""] {
            record(&options(&path), &target(host, 22), &key()).unwrap_err();
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_host_with_an_alias_is_known_by_that_and_by_no_port() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let mut options = options(&path);
        options.host_key_alias = Some("the-db".into());
        let target = target("10.0.0.1", 2222);
        record(&options, &target, &key()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("the-db {}\n", key().encode()));
        assert!(matches!(judge(&target, &options, &key()), Ok(Standing::Known)));
        options.host_key_alias = None;
        assert!(matches!(judge(&target, &options, &key()), Ok(Standing::Unknown { .. })));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(&files(dir.path().to_owned())).unwrap_err();
        assert!(matches!(*error, HostKeyError::Unreadable { .. }));
    }
}
