//! How to connect: which keys and known_hosts files, whom to ask, how long to wait.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::accepted_keys::AcceptedKeys;
use super::config::AddressFamily;
use super::hop::Proxy;
use super::key_text::GivenKey;
use super::keyring::KeyRing;
use super::known_hosts::DEFAULT_PORT;
use super::method::Method;
use super::pace::Pace;
use super::passwords::Passwords;
use super::pinned_keys::PinnedKeys;
use super::prompt::{Prompt, Prompter};
use super::rsa_size;
use super::target::Target;
use super::transport_algorithms::TransportAlgorithms;

/// What a connection needs besides its target. Clones share their key ring, their pace and their turn to ask, so
/// all connections of one run should use clones of one value.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Private keys the operator named. They are offered first, each through the agent if that holds it.
    pub identities: Vec<PathBuf>,
    /// Private keys to try last, if they exist.
    pub default_identities: Vec<PathBuf>,
    /// A private key that was given as text. It is offered before all others.
    pub given_key: Option<GivenKey>,
    /// Certificates to offer before the keys they are for; those beside a key are found without.
    pub certificates: Vec<PathBuf>,
    /// `PubkeyAcceptedAlgorithms`: what keys may sign with, in the form of [`HostKeyRules::algorithms`].
    pub pubkey_algorithms: Option<String>,
    /// `RequiredRSASize`: RSA keys of fewer bits are neither offered nor believed.
    pub required_rsa_size: u32,
    /// The ways to log in that may be tried, in order.
    pub methods: Vec<Method>,
    /// How often the server's questions, and the password, are asked for at most.
    pub password_prompts: u32,
    /// The socket of ssh-agent (`SSH_AUTH_SOCK`). One that nobody listens on is no error by itself.
    pub agent: Option<PathBuf>,
    /// Which of the agent's keys are offered.
    pub agent_keys: AgentKeys,
    /// Where keys of hosts are looked up and added.
    pub known_hosts: KnownHostsFiles,
    /// The name that keys are looked up and recorded by, where it is not the host's own.
    pub host_key_alias: Option<String>,
    /// What to do about a host that no file knows.
    pub unknown_host_key: UnknownHostKey,
    /// What else ssh_config says about keys of hosts.
    pub host_keys: HostKeyRules,
    /// How the connection is encrypted.
    pub transport: TransportAlgorithms,
    /// The one address of the host to go to, whatever its name leads to.
    pub address: Option<SocketAddr>,
    /// How the bytes get to the host.
    pub proxy: Proxy,
    /// Which addresses of a host are of use.
    pub address_family: AddressFamily,
    /// The address of this machine to connect from.
    pub bind_address: Option<String>,
    /// How often to go through the addresses of a host before giving up.
    pub connection_attempts: u32,
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
    /// Keys of hosts that were accepted in this run.
    pub accepted_keys: AcceptedKeys,
    /// Private keys already decrypted in this run.
    pub key_ring: KeyRing,
    /// Passwords given in this run.
    pub passwords: Passwords,
    /// How many handshakes are under way.
    pub pace: Pace,
}

impl ConnectOptions {
    /// The usual ones for someone whose home directory is `home`: the files OpenSSH uses, unknown hosts
    /// refused, no agent.
    pub fn new(home: &Path, prompt: Arc<dyn Prompt>) -> Self {
        let ssh = home.join(".ssh");
        Self {
            identities: Vec::new(),
            // The order of ssh(1). Those for a hardware token work through an agent.
            default_identities: ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"]
                .map(|name| ssh.join(name))
                .into(),
            given_key: None,
            certificates: Vec::new(),
            pubkey_algorithms: None,
            required_rsa_size: rsa_size::DEFAULT,
            methods: Method::ALL.into(),
            password_prompts: 3,
            agent: None,
            agent_keys: AgentKeys::All,
            known_hosts: KnownHostsFiles {
                user: vec![ssh.join("known_hosts"), ssh.join("known_hosts2")],
                global: vec!["/etc/ssh/ssh_known_hosts".into(), "/etc/ssh/ssh_known_hosts2".into()],
                pinned: None,
            },
            host_key_alias: None,
            unknown_host_key: UnknownHostKey::Refuse,
            host_keys: HostKeyRules::default(),
            transport: TransportAlgorithms::default(),
            address: None,
            proxy: Proxy::Direct,
            address_family: AddressFamily::Any,
            bind_address: None,
            connection_attempts: 1,
            connect_timeout: Duration::from_secs(10),
            authentication_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(15),
            keepalive_max: 3,
            prompter: Prompter::new(prompt),
            accepted_keys: AcceptedKeys::default(),
            key_ring: KeyRing::default(),
            passwords: Passwords::default(),
            pace: Pace::default(),
        }
    }

    /// What known_hosts calls a host: a name and a port.
    pub(super) fn known_as<'a>(&'a self, target: &'a Target) -> (&'a str, u16) {
        match &self.host_key_alias {
            Some(alias) => (alias, DEFAULT_PORT),
            None => (&target.host, target.port),
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
    /// Keys that the manifest names. Of the files, only what they revoke counts for hosts that have them.
    pub pinned: Option<Arc<PinnedKeys>>,
}

/// Which keys of hosts are asked for and believed, and how new ones are written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeyRules {
    /// `HostKeyAlgorithms`: names, or a change to the default ones.
    pub algorithms: Option<String>,
    /// `CASignatureAlgorithms`, in the same form.
    pub ca_signature_algorithms: Option<String>,
    /// `RevokedHostKeys`: lists of keys, or KRLs as ssh-keygen makes them.
    pub revoked: Vec<PathBuf>,
    /// `HashKnownHosts`: names are hashed when keys are recorded.
    pub hash_names: bool,
}

/// Which keys of an agent are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKeys {
    /// All of them.
    All,
    /// Those that are also among the key files: `IdentitiesOnly`.
    Named,
}

/// What to do about a host whose key is on no file. A key that is not the one on file is refused, but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHostKey {
    /// Fail.
    Refuse,
    /// Ask the operator, and add the key to known_hosts if it is accepted.
    Ask,
    /// Add the key to known_hosts.
    Accept,
    /// Believe every host that shows a key which is not revoked, and write nothing down: whoever is in between reads and
    /// changes everything. The operator has to be warned.
    TrustAny,
}
