//! `shipit render`: what the templates become for each host.
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, Format, GlobalArgs, ManifestArgs};
use super::inspect::{ask, failure_text};
use super::prompt::Asker;
use super::selection;
use crate::host::{Extent, probe};
use crate::manifest::template::{self, TemplateInputs};
use crate::manifest::{Address, Host, Manifest, Problem};
use crate::release::{Artifact, Role, Sources};
use crate::report::{SCHEMA_VERSION, json_line, sanitise};
use crate::rollout::{Reach, template_facts};

/// Show unit files and templates as each host would get them, with *** for secrets
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Only this file: its name, its path here, or its path in the release
    pub file: Option<PathBuf>,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// A file as one host would get it.
#[derive(Debug, Serialize)]
struct Rendered<'a> {
    v: u32,
    host: &'a Address,
    path: &'a str,
    source: String,
    mode: String,
    text: &'a str,
}

/// Runs the command.
pub(super) async fn render(args: &RenderArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let hosts = selection::hosts(environment, &args.connect)?;
    let sources = Sources::open(&manifest).map_err(CliError::Problems)?;
    let wanted = wanted(&manifest, args.file.as_deref())?;
    let needs = sources.needs();
    let revision = selection::revision(&needs, &manifest);
    // What was not asked for needs no host.
    let looks = wanted.iter().any(|(_, path)| sources.needs_host(&manifest, path));
    let reach = if looks {
        let asker = Asker::new(global);
        Some(selection::reach(&args.connect, global, environment, &hosts, &asker).await?)
    } else {
        None
    };
    let mut out = Vec::new();
    let mut exit = Exit::Done;
    let mut problems: Vec<Problem> = Vec::new();
    for host in &hosts {
        let mut inputs = TemplateInputs::offline(&manifest, environment, host, revision.clone());
        if let Some(reach) = &reach {
            match facts(reach, &manifest, host).await {
                Ok(facts) => inputs.facts = facts,
                Err((failure, code)) => {
                    exit = Exit::most_urgent([exit, code].into_iter());
                    let _ = io::stderr().write_all(sanitise(&failure).as_bytes());
                    continue;
                }
            }
        }
        match sources.release(&manifest, environment, host, &inputs) {
            Ok(release) => {
                let shown = release.artifacts.iter().filter_map(|artifact| {
                    let (_, source) = wanted.iter().find(|(role, _)| *role == artifact.role)?;
                    Some((artifact, source.as_path(), artifact.text()?))
                });
                shown.for_each(|file| write(&mut out, host, file, hosts.len() > 1, global.format));
            }
            Err(found) => problems.extend(
                // Without the facts, what depends on them was not asked for.
                found.into_iter().filter(|problem| looks || !template::depends_on_facts(problem)),
            ),
        }
    }
    let printed = io::stdout().write_all(&out).and_then(|()| io::stdout().flush());
    match printed {
        // `shipit render | head` is fine.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(CliError::Local { what: "the files could not be printed", source: error });
        }
        _ => {}
    }
    if problems.is_empty() { Ok(exit) } else { Err(CliError::Problems(problems)) }
}

/// The files to show, by their role, and where they come from: units, and other files that are templates.
fn wanted(manifest: &Manifest, file: Option<&Path>) -> Result<Vec<(Role, PathBuf)>, CliError> {
    let units = manifest.units.iter().map(|unit| (Role::Unit(unit.name.clone()), unit.path.clone()));
    // One that is no template may have secrets in it, and there is nothing to render.
    let env = manifest.env_file.iter().filter(|path| template::is_template(path));
    let files = manifest.files.iter().filter(|entry| template::is_template(&entry.source));
    let files = files.filter_map(|entry| {
        let path = entry.path.as_str().parse().ok()?;
        Some((Role::File { path, folder: None }, entry.source.clone()))
    });
    let all: Vec<(Role, PathBuf)> =
        units.chain(env.map(|path| (Role::EnvFile, path.clone()))).chain(files).collect();
    let Some(file) = file else { return Ok(all) };
    let is_meant = |(role, path): &&(Role, PathBuf)| {
        path == file
            || *path == manifest.dir.join(file)
            || path.file_name() == Some(file.as_os_str())
            || Path::new(role.path(&manifest.name).as_str()) == file
    };
    let meant: Vec<_> = all.iter().filter(is_meant).cloned().collect();
    if meant.is_empty() {
        return Err(CliError::NoSuchFile {
            file: file.to_owned(),
            known: all.iter().map(|(_, path)| path.display().to_string()).collect(),
        });
    }
    Ok(meant)
}

/// Looks at a host. What went wrong comes in words, and as an exit code.
async fn facts(
    reach: &Reach,
    manifest: &Manifest,
    host: &Host,
) -> Result<template::TemplateFacts, (String, Exit)> {
    let question = async |session: &mut crate::host::Session, _: &Address| {
        Ok(probe(session, manifest, Extent::Present).await?)
    };
    match ask(reach, &host.address, manifest.scope, None, &question).await {
        Ok(facts) => Ok(template_facts(&facts, manifest)),
        Err(failure) => Err((failure_text(&host.address, &failure), Exit::of_error(&failure.error))),
    }
}

fn write(
    out: &mut Vec<u8>,
    host: &Host,
    (artifact, source, text): (&Artifact, &Path, &str),
    several: bool,
    format: Format,
) {
    let source = source.display().to_string();
    let (path, mode) = (artifact.path.as_str(), artifact.mode.to_string());
    match format {
        Format::Json => {
            let host = &host.address;
            let file = Rendered { v: SCHEMA_VERSION, host, path, source, mode, text };
            out.extend(json_line(&file).into_bytes());
        }
        Format::Text => {
            let host = if several { format!("{}: ", host.address) } else { String::new() };
            let gap = if out.is_empty() { "" } else { "\n" };
            let header = format!("{gap}==> {host}{path} ({mode}, from {source}) <==\n");
            out.extend(sanitise(&header).into_bytes());
            out.extend(sanitise(text).into_bytes());
            if !text.ends_with('\n') {
                out.push(b'\n');
            }
        }
    }
}
