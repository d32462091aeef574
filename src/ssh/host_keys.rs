//! Whether to believe a host: reads the known_hosts files, applies what the options say about unknown keys, and writes
//! down keys that were accepted.
//!
//! A question is asked with no connection open: the handshake is given up, and made again once the key is accepted. So
//! a person can take their time, and what is trusted in the end is what the files say, or this very key.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::host_certificate::HostCertificate;
use super::host_key_algorithms;
use super::host_key_error::{HostKeyError, Refusal, Unproved};
use super::known_hosts::{self, BadLine, HostKey, HostKeyVerdict, KnownHostsFile, Weight};
use super::options::{ConnectOptions, KnownHostsFiles, UnknownHostKey};
use super::prompt::{Answer, HostKeyQuestion};
use super::revoked_keys::RevokedKeys;
use super::target::Target;

/// What a host has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) key: HostKey,
    /// With a good signature, by whomever.
    pub(super) certificate: Option<HostCertificate>,
}

/// What to do with a connection whose host has shown its key.
#[derive(Debug)]
pub(super) enum Decision {
    /// Go on.
    Trust,
    /// Give up this connection, and [`ask`] whether to make another.
    Ask(Box<Shown>),
    /// Give up.
    Refuse(Box<HostKeyError>),
}

/// Reads all the files. They are small, and a connection needs them at once. Where keys are pinned, the files name no host;
/// what they revoke is revoked all the same: the manifest may be older than that.
pub(super) fn load(files: &KnownHostsFiles) -> Result<Vec<KnownHostsFile>, Box<HostKeyError>> {
    let mut parsed: Vec<_> = files.pinned.iter().map(|pinned| pinned.file.clone()).collect();
    for path in files.user.iter().chain(&files.global) {
        match std::fs::read(path) {
            Ok(content) => {
                let file = KnownHostsFile::parse(path.clone(), &content);
                for BadLine { line, reason, weight } in &file.bad_lines {
                    let path = path.display();
                    match weight {
                        // Many a file has lines from before its owner's ssh was what it is.
                        Weight::Light => tracing::info!("{path}:{line}: {reason}; line ignored"),
                        Weight::Heavy => tracing::warn!("{path}:{line}: {reason}; line ignored"),
                    }
                }
                parsed.push(if files.pinned.is_some() { file.revocations() } else { file });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Not to be passed over: it might say that the key is revoked.
            Err(source) => return Err(HostKeyError::Unreadable { file: path.clone(), source }.into()),
        }
    }
    Ok(parsed)
}

/// Judges what a host has shown.
pub(super) async fn decide(target: &Target, options: &ConnectOptions, shown: Shown) -> Decision {
    let why = |error: &HostKeyError| tracing::warn!("{error}, and it is trusted all the same");
    match judge(target, options, &shown) {
        Ok(Standing::Known) => Decision::Trust,
        Ok(Standing::Unknown(unproved)) => match options.unknown_host_key {
            UnknownHostKey::TrustAny => {
                why(&unknown(target, options, &shown.key, Refusal::NotAsked, unproved));
                Decision::Trust
            }
            UnknownHostKey::Ask | UnknownHostKey::Accept if options.known_hosts.pinned.is_some() => {
                Decision::Refuse(unknown(target, options, &shown.key, Refusal::NotPinned, unproved))
            }
            UnknownHostKey::Ask if was_accepted(target, options, &shown.key).await => Decision::Trust,
            UnknownHostKey::Ask => Decision::Ask(shown.into()),
            UnknownHostKey::Refuse => {
                let pinned = options.known_hosts.pinned.is_some();
                let refusal = if pinned { Refusal::NotPinned } else { Refusal::NotAsked };
                Decision::Refuse(unknown(target, options, &shown.key, refusal, unproved))
            }
            UnknownHostKey::Accept => match accept(target, options, &shown).await {
                Ok(()) => Decision::Trust,
                Err(error) => Decision::Refuse(error),
            },
        },
        Err(error) => match (options.unknown_host_key, &*error) {
            (UnknownHostKey::TrustAny, HostKeyError::Changed { .. }) => {
                why(&error);
                Decision::Trust
            }
            _ => Decision::Refuse(error),
        },
    }
}

/// Asks the operator about an unknown key, unless another connection's question has settled it meanwhile. After `Ok`
/// the key is accepted.
pub(super) async fn ask(
    target: &Target,
    options: &ConnectOptions,
    shown: &Shown,
) -> Result<(), Box<HostKeyError>> {
    let turn = options.prompter.turn().await;
    let unproved = match judge(target, options, shown)? {
        Standing::Known => return Ok(()),
        Standing::Unknown(unproved) => unproved,
    };
    if was_accepted(target, options, &shown.key).await {
        return Ok(());
    }
    let question = HostKeyQuestion {
        target: target.clone(),
        key_type: shown.key.key_type.clone(),
        fingerprint: shown.key.fingerprint(),
    };
    match turn.accept_host_key(question).await {
        Answer::Accepted => accept(target, options, shown).await,
        Answer::Refused => Err(unknown(target, options, &shown.key, Refusal::ByOperator, unproved)),
    }
}

async fn was_accepted(target: &Target, options: &ConnectOptions, key: &HostKey) -> bool {
    let (name, port) = options.known_as(target);
    options.accepted_keys.accepting().await.has(name, port, key)
}

/// Takes a key that is not known for the host's from now on. One that can't be written down counts for this run, as ssh
/// goes on for this connection.
async fn accept(target: &Target, options: &ConnectOptions, shown: &Shown) -> Result<(), Box<HostKeyError>> {
    let (name, port) = options.known_as(target);
    // One at a time, so that two connections do not write the same line.
    let mut accepting = options.accepted_keys.accepting().await;
    match judge(target, options, shown)? {
        Standing::Known => return Ok(()),
        Standing::Unknown(_) if accepting.has(name, port, &shown.key) => return Ok(()),
        Standing::Unknown(_) => {}
    }
    let Some(path) = options.known_hosts.user.first() else {
        return Err(HostKeyError::NowhereToRecord { target: target.clone() }.into());
    };
    // Neither is to be overlooked: nobody has compared it with anything.
    let (print, file) = (shown.key.fingerprint(), path.display());
    match record(path, options, target, &shown.key) {
        Ok(()) => tracing::warn!("added the host key of {target} ({print}) to {file}"),
        Err(error) => tracing::warn!(
            "cannot add the host key of {target} ({print}) to {file}: {error}; it is believed in this run"
        ),
    }
    accepting.add(name, port, shown.key.clone());
    Ok(())
}

enum Standing {
    Known,
    Unknown(Unproved),
}

/// As check_host_key() of OpenSSH: first whether an authority vouches for the host; and if none does, whether its key
/// is known by itself.
fn judge(target: &Target, options: &ConnectOptions, shown: &Shown) -> Result<Standing, Box<HostKeyError>> {
    let files = load(&options.known_hosts)?;
    let (name, port) = options.known_as(target);
    let revoked = |key: &HostKey, file: &Path, line| {
        let (target, fingerprint) = (target.clone(), key.fingerprint());
        Err(Box::new(HostKeyError::Revoked { target, fingerprint, file: file.to_owned(), line }))
    };
    for file in &options.host_keys.revoked {
        let unusable = |source| Box::new(HostKeyError::Unreadable { file: file.clone(), source });
        if RevokedKeys::read(file).and_then(|keys| keys.hold(shown)).map_err(unusable)? {
            return revoked(&shown.key, file, None);
        }
    }
    let authority = shown.certificate.as_ref().map(|certificate| &certificate.authority);
    for key in authority.into_iter().chain([&shown.key]) {
        if let Some((file, line)) = known_hosts::revoked(&files, name, port, key) {
            return revoked(key, file, Some(line));
        }
    }
    let unproved = match &shown.certificate {
        None if known_hosts::has_authority(&files, name, port) => Unproved::NoCertificate,
        None => Unproved::NoAuthority,
        Some(certificate) if !known_hosts::vouches(&files, name, port, &certificate.authority) => {
            Unproved::OtherAuthority(certificate.authority.fingerprint())
        }
        Some(certificate) => {
            let allowed = host_key_algorithms::authority_algorithms(&options.host_keys);
            match certificate.flaw(&name.to_ascii_lowercase(), now(), &allowed) {
                None => {
                    let (id, serial) = (&certificate.key_id, certificate.serial);
                    tracing::debug!("{target} has the host certificate {id:?}, number {serial}");
                    return Ok(Standing::Known);
                }
                Some(flaw) => {
                    tracing::warn!("the host certificate of {target} does not count: {flaw}");
                    Unproved::Flaw(flaw)
                }
            }
        }
    };
    match known_hosts::verdict(&files, name, port, &shown.key) {
        HostKeyVerdict::Known | HostKeyVerdict::Unknown
            if !host_key_algorithms::allows_plain(&options.host_keys, &shown.key.key_type) =>
        {
            Err(unknown(target, options, &shown.key, Refusal::NotAsked, unproved))
        }
        HostKeyVerdict::Known => Ok(Standing::Known),
        HostKeyVerdict::Unknown => Ok(Standing::Unknown(unproved)),
        HostKeyVerdict::Changed { known } => Err(Box::new(HostKeyError::Changed {
            target: target.clone(),
            name: known_hosts::host_field(name, port),
            key_type: shown.key.key_type.clone(),
            fingerprint: shown.key.fingerprint(),
            known,
        })),
        HostKeyVerdict::Revoked { file, line } => revoked(&shown.key, &file, Some(line)),
    }
}

/// Seconds since 1970. A clock before that is 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn unknown(
    target: &Target,
    options: &ConnectOptions,
    key: &HostKey,
    refusal: Refusal,
    unproved: Unproved,
) -> Box<HostKeyError> {
    let (name, port) = options.known_as(target);
    Box::new(HostKeyError::Unknown {
        target: target.clone(),
        key_type: key.key_type.clone(),
        fingerprint: key.fingerprint(),
        known_hosts_line: format!("{} {}", known_hosts::host_field(name, port), key.encode()),
        refusal,
        unproved,
    })
}

