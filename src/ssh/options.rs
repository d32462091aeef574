//! How to connect: which keys and known_hosts files, whom to ask, how long to wait.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::keyring::KeyRing;
use super::prompt::{Prompt, Prompter};

/// What a connection needs besides its target. Clones share their key ring and their turn to ask, so
/// all connections of one run should use clones of one value.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Private keys the operator named. They are offered first, each through the agent if that holds it.
    pub identities: Vec<PathBuf>,
    /// Private keys to try last, if they exist.
    pub default_identities: Vec<PathBuf>,
    /// The socket of ssh-agent (`SSH_AUTH_SOCK`). One that nobody listens on is no error by itself.
    pub agent: Option<PathBuf>,
    /// Where keys of hosts are looked up and added.
    pub known_hosts: KnownHostsFiles,
    /// What to do about a host that no file knows.
    pub unknown_host_key: UnknownHostKey,
    /// The one address of the host to go to, whatever its name leads to.
    pub address: Option<SocketAddr>,
    /// How long to wait for TCP and for the SSH handshake, each, for every address of a host.
    pub connect_timeout: Duration,
    /// How long to wait for the answer to one authentication request. The time that an operator takes to
    /// answer a question does not count.
    pub authentication_timeout: Duration,
    /// After this long without a word the host is asked whether it is still there.
    pub keepalive_interval: Duration,
    /// This many such questions without an answer end the connection.
    pub keepalive_max: usize,
    /// Whom to ask.
    pub prompter: Prompter,
    /// Private keys already decrypted in this run.
    pub key_ring: KeyRing,
}

impl ConnectOptions {
    /// The usual ones for someone whose home directory is `home`: the files OpenSSH uses, unknown hosts
    /// refused, no agent.
    pub fn new(home: &Path, prompt: Arc<dyn Prompt>) -> Self {
        let ssh = home.join(".ssh");
        Self {
            identities: Vec::new(),
            // The order of ssh(1), less the kinds that need a hardware token: those work through an agent.
            default_identities: ["id_rsa", "id_ecdsa", "id_ed25519"].map(|name| ssh.join(name)).into(),
            agent: None,
            known_hosts: KnownHostsFiles {
                user: vec![ssh.join("known_hosts"), ssh.join("known_hosts2")],
                global: vec!["/etc/ssh/ssh_known_hosts".into(), "/etc/ssh/ssh_known_hosts2".into()],
            },
            unknown_host_key: UnknownHostKey::Refuse,
            address: None,
            connect_timeout: Duration::from_secs(10),
            authentication_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(15),
            keepalive_max: 3,
            prompter: Prompter::new(prompt),
            key_ring: KeyRing::default(),
        }
    }
}

/// The known_hosts files, as `UserKnownHostsFile` and `GlobalKnownHostsFile` of ssh_config(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHostsFiles {
    /// The operator's own. The first one is where new keys go. Missing ones are fine.
    pub user: Vec<PathBuf>,
    /// The machine's. Never written.
    pub global: Vec<PathBuf>,
}

/// What to do about a host whose key is on no file. A key that is not the one on file is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHostKey {
    /// Fail.
    Refuse,
    /// Ask the operator, and add the key to known_hosts if it is accepted.
    Ask,
    /// Add the key to known_hosts.
    Accept,
}
