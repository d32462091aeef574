//! What the configuration comes to for one host, as values.

use std::path::PathBuf;
use std::time::Duration;

use super::Login;
use super::error::ConfigError;
use super::expand::{Accepted, Machine, Tokens};
use super::jump;
use super::keyword::Keyword;
use super::settings::{Setting, Settings, Written};
use super::value;

/// How ssh would reach a host. What ssh_config(5) has a default for has it; `None` is for defaults that are the caller's.
/// `~`, tokens and variables are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The name that was asked about.
    pub alias: String,
    /// `HostName`: the name to connect to, or the address.
    pub hostname: String,
    /// `User`.
    pub user: String,
    /// `Port`.
    pub port: u16,

    /// `ProxyJump` or `ProxyCommand`.
    pub proxy: ProxySetting,
    /// `KexAlgorithms`, in the form of `pubkey_accepted_algorithms`.
    pub kex_algorithms: Option<String>,
    /// `Ciphers`, in the same form.
    pub ciphers: Option<String>,
    /// `MACs`, in the same form.
    pub macs: Option<String>,
    /// `RequiredRSASize`: how many bits RSA keys must have, of hosts and of users.
    pub required_rsa_size: u32,
    /// `AddressFamily`.
    pub address_family: AddressFamily,
    /// `BindAddress`: the address of this machine to connect from.
    pub bind_address: Option<String>,
    /// `ConnectTimeout`. With zero, ssh has no limit of its own: it is as if it were not set.
    pub connect_timeout: Option<Duration>,
    /// `ConnectionAttempts`.
    pub connection_attempts: u32,
    /// `ServerAliveInterval`; zero for never.
    pub server_alive_interval: Duration,
    /// `ServerAliveCountMax`.
    pub server_alive_count_max: u32,

    /// `IdentityFile`, in order; empty for `none`.
    pub identity_files: Option<Vec<PathBuf>>,
    /// `IdentitiesOnly`: keys of the agent that are not in these files are not offered.
    pub identities_only: bool,
    /// `CertificateFile`.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentityAgent`.
    pub identity_agent: IdentityAgent,
    /// `PreferredAuthentications`: methods in order.
    pub preferred_authentications: Option<Vec<String>>,
    /// `PubkeyAuthentication`.
    pub pubkey_authentication: bool,
    /// `PasswordAuthentication`.
    pub password_authentication: bool,
    /// `KbdInteractiveAuthentication`.
    pub kbd_interactive_authentication: bool,
    /// `NumberOfPasswordPrompts`.
    pub number_of_password_prompts: u32,
    /// `BatchMode`: nothing is asked.
    pub batch_mode: bool,
    /// `PubkeyAcceptedAlgorithms`: a list; or changes to the default one, with `+`, `-` or `^` before it.
    pub pubkey_accepted_algorithms: Option<String>,

    /// `UserKnownHostsFile`; empty for `none`.
    pub user_known_hosts_files: Option<Vec<PathBuf>>,
    /// `GlobalKnownHostsFile`; empty for `none`.
    pub global_known_hosts_files: Option<Vec<PathBuf>>,
    /// `KnownHostsCommand`, as it stands there.
    pub known_hosts_command: Option<String>,
    /// `StrictHostKeyChecking`.
    pub strict_host_key_checking: StrictHostKeyChecking,
    /// `HostKeyAlias`: the name to look up and to record keys by, without a port.
    pub host_key_alias: Option<String>,
    /// `HashKnownHosts`: names are hashed when keys are recorded.
    pub hash_known_hosts: bool,
    /// `RevokedHostKeys`.
    pub revoked_host_keys: Vec<PathBuf>,
    /// `UpdateHostKeys`.
    pub update_host_keys: UpdateHostKeys,
    /// `HostKeyAlgorithms`, in the form of `pubkey_accepted_algorithms`.
    pub host_key_algorithms: Option<String>,
    /// `CASignatureAlgorithms`, in the same form.
    pub ca_signature_algorithms: Option<String>,
    /// `CheckHostIP`.
    pub check_host_ip: bool,
    /// `VerifyHostKeyDNS` is not `no`.
    pub verify_host_key_dns: bool,
    /// `NoHostAuthenticationForLocalhost`.
    pub no_host_authentication_for_localhost: bool,
    /// `HostbasedAuthentication`.
    pub hostbased_authentication: bool,
    /// `PKCS11Provider` names a library.
    pub pkcs11_provider: bool,
}

/// How the bytes get to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxySetting {
    /// By a connection of our own.
    Direct,
    /// Through these hosts, the first one first.
    Jump(Vec<Login>),
    /// By a program's standard input and output.
    Command {
        /// As it stands there.
        written: String,
        /// With tokens replaced: text for a shell.
        command: String,
    },
}

