//! From the command line to what a run needs: the manifest, the hosts, their releases, and how to reach them.
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use globset::Glob;

use super::error::CliError;
use super::given_key;
use super::global::{ConnectArgs, Format, GlobalArgs};
use super::pinned;
use super::problem::ProblemReport;
use super::prompt::Asker;
use super::provenance;
use super::say::say;
use super::secret_values::Secrets;
use crate::manifest::problem::any_error;
use crate::manifest::template::{self, Needs, TemplateFacts, TemplateInputs, TemplateRevision};
use crate::manifest::{self, Environment, Host, Manifest, Problem, Tag};
use crate::release::{Recipe, Sources};
use crate::rollout::{Draft, Goal, Reach};
use crate::ssh::config::Reader;
use crate::ssh::{ConnectOptions, Flags, PinnedKeys, Routes, SshConfig, UnknownHostKey};

/// Reads the manifest. What is merely doubtful in it is shown.
pub(super) fn load(path: &Path, global: &GlobalArgs) -> Result<Manifest, CliError> {
    let loaded = manifest::load(path).map_err(|error| CliError::Problems(error.problems))?;
    warn(global, &loaded.warnings);
    Ok(loaded.manifest)
}

/// Reads the files of the manifest and makes the release of each host, which is what it is to be brought to.
pub(super) fn releases(
    global: &GlobalArgs,
    manifest: &Manifest,
    environment: &Environment,
    hosts: Vec<Host>,
    secrets: &Secrets,
) -> Result<Vec<(Host, Draft)>, CliError> {
    let sources = Arc::new(Sources::open(manifest).map_err(CliError::Problems)?);
    let needs = sources.needs();
    let wants_facts = needs.iter().any(|needs| needs.host(manifest));
    let revision = revision(&needs, manifest);
    let kept = (Arc::new(manifest.clone()), Arc::new(environment.clone()));
    let mut warnings = sources.warnings.clone();
    let mut problems: Vec<Problem> = Vec::new();
    let mut releases = Vec::new();
    for host in hosts {
        let facts = TemplateFacts::of_nobody(manifest, &host);
        let inputs =
            TemplateInputs { facts, revision: revision.clone(), secrets: secrets.of(environment, &host) };
        let made = sources.release(manifest, environment, &host, &inputs);
        // What depends on the facts is known when the host was looked at.
        let made = made.map(Some).or_else(|found| {
            let found: Vec<Problem> = found.into_iter().filter(|p| !template::depends_on_facts(p)).collect();
            if any_error(&found) { Err(found) } else { Ok(None) }
        });
        let draft = match made {
            Err(found) => {
                add_new(&mut problems, found);
                continue;
            }
            Ok(release) => {
                add_new(
                    &mut warnings,
                    release.as_ref().map(|made| made.warnings.clone()).unwrap_or_default(),
                );
                match release.filter(|_| !wants_facts) {
                    Some(release) => Draft::Settled(Goal::Release(Box::new(release))),
                    None => Draft::Recipe(Box::new(Recipe {
                        sources: Arc::clone(&sources),
                        manifest: Arc::clone(&kept.0),
                        environment: Arc::clone(&kept.1),
                        host: host.clone(),
                        inputs,
                    })),
                }
            }
        };
        releases.push((host, draft));
    }
    if !problems.is_empty() {
        return Err(CliError::Problems(problems));
    }
    warn(global, &warnings);
    Ok(releases)
}

/// The state of the sources, where a template asks for it.
pub(super) fn revision(needs: &[Needs], manifest: &Manifest) -> Option<TemplateRevision> {
    let asked = needs.iter().any(|needs| needs.revision);
    asked.then(|| provenance::template_revision(&manifest.dir)).flatten()
}

/// What is wrong in a plain file is wrong for every host, and said once.
fn add_new(problems: &mut Vec<Problem>, found: Vec<Problem>) {
    for problem in found {
        let same = |other: &Problem| other.kind == problem.kind && other.span == problem.span;
        if !problems.iter().any(same) {
            problems.push(problem);
        }
    }
}

