//! `shipit hosts`: what each host resolves to, and who says so. Connects to nothing, but with `--scan`.
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, Format, GlobalArgs, ManifestArgs};
use super::inspect::columns;
use super::prompt::Asker;
use super::{scan, selection};
use crate::manifest::Address;
use crate::report::{SCHEMA_VERSION, json_line, sanitise};
use crate::ssh::config::{Files, Keyword};
use crate::ssh::{AgentKeys, Hop, Proxy, Routes, UnknownHostKey};

/// Show what each host resolves to, and who says so: address, user, port, keys, jump hosts
#[derive(Debug, Args)]
pub(super) struct HostsArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Connect, show the keys of the hosts, and write them to the file that `known_hosts` of the manifest names
    #[arg(long)]
    pub scan: bool,
    /// With --scan: write them without asking
    #[arg(short, long, requires = "scan")]
    pub yes: bool,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn hosts(args: &HostsArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let hosts = selection::hosts(environment, &args.connect)?;
    if args.scan {
        return scan::scan(args, global, environment, &hosts).await;
    }
    let reach = selection::reach(&args.connect, global, environment, &hosts, &Asker::new(global)).await?;
    let routes = reach.routes();
    let source = Source {
        files: match args.connect.files() {
            Files::Usual => vec!["~/.ssh/config".to_owned(), "/etc/ssh/ssh_config".to_owned()],
            Files::Only(path) => vec![path.display().to_string()],
            Files::None => Vec::new(),
        },
        read_by: if routes.config().asks_ssh().await { "ssh" } else { "shipit" },
    };
    let mut text = String::new();
    if global.format == Format::Text {
        text.push_str(&source.text());
    }
    for host in &hosts {
        let hop = reach.way(&host.address).await?;
        let resolved = Resolved::new(&hop, routes, Written::InTheManifest);
        match global.format {
            Format::Text => text.push_str(&sanitise(&format!("\n{}\n{}", host.address, resolved.text(0)))),
            Format::Json => {
                let line = HostLine {
                    v: SCHEMA_VERSION,
                    host: &host.address,
                    ssh_config: &source,
                    resolved: &resolved,
                };
                text.push_str(&json_line(&line));
            }
        }
    }
    // `shipit hosts | head` is fine.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

/// One host, as `--format json` has it.
#[derive(Debug, Serialize)]
struct HostLine<'a> {
    v: u32,
    host: &'a Address,
    ssh_config: &'a Source,
    #[serde(flatten)]
    resolved: &'a Resolved,
}

/// Where the configuration is from.
#[derive(Debug, Serialize)]
struct Source {
    files: Vec<String>,
    read_by: &'static str,
}

impl Source {
    fn text(&self) -> String {
        match (self.files.as_slice(), self.read_by) {
            ([], _) => "ssh_config: none is read\n".to_owned(),
            (files, "ssh") => format!("ssh_config: {}, read by `ssh -G`\n", files.join(", ")),
            (files, _) => format!("ssh_config: {}, read by shipit: there is no ssh\n", files.join(", ")),
        }
    }
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum From {
    Flag,
    Environment,
    Manifest,
    SshConfig,
    Default,
}

impl From {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Manifest => "manifest",
            Self::SshConfig => "ssh_config",
            Self::Default => "default",
        }
    }
}

/// Something that was said.
#[derive(Debug, Serialize)]
struct Said<T> {
    value: T,
    from: From,
}

/// A key that was given as text, told without it.
#[derive(Debug, Serialize)]
struct GivenKeyName {
    variable: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
}

/// A certificate that comes before the key that it is for.
#[derive(Debug, Serialize)]
struct SaidCertificate {
    #[serde(flatten)]
    file: Said<PathBuf>,
    /// What speaks against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<String>,
}

/// Where a login stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    InTheManifest,
    /// In a ProxyJump.
    InTheConfiguration,
}