/// `AddressFamily`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv6 and IPv4.
    #[default]
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// `IdentityAgent`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IdentityAgent {
    /// The one that `SSH_AUTH_SOCK` names.
    #[default]
    Environment,
    /// None.
    None,
    /// The one that listens on this socket.
    Socket(PathBuf),
}

/// `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StrictHostKeyChecking {
    /// Unknown keys are refused.
    Yes,
    /// Unknown keys are asked about.
    #[default]
    Ask,
    /// Unknown keys are recorded.
    AcceptNew,
    /// Everything goes. shipit takes it for `AcceptNew`.
    No,
}

/// `UpdateHostKeys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateHostKeys {
    /// Further keys of a known host are recorded.
    Yes,
    /// They are not.
    No,
    /// They are asked about.
    Ask,
}

impl HostConfig {
    /// Understands what is set for a host.
    pub(super) fn new(settings: &Settings, login: &Login, machine: &Machine) -> Result<Self, ConfigError> {
        let user = settings.word(Keyword::User).map(str::to_owned).or_else(|| machine.user.clone());
        let user = user.ok_or_else(|| ConfigError::NoUser { host: login.host.clone() })?;
        let alias = settings.word(Keyword::HostKeyAlias).map(str::to_ascii_lowercase);
        let jump = settings.word(Keyword::ProxyJump).filter(|jump| !jump.eq_ignore_ascii_case("none"));
        let mut understanding = Understanding {
            settings,
            login,
            tokens: Tokens {
                machine,
                host: &login.host,
                original: &login.host,
                port: settings.word(Keyword::Port).and_then(value::port).unwrap_or(22),
                user: &user,
                alias: alias.as_deref(),
                jump,
            },
        };
        let hostname = understanding.hostname()?;
        understanding.tokens.host = &hostname;
        understanding.config(alias.clone())
    }
}

struct Understanding<'a> {
    settings: &'a Settings,
    login: &'a Login,
    tokens: Tokens<'a>,
}

