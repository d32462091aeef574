//! From a login as it is written to one that can be used: what the command line says, then what ssh_config says, then our
//! defaults; and the same for every jump host on the way.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::config::{
    ConfigError, HostConfig, IdentityAgent, Keyword, Login, NotFollowed, ProxySetting, SshConfig,
    StrictHostKeyChecking,
};
use super::hop::{Hop, Proxy};
use super::host_key_algorithms;
use super::method::Method;
use super::options::{AgentKeys, ConnectOptions, HostKeyRules, UnknownHostKey};
use super::pinned_keys::PinnedKeys;
use super::prompt::Prompter;
use super::target::Target;
use super::transport_algorithms::{TransportAlgorithms, none_left};

/// Nobody goes through more jump hosts than this; who seems to goes in a circle of ever new names.
const LONGEST: usize = 16;

/// What the command line says. It holds for every host, jump hosts as well, and wins over ssh_config.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Private keys to offer first.
    pub identities: Vec<PathBuf>,
    /// How long to wait for an answer.
    pub connect_timeout: Option<Duration>,
    /// What to do about a host that no file knows.
    pub unknown_host_key: Option<UnknownHostKey>,
}

/// What a host is in a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// Where it ends. If keys are pinned, that of this host has to be among them.
    End,
    /// A jump host. If keys are pinned and this host has none among them, the user's files count.
    Jump,
}

/// A host and the way to it.
type Place = (Role, Vec<Login>);

/// The ways to all hosts of a run. Hosts behind the same jump host share the connection to it.
#[derive(Debug)]
pub struct Routes {
    config: SshConfig,
    defaults: ConnectOptions,
    flags: Flags,
    hops: Mutex<HashMap<Place, Arc<Hop>>>,
    /// What of the configuration is not followed, as far as the operator was told.
    told: Mutex<BTreeSet<NotFollowed>>,
}

impl Routes {
    /// `defaults` is what counts where neither flags nor configuration say anything.
    #[must_use]
    pub fn new(config: SshConfig, defaults: ConnectOptions, flags: Flags) -> Self {
        Self { config, defaults, flags, hops: Mutex::default(), told: Mutex::default() }
    }

    /// What the command line says.
    #[must_use]
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// The configuration behind it.
    #[must_use]
    pub fn config(&self) -> &SshConfig {
        &self.config
    }

    /// The way to a host.
    ///
    /// # Errors
    /// When the configuration can't be read, or asks for something that can't be done.
    pub async fn to(&self, login: &Login) -> Result<Arc<Hop>, ConfigError> {
        self.along(vec![login.clone()], Vec::new()).await
    }