/// Adds a key to a file.
fn record(path: &Path, options: &ConnectOptions, target: &Target, key: &HostKey) -> io::Result<()> {
    let (name, port) = options.known_as(target);
    if !may_stand_there(name) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host's name cannot be written there"));
    }
    let field = if options.host_keys.hash_names {
        let mut salt = [0; known_hosts::HASH_LENGTH];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let hashed = known_hosts::hashed_field(name, port, &salt);
        hashed.ok_or_else(|| io::Error::other("the name cannot be hashed"))?
    } else {
        known_hosts::host_field(name, port)
    };
    append(path, &format!("{field} {}\n", key.encode()))
}

/// Whether a name means itself in known_hosts, and nothing else. As an alias it may have a port.
fn may_stand_there(name: &str) -> bool {
    let special = |c: char| "@?*#[]|'\"\\,!".contains(c) || c.is_whitespace() || c.is_control();
    let host = match name.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:")) {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => name,
    };
    !host.is_empty() && !host.contains(special)
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

    use super::super::prompt::Nobody;
    use super::*;

    fn key() -> HostKey {
        let mut blob = vec![0, 0, 0, 11];
        blob.extend(b"ssh-ed25519");
        blob.extend(32u32.to_be_bytes());
        blob.extend([7; 32]);
        HostKey { key_type: "ssh-ed25519".into(), blob }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { user: "deploy".into(), host: host.into(), port }
    }

    fn files(path: PathBuf) -> KnownHostsFiles {
        let user = vec![path, "/does/not/exist/either".into()];
        KnownHostsFiles { user, global: vec!["/does/not/exist".into()], pinned: None }
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
        record(&path, &options(&path), &target("Web1", 2222), &key()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("[web1]:2222 {}\n", key().encode()));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let parsed = load(&files(path)).unwrap();
        assert_eq!(known_hosts::verdict(&parsed, "web1", 2222, &key()), HostKeyVerdict::Known);
    }

    #[test]
    fn hashed_names_are_found_by_ssh_keygen_and_tell_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let mut options = options(&path);
        options.host_keys.hash_names = true;
        record(&path, &options, &target("Web1", 2222), &key()).unwrap();
        record(&path, &options, &target("web1", 22), &key()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().all(|line| line.starts_with("|1|")), "{text}");
        assert_ne!(text.lines().next(), text.lines().nth(1));
        let parsed = load(&files(path.clone())).unwrap();
        for port in [22, 2222] {
            assert_eq!(known_hosts::verdict(&parsed, "web1", port, &key()), HostKeyVerdict::Known);
        }
        let finds = |name: &str| {
            let output =
                std::process::Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(&path).output();
            output.map_or(true, |output| output.status.success())
        };
        assert!(finds("web1") && finds("[web1]:2222"));
    }

    #[test]
    fn recording_finishes_an_unfinished_line_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        std::fs::write(&path, "# no newline").unwrap();
        record(&path, &options(&path), &target("web1", 22), &key()).unwrap();
        record(&path, &options(&path), &target("web2", 22), &key()).unwrap();
        let expected = format!("# no newline\nweb1 {0}\nweb2 {0}\n", key().encode());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_name_that_means_something_else_there_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        for host in ["*", "a,b", "!a", "a b", "a\nb", "[a]", "#a", "@revoked", "", "[]:22", "[*]:22", "[a]:x"]
        {
            record(&path, &options(&path), &target(host, 22), &key()).unwrap_err();
        }
        assert!(!path.exists());
    }

    #[test]
    fn an_alias_may_have_a_port() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let mut options = options(&path);
        options.host_key_alias = Some("[web1]:99".into());
        record(&path, &options, &target("10.0.0.1", 2222), &key()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("[web1]:99 {}\n", key().encode()));
        let shown = Shown { key: key(), certificate: None };
        assert!(matches!(judge(&target("10.0.0.1", 2222), &options, &shown), Ok(Standing::Known)));
    }

    #[test]
    fn a_host_with_an_alias_is_known_by_that_and_by_no_port() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let mut options = options(&path);
        options.host_key_alias = Some("the-db".into());
        let target = target("10.0.0.1", 2222);
        let shown = Shown { key: key(), certificate: None };
        record(&path, &options, &target, &key()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("the-db {}\n", key().encode()));
        assert!(matches!(judge(&target, &options, &shown), Ok(Standing::Known)));
        options.host_key_alias = None;
        assert!(matches!(judge(&target, &options, &shown), Ok(Standing::Unknown(_))));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(&files(dir.path().to_owned())).unwrap_err();
        assert!(matches!(*error, HostKeyError::Unreadable { .. }));
    }
}