impl Understanding<'_> {
    fn config(&self, host_key_alias: Option<String>) -> Result<HostConfig, ConfigError> {
        self.refuse_what_cannot_be_done()?;
        let verify_host_key_dns =
            self.choice(Keyword::VerifyHostKeyDns, false, |word| Some(value::flag(word).unwrap_or(true)));
        Ok(HostConfig {
            alias: self.login.host.clone(),
            hostname: self.tokens.host.to_owned(),
            user: self.tokens.user.to_owned(),
            port: self.tokens.port,
            proxy: self.proxy()?,
            kex_algorithms: self.text(Keyword::KexAlgorithms),
            ciphers: self.text(Keyword::Ciphers),
            macs: self.text(Keyword::Macs),
            required_rsa_size: self.count(Keyword::RequiredRsaSize, 1024),
            address_family: self.choice(Keyword::AddressFamily, AddressFamily::Any, |word| match word {
                "inet" => Some(AddressFamily::Inet),
                "inet6" => Some(AddressFamily::Inet6),
                _ => None,
            }),
            bind_address: self.text(Keyword::BindAddress),
            connect_timeout: self
                .settings
                .word(Keyword::ConnectTimeout)
                .and_then(value::time)
                .filter(|limit| !limit.is_zero()),
            connection_attempts: self.count(Keyword::ConnectionAttempts, 1),
            server_alive_interval: self.alive_interval(),
            server_alive_count_max: self.count(Keyword::ServerAliveCountMax, 3),
            identity_files: self.paths(Keyword::IdentityFile)?,
            identities_only: self.flag(Keyword::IdentitiesOnly, false),
            certificate_files: self.paths(Keyword::CertificateFile)?.unwrap_or_default(),
            identity_agent: self.agent()?,
            preferred_authentications: self
                .text(Keyword::PreferredAuthentications)
                .map(|list| list.split(',').map(str::to_owned).collect()),
            pubkey_authentication: self
                .choice(Keyword::PubkeyAuthentication, true, |word| Some(value::flag(word) != Some(false))),
            password_authentication: self.flag(Keyword::PasswordAuthentication, true),
            kbd_interactive_authentication: self.flag(Keyword::KbdInteractiveAuthentication, true),
            number_of_password_prompts: self.count(Keyword::NumberOfPasswordPrompts, 3),
            batch_mode: self.flag(Keyword::BatchMode, false),
            pubkey_accepted_algorithms: self.text(Keyword::PubkeyAcceptedAlgorithms),
            update_host_keys: self.update_host_keys(verify_host_key_dns),
            user_known_hosts_files: self.known_hosts(Keyword::UserKnownHostsFile)?,
            global_known_hosts_files: self.known_hosts(Keyword::GlobalKnownHostsFile)?,
            known_hosts_command: self
                .text(Keyword::KnownHostsCommand)
                .filter(|command| !command.eq_ignore_ascii_case("none")),
            strict_host_key_checking: self.choice(
                Keyword::StrictHostKeyChecking,
                StrictHostKeyChecking::Ask,
                |word| match word {
                    "yes" | "true" => Some(StrictHostKeyChecking::Yes),
                    "no" | "false" | "off" => Some(StrictHostKeyChecking::No),
                    "accept-new" => Some(StrictHostKeyChecking::AcceptNew),
                    _ => None,
                },
            ),
            host_key_alias,
            hash_known_hosts: self.flag(Keyword::HashKnownHosts, false),
            revoked_host_keys: self.paths(Keyword::RevokedHostKeys)?.unwrap_or_default(),
            host_key_algorithms: self.text(Keyword::HostKeyAlgorithms),
            ca_signature_algorithms: self.text(Keyword::CaSignatureAlgorithms),
            check_host_ip: self.flag(Keyword::CheckHostIp, false),
            verify_host_key_dns,
            no_host_authentication_for_localhost: self.flag(Keyword::NoHostAuthenticationForLocalhost, false),
            hostbased_authentication: self.flag(Keyword::HostbasedAuthentication, false),
            pkcs11_provider: self
                .settings
                .word(Keyword::Pkcs11Provider)
                .is_some_and(|library| !library.eq_ignore_ascii_case("none")),
        })
    }

    /// What must not be passed over in silence, since ssh would then do something else.
    fn refuse_what_cannot_be_done(&self) -> Result<(), ConfigError> {
        let refuse = |keyword, instead| {
            Err(ConfigError::Unsupported { host: self.login.host.clone(), keyword, instead })
        };
        if self.text(Keyword::BindInterface).is_some() {
            return refuse(Keyword::BindInterface, "name the address to connect from: BindAddress");
        }
        if self.flag(Keyword::ProxyUseFdpass, false) && self.command().is_some() {
            return refuse(
                Keyword::ProxyUseFdpass,
                "have the ProxyCommand pass the data on by its standard input and output, as `nc %h %p` does",
            );
        }
        if self.command() == Some("-") {
            return refuse(
                Keyword::ProxyCommand,
                "there is nobody at the other end of shipit's standard input",
            );
        }
        Ok(())
    }

    fn bad(&self, keyword: Keyword, value: &str, why: String) -> ConfigError {
        ConfigError::Value { host: self.login.host.clone(), keyword, value: value.to_owned(), why }
    }

    /// In lower case, and addresses in their usual form.
    fn hostname(&self) -> Result<String, ConfigError> {
        let setting = self.settings.get(Keyword::HostName);
        let name = match setting.and_then(|setting| Some((setting.written, setting.words.first()?))) {
            Some((Written::Expanded, name)) => name.clone(),
            Some((Written::Raw, name)) => self
                .tokens
                .expand(name, Accepted::HostName)
                .map_err(|why| self.bad(Keyword::HostName, name, why))?,
            None => self.login.host.clone(),
        };
        let name = match name.parse::<std::net::Ipv6Addr>() {
            Ok(address) => address.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        if name.is_empty() || name.contains(char::is_control) {
            return Err(self.bad(Keyword::HostName, &name, "it is not a host name".to_owned()));
        }
        Ok(name)
    }

    fn proxy(&self) -> Result<ProxySetting, ConfigError> {
        if let Some(written) = self.tokens.jump {
            let keyword = Keyword::ProxyJump;
            let list = self
                .tokens
                .expand(written, Accepted::Proxy)
                .and_then(|list| jump::parse(&list))
                .map_err(|why| self.bad(keyword, written, why))?;
            return Ok(if list.is_empty() { ProxySetting::Direct } else { ProxySetting::Jump(list) });
        }
        let Some(written) = self.command() else { return Ok(ProxySetting::Direct) };
        self.refuse_shell_text(written)?;
        let command = self.tokens.expand(written, Accepted::Proxy);
        let command = command.map_err(|why| self.bad(Keyword::ProxyCommand, written, why))?;
        Ok(ProxySetting::Command { written: written.to_owned(), command })
    }

    fn command(&self) -> Option<&str> {
        if self.tokens.jump.is_some() {
            return None;
        }
        self.settings.word(Keyword::ProxyCommand).filter(|command| !command.eq_ignore_ascii_case("none"))
    }

    /// Names become part of a shell's text, and may come from a manifest: none may hold what a shell acts on.
    fn refuse_shell_text(&self, written: &str) -> Result<(), ConfigError> {
        let Tokens { host, original, user, alias, .. } = self.tokens;
        let hosts = [("%h", Some(host)), ("%n", Some(original)), ("%k", Some(alias.unwrap_or(original)))];
        let unsafe_host = hosts.iter().any(|(token, name)| {
            written.contains(token) && name.is_some_and(|name| !jump::is_safe_host(name))
        });
        if unsafe_host || (written.contains("%r") && !jump::is_safe_user(user)) {
            let why = "a name in it has characters that a shell would act on".to_owned();
            return Err(self.bad(Keyword::ProxyCommand, written, why));
        }
        Ok(())
    }

    fn agent(&self) -> Result<IdentityAgent, ConfigError> {
        let keyword = Keyword::IdentityAgent;
        let Some(setting) = self.settings.get(keyword) else { return Ok(IdentityAgent::Environment) };
        let Some(path) = self.path(keyword, setting)?.pop() else { return Ok(IdentityAgent::Environment) };
        let Some(text) = path.to_str() else { return Ok(IdentityAgent::Socket(path)) };
        Ok(match text.strip_prefix('$') {
            _ if text.eq_ignore_ascii_case("none") => IdentityAgent::None,
            _ if text == "SSH_AUTH_SOCK" => IdentityAgent::Environment,
            Some(name) => std::env::var_os(name)
                .map_or(IdentityAgent::None, |socket| IdentityAgent::Socket(socket.into())),
            None => IdentityAgent::Socket(path),
        })
    }

    fn alive_interval(&self) -> Duration {
        let interval = self.settings.word(Keyword::ServerAliveInterval).and_then(value::time);
        // What Debian's ssh has for programs. It is no wish of anybody's, and too long for us.
        let by_debian = |interval: &Duration| {
            self.flag(Keyword::BatchMode, false) && *interval == Duration::from_secs(300)
        };
        interval.filter(|interval| !by_debian(interval)).unwrap_or_default()
    }

    /// Unless it was configured, it depends on whose known hosts they are.
    fn update_host_keys(&self, dns: bool) -> UpdateHostKeys {
        let files = self.settings.get(Keyword::UserKnownHostsFile);
        let usual = files.is_none_or(|files| files.words == ["~/.ssh/known_hosts"]);
        let default = if usual && !dns { UpdateHostKeys::Yes } else { UpdateHostKeys::No };
        self.choice(Keyword::UpdateHostKeys, default, |word| match value::flag(word) {
            Some(true) => Some(UpdateHostKeys::Yes),
            Some(false) => Some(UpdateHostKeys::No),
            None => Some(UpdateHostKeys::Ask),
        })
    }

    /// `None` where the files are the usual ones.
    fn known_hosts(&self, keyword: Keyword) -> Result<Option<Vec<PathBuf>>, ConfigError> {
        let Some(setting) = self.settings.get(keyword) else { return Ok(None) };
        let files = match keyword {
            // ssh takes these as they stand.
            Keyword::GlobalKnownHostsFile => setting.words.iter().map(PathBuf::from).collect(),
            _ => self.path(keyword, setting)?,
        };
        let usual = match keyword {
            Keyword::GlobalKnownHostsFile => {
                ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from)
            }
            _ => ["known_hosts", "known_hosts2"].map(|name| self.tokens.machine.home.join(".ssh").join(name)),
        };
        Ok((files != usual).then(|| without_none(files)))
    }

    fn paths(&self, keyword: Keyword) -> Result<Option<Vec<PathBuf>>, ConfigError> {
        let Some(setting) = self.settings.get(keyword) else { return Ok(None) };
        Ok(Some(without_none(self.path(keyword, setting)?)))
    }

    fn path(&self, keyword: Keyword, setting: &Setting) -> Result<Vec<PathBuf>, ConfigError> {
        let expanded = |word: &String| match setting.written {
            Written::Expanded => Ok(PathBuf::from(word)),
            Written::Raw => self.tokens.path(word).map_err(|why| self.bad(keyword, word, why)),
        };
        setting.words.iter().map(expanded).collect()
    }

    fn text(&self, keyword: Keyword) -> Option<String> {
        self.settings.word(keyword).map(str::to_owned)
    }

    fn flag(&self, keyword: Keyword, default: bool) -> bool {
        self.choice(keyword, default, value::flag)
    }

    fn count(&self, keyword: Keyword, default: u32) -> u32 {
        self.settings.word(keyword).and_then(value::count).unwrap_or(default)
    }

    fn choice<T>(&self, keyword: Keyword, default: T, read: impl Fn(&str) -> Option<T>) -> T {
        let word = self.settings.word(keyword).map(str::to_ascii_lowercase);
        word.and_then(|word| read(&word)).unwrap_or(default)
    }
}

fn without_none(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_none = |file: &PathBuf| file.to_str().is_some_and(|text| text.eq_ignore_ascii_case("none"));
    files.into_iter().filter(|file| !is_none(file)).collect()
}