    /// The way along these logins, each behind the one before. `pending` are those that this is a part of the way to.
    fn along(
        &self,
        chain: Vec<Login>,
        mut pending: Vec<Login>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Hop>, ConfigError>> + Send + '_>> {
        Box::pin(async move {
            let role = if pending.is_empty() { Role::End } else { Role::Jump };
            if let Some(hop) = self.known(role, &chain) {
                return Ok(hop);
            }
            let mut before = chain.clone();
            let Some(login) = before.pop() else {
                // Not reached: a chain has a host at its end.
                return Err(ConfigError::JumpLoop { chain: Vec::new() });
            };
            let circle = pending.contains(&login) || pending.len() > LONGEST;
            pending.push(login.clone());
            if circle {
                return Err(ConfigError::JumpLoop { chain: pending.iter().map(Login::to_string).collect() });
            }
            let found = self.config.find(&login).await?;
            let config = &found.config;
            self.tell(&login, &self.not_followed(config));
            let proxy = if before.is_empty() {
                match &config.proxy {
                    ProxySetting::Direct => Proxy::Direct,
                    ProxySetting::Command { written, command } => {
                        Proxy::Command { written: written.clone(), command: command.clone() }
                    }
                    ProxySetting::Jump(jumps) => Proxy::Jump(self.along(jumps.clone(), pending).await?),
                }
            } else {
                // As with `ssh -J`: who comes later in a list is reached by way of the others, and nothing else.
                Proxy::Jump(self.along(before, pending).await?)
            };
            let mut options = ConnectOptions { proxy, ..self.options(config)? };
            let (user, host) = (config.user.clone(), config.hostname.clone());
            let target = Target { user, host, port: config.port };
            let (name, port) = options.known_as(&target);
            let named = |pinned: &Arc<PinnedKeys>| pinned.speak_of(name, port);
            if role == Role::Jump && !options.known_hosts.pinned.as_ref().is_some_and(named) {
                options.known_hosts.pinned = None;
            }
            let hop = Arc::new(Hop::new(login, target, options, Arc::clone(&found)));
            let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Arc::clone(hops.entry((role, chain)).or_insert(hop)))
        })
    }

    /// What of a host's configuration is not followed.
    #[must_use]
    pub fn not_followed(&self, config: &HostConfig) -> Vec<NotFollowed> {
        let mut settings = config.not_followed();
        // A flag says what to do about keys; and a manifest, whose keys these are.
        let by_flag = self.flags.unknown_host_key.is_some() || self.defaults.known_hosts.pinned.is_some();
        settings.retain(|setting| *setting != NotFollowed::StrictHostKeyCheckingNo || !by_flag);
        settings
    }

    /// Each is told once, with the first host that has it: a line in the configuration is often for all.
    fn tell(&self, login: &Login, settings: &[NotFollowed]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for setting in settings {
            if told.insert(*setting) {
                let (name, consequence) = (setting.setting(), setting.consequence());
                tracing::warn!("ssh_config has {name} for {login}, which is not followed: {consequence}");
            }
        }
    }

    fn known(&self, role: Role, chain: &[Login]) -> Option<Arc<Hop>> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.get(&(role, chain.to_vec())).cloned()
    }

    fn options(&self, config: &HostConfig) -> Result<ConnectOptions, ConfigError> {
        let mut options = self.defaults.clone();
        options.transport = TransportAlgorithms::by(config)?;
        options.required_rsa_size = config.required_rsa_size;
        options.identities.clone_from(&self.flags.identities);
        if let Some(files) = &config.identity_files {
            options.identities.extend(files.iter().cloned());
            options.default_identities.clear();
        }
        options.certificates.clone_from(&config.certificate_files);
        options.pubkey_algorithms.clone_from(&config.pubkey_accepted_algorithms);
        options.methods = methods(config);
        options.password_prompts = config.number_of_password_prompts;
        if config.batch_mode {
            options.prompter = Prompter::nobody();
        }
        if config.identities_only {
            options.agent_keys = AgentKeys::Named;
        }
        match &config.identity_agent {
            IdentityAgent::Environment => {}
            IdentityAgent::None => options.agent = None,
            IdentityAgent::Socket(path) => options.agent = Some(path.clone()),
        }
        options.host_keys = HostKeyRules {
            algorithms: config.host_key_algorithms.clone(),
            ca_signature_algorithms: config.ca_signature_algorithms.clone(),
            revoked: config.revoked_host_keys.clone(),
            hash_names: config.hash_known_hosts,
        };
        if let Some(list) = &config.host_key_algorithms
            && host_key_algorithms::leaves_none(&options.host_keys)
        {
            let has = host_key_algorithms::all();
            return Err(none_left(config, Keyword::HostKeyAlgorithms, list, has));
        }
        if let Some(files) = &config.user_known_hosts_files {
            options.known_hosts.user.clone_from(files);
        }
        if let Some(files) = &config.global_known_hosts_files {
            options.known_hosts.global.clone_from(files);
        }
        options.host_key_alias.clone_from(&config.host_key_alias);
        options.unknown_host_key = match (self.flags.unknown_host_key, config.strict_host_key_checking) {
            (Some(flag), _) => flag,
            (None, StrictHostKeyChecking::Yes) => UnknownHostKey::Refuse,
            (None, StrictHostKeyChecking::Ask) if config.batch_mode => UnknownHostKey::Refuse,
            (None, StrictHostKeyChecking::Ask) => options.unknown_host_key,
            // A changed key is refused even so.
            (None, StrictHostKeyChecking::AcceptNew | StrictHostKeyChecking::No) => UnknownHostKey::Accept,
        };
        options.address_family = config.address_family;
        options.bind_address.clone_from(&config.bind_address);
        options.connection_attempts = config.connection_attempts;
        if let Some(timeout) = self.flags.connect_timeout.or(config.connect_timeout) {
            options.connect_timeout = timeout;
        }
        if !config.server_alive_interval.is_zero() {
            options.keepalive_interval = config.server_alive_interval;
            // ssh gives up at once then, when it would ask; russh never would.
            let count = config.server_alive_count_max.max(1);
            options.keepalive_max = usize::try_from(count).unwrap_or(usize::MAX);
        }
        Ok(options)
    }
}

/// The ways to log in that the configuration leaves, in its order. Those that are not supported are passed over.
fn methods(config: &HostConfig) -> Vec<Method> {
    let allowed = |method: &Method| match method {
        Method::PublicKey => config.pubkey_authentication,
        Method::KeyboardInteractive => config.kbd_interactive_authentication,
        Method::Password => config.password_authentication,
    };
    match &config.preferred_authentications {
        Some(names) => names.iter().filter_map(|name| Method::named(name)).filter(allowed).collect(),
        None => Method::ALL.into_iter().filter(allowed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::config::{Files, Reader};
    use super::super::prompt::Nobody;
    use super::*;

    /// What these lines of ssh_config come to.
    async fn options(lines: &str) -> ConnectOptions {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, format!("User ada\n{lines}\n")).unwrap();
        let config = SshConfig::new(Files::Only(path), Reader::Own, dir.path());
        let defaults = ConnectOptions::new(Path::new("/nonexistent"), Arc::new(Nobody));
        let routes = Routes::new(config, defaults, Flags::default());
        let login = Login { host: "web1".to_owned(), user: None, port: None };
        routes.to(&login).await.unwrap().options.clone()
    }

    #[tokio::test]
    async fn no_time_to_connect_is_no_wish_to_fail() {
        let usual = options("").await.connect_timeout;
        assert_eq!(options("ConnectTimeout 0").await.connect_timeout, usual);
        assert_eq!(options("ConnectTimeout 0s\nConnectTimeout 3").await.connect_timeout, usual);
        assert_eq!(options("ConnectTimeout 3").await.connect_timeout, Duration::from_secs(3));
    }

    /// For russh, no question at all means that none is ever too many.
    #[tokio::test]
    async fn a_dead_link_is_noticed_whatever_is_configured() {
        let options = options("ServerAliveInterval 5\nServerAliveCountMax 0").await;
        assert_eq!((options.keepalive_interval, options.keepalive_max), (Duration::from_secs(5), 1));
    }
}