/// What a login comes to.
#[derive(Debug, Serialize)]
struct Resolved {
    address: Said<String>,
    port: Said<u16>,
    user: Said<String>,
    via: Vec<Self>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_command: Option<Said<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_key: Option<Said<GivenKeyName>>,
    identities: Vec<Said<PathBuf>>,
    certificates: Vec<SaidCertificate>,
    identities_only: Said<bool>,
    agent: Said<Option<PathBuf>>,
    known_hosts: Vec<Said<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_key_alias: Option<Said<String>>,
    unknown_host_key: Said<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_followed: Vec<String>,
    connect_timeout_s: Said<u64>,
}

impl Resolved {
    fn new(hop: &Hop, routes: &Routes, written: Written) -> Self {
        let flags = routes.flags();
        let options = &hop.options;
        let by_file = |keyword| {
            if hop.found.configured.contains(&keyword) { From::SshConfig } else { From::Default }
        };
        let by_login = |said: bool, keyword| match (said, written) {
            (true, Written::InTheManifest) => From::Manifest,
            (true, Written::InTheConfiguration) => From::SshConfig,
            (false, _) => by_file(keyword),
        };
        let by_flag = |said: bool, keyword| if said { From::Flag } else { by_file(keyword) };
        let host_name = match by_file(Keyword::HostName) {
            // The name is the address.
            From::Default => by_login(true, Keyword::HostName),
            configured => configured,
        };
        let identities: Vec<Said<PathBuf>> = [
            said(&flags.identities, From::Flag),
            said(options.identities.get(flags.identities.len()..).unwrap_or_default(), From::SshConfig),
            said(&options.default_identities, From::Default),
        ]
        .into_iter()
        .flatten()
        .collect();
        let certificates = options.certificate_files(&hop.target.user).into_iter().map(|certificate| {
            // It is there because of the key.
            let of_key = |key: &PathBuf| identities.iter().find(|said| said.value == *key);
            let from = certificate.beside.as_ref().and_then(of_key).map_or(From::SshConfig, |said| said.from);
            SaidCertificate { file: Said { value: certificate.path, from }, doubt: certificate.doubt }
        });
        Self {
            certificates: certificates.collect(),
            given_key: options.given_key.as_ref().map(|given| {
                let (algorithm, fingerprint) = given.identity().unzip();
                let fingerprint = fingerprint.map(|print| print.to_string());
                let value = GivenKeyName { variable: given.name.clone(), algorithm, fingerprint };
                Said { value, from: From::Environment }
            }),
            address: Said { value: hop.target.host.clone(), from: host_name },
            port: Said { value: hop.target.port, from: by_login(hop.login.port.is_some(), Keyword::Port) },
            user: Said {
                value: hop.target.user.clone(),
                from: by_login(hop.login.user.is_some(), Keyword::User),
            },
            via: match &options.proxy {
                Proxy::Jump(_) => {
                    let hops = hop.way();
                    hops.iter().map(|hop| Self::alone(hop, routes)).collect()
                }
                Proxy::Direct | Proxy::Command { .. } => Vec::new(),
            },
            proxy_command: match &options.proxy {
                Proxy::Command { command, .. } => {
                    Some(Said { value: command.clone(), from: From::SshConfig })
                }
                Proxy::Direct | Proxy::Jump(_) => None,
            },
            identities,
            identities_only: Said {
                value: options.agent_keys == AgentKeys::Named,
                from: by_file(Keyword::IdentitiesOnly),
            },
            agent: Said { value: options.agent.clone(), from: by_file(Keyword::IdentityAgent) },
            known_hosts: match &options.known_hosts.pinned {
                Some(pinned) => said(&[pinned.path().to_owned()], From::Manifest).collect(),
                None => [
                    said(&options.known_hosts.user, by_file(Keyword::UserKnownHostsFile)),
                    said(&options.known_hosts.global, by_file(Keyword::GlobalKnownHostsFile)),
                ]
                .into_iter()
                .flatten()
                .collect(),
            },
            host_key_alias: options
                .host_key_alias
                .clone()
                .map(|value| Said { value, from: by_file(Keyword::HostKeyAlias) }),
            unknown_host_key: Said {
                value: match options.unknown_host_key {
                    UnknownHostKey::Refuse => "refused",
                    UnknownHostKey::Ask => "asked about",
                    UnknownHostKey::Accept => "accepted",
                    UnknownHostKey::TrustAny => "trusted, whatever it is",
                },
                from: by_flag(flags.unknown_host_key.is_some(), Keyword::StrictHostKeyChecking),
            },
            not_followed: routes.not_followed(&hop.found.config).iter().map(ToString::to_string).collect(),
            connect_timeout_s: Said {
                value: options.connect_timeout.as_secs(),
                from: by_flag(flags.connect_timeout.is_some(), Keyword::ConnectTimeout),
            },
        }
    }