fn warn(global: &GlobalArgs, warnings: &[Problem]) {
    if global.quiet || global.format == Format::Json {
        return;
    }
    let look = global.look();
    let mut stderr = io::stderr().lock();
    for warning in warnings {
        // Nobody to warn is no reason to stop.
        let _ = ProblemReport::new(warning).write(&mut stderr, look);
    }
    let _ = stderr.flush();
}

/// How long a host waits for our word before it goes back by itself.
#[must_use]
pub(super) fn patience(manifest: &Manifest) -> Duration {
    manifest.confirm_timeout
}

/// The hosts of the environment that `--host` and `--tag` leave.
pub(super) fn hosts(environment: &Environment, args: &ConnectArgs) -> Result<Vec<Host>, CliError> {
    let mut patterns = Vec::new();
    for pattern in &args.hosts {
        let glob = Glob::new(pattern);
        let glob = glob.map_err(|source| CliError::Pattern { pattern: pattern.clone(), source })?;
        patterns.push(glob.compile_matcher());
    }
    let named = |host: &Host| {
        let names = [host.address.to_string(), host.address.host.to_string()];
        patterns.is_empty() || patterns.iter().any(|pattern| names.iter().any(|name| pattern.is_match(name)))
    };
    let tagged = |host: &Host| {
        args.tags.is_empty()
            || host.tags.iter().any(|tag| args.tags.iter().any(|wanted| wanted == tag.as_str()))
    };
    let hosts: Vec<Host> =
        environment.hosts.iter().filter(|host| named(host) && tagged(host)).cloned().collect();
    if hosts.is_empty() {
        let hosts = args.hosts.iter().map(|pattern| format!("--host {pattern}"));
        let filter: Vec<String> = hosts.chain(args.tags.iter().map(|tag| format!("--tag {tag}"))).collect();
        let tags: BTreeSet<&str> =
            environment.hosts.iter().flat_map(|host| &host.tags).map(Tag::as_str).collect();
        return Err(CliError::NoHost {
            environment: environment.name.to_string(),
            filter: filter.join(" "),
            known: environment.hosts.iter().map(|host| host.address.to_string()).collect(),
            tags: (!args.tags.is_empty()).then(|| tags.into_iter().map(str::to_owned).collect()),
        });
    }
    Ok(hosts)
}

/// How hosts are connected to: by what the command line says, then by the ssh configuration. That is read for every host
/// before any is connected to.
pub(super) async fn reach(
    args: &ConnectArgs,
    global: &GlobalArgs,
    environment: &Environment,
    hosts: &[Host],
    asker: &Asker,
) -> Result<Reach, CliError> {
    reach_by(args, global, pinned::keys(environment)?, hosts, asker).await
}

/// The same, with these keys of hosts.
pub(super) async fn reach_by(
    args: &ConnectArgs,
    global: &GlobalArgs,
    pinned: Option<PinnedKeys>,
    hosts: &[Host],
    asker: &Asker,
) -> Result<Reach, CliError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = home.ok_or(CliError::NoHome)?;
    let mut defaults = ConnectOptions::new(&home, Arc::new(asker.clone()));
    defaults.agent =
        std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    defaults.unknown_host_key = if global.can_ask() { UnknownHostKey::Ask } else { UnknownHostKey::Refuse };
    if args.trust_any_host_key {
        say(
            "warning: --trust-any-host-key: no host proves who it is; whoever is in between reads and changes everything",
        );
    }
    defaults.known_hosts.pinned = pinned.map(Arc::new);
    let for_key = asker.clone();
    // A passphrase takes a good part of a second to check, and may have to be asked for.
    let given = tokio::task::spawn_blocking(move || given_key::given_key(&for_key)).await;
    defaults.given_key = given.unwrap_or(Ok(None))?;
    let flags = Flags {
        identities: args.identities.clone(),
        connect_timeout: args.timeout(),
        unknown_host_key: match (args.trust_any_host_key, args.accept_new_host_keys) {
            (true, _) => Some(UnknownHostKey::TrustAny),
            (false, true) => Some(UnknownHostKey::Accept),
            (false, false) => None,
        },
    };
    let config = SshConfig::new(args.files(), Reader::Ssh, &home);
    let reach = Reach::new(Routes::new(config, defaults, flags));
    let ways = join_all(hosts.iter().map(|host| reach.way(&host.address))).await;
    ways.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(reach)
}