    /// A jump host, whose own way is told by those before it.
    fn alone(hop: &Hop, routes: &Routes) -> Self {
        Self { via: Vec::new(), ..Self::new(hop, routes, Written::InTheConfiguration) }
    }

    /// As a table, and below it one for each jump host.
    fn text(&self, depth: usize) -> String {
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String, from: From| {
            rows.push([name.to_owned(), value, from.as_str().to_owned()]);
        };
        row("address", self.address.value.clone(), self.address.from);
        row("port", self.port.value.to_string(), self.port.from);
        row("user", self.user.value.clone(), self.user.from);
        if let Some(command) = &self.proxy_command {
            row("ProxyCommand", command.value.clone(), command.from);
        }
        if let Some(Said { value: key, from }) = &self.given_key {
            let words = [Some(&key.variable), key.algorithm.as_ref(), key.fingerprint.as_ref()];
            row("keys", words.into_iter().flatten().cloned().collect::<Vec<_>>().join(" "), *from);
        }
        for (index, path) in self.identities.iter().enumerate() {
            let first = index == 0 && self.given_key.is_none();
            row(if first { "keys" } else { "" }, short(&path.value), path.from);
        }
        for (index, SaidCertificate { file, doubt }) in self.certificates.iter().enumerate() {
            let doubt = doubt.as_ref().map(|doubt| format!(" ({doubt})")).unwrap_or_default();
            row(if index == 0 { "certificates" } else { "" }, short(&file.value) + &doubt, file.from);
        }
        let agent = match (&self.agent.value, self.identities_only.value) {
            (None, _) => "none".to_owned(),
            (Some(socket), false) => short(socket),
            (Some(socket), true) => format!("{}, for these keys only", short(socket)),
        };
        row("agent", agent, self.agent.from);
        for (index, path) in self.known_hosts.iter().enumerate() {
            row(if index == 0 { "known hosts" } else { "" }, short(&path.value), path.from);
        }
        if let Some(alias) = &self.host_key_alias {
            row("known as", alias.value.clone(), alias.from);
        }
        row("unknown key", self.unknown_host_key.value.to_owned(), self.unknown_host_key.from);
        row("time-out", format!("{} s", self.connect_timeout_s.value), self.connect_timeout_s.from);
        let mut text = indented(&columns(&rows), depth);
        for setting in &self.not_followed {
            text.push_str(&indented(&format!("  not followed: {setting}\n"), depth));
        }
        for hop in &self.via {
            let name = format!("{}@{}", hop.user.value, hop.address.value);
            text.push_str(&indented(&format!("  by way of {name}\n"), depth));
            text.push_str(&hop.text(depth + 1));
        }
        text
    }
}

/// Each with where it is from.
fn said(paths: &[PathBuf], from: From) -> impl Iterator<Item = Said<PathBuf>> {
    paths.iter().map(move |path| Said { value: path.clone(), from })
}

/// As it would be written: below the home directory with `~`.
fn short(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

fn indented(text: &str, depth: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", "  ".repeat(depth))).collect()
}
