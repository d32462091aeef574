//! Reads the secrets that the manifest names: each source once a run, also when several hosts want it.
//!
//! What was read is hidden from then on, in all that is shown.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::error::CliError;
use super::global::GlobalArgs;
use super::local_hook::end_group;
use super::prompt::Asker;
use crate::manifest::{
    Environment, Host, Manifest, Problem, SecretCommand, SecretProblem, SecretSource, SecretValues, VarName,
};
use crate::report::sanitise;
use crate::ssh;

/// The largest secret: a key with all its certificates is smaller.
const LARGEST: usize = 64 << 10;
const LARGEST_WORDS: &str = "64 KiB";

/// How many of the last lines of a command that failed are shown.
const SHOWN_LINES: usize = 10;

/// The values of the secrets, by where they came from.
#[derive(Debug, Default)]
pub(super) struct Secrets(BTreeMap<SecretSource, Arc<SecretString>>);

/// A source that is wanted: by a secret of this name, which stands there.
struct Wanted<'a> {
    source: &'a SecretSource,
    name: &'a VarName,
    span: Option<Range<usize>>,
}

impl Secrets {
    /// Reads all that these hosts want; all that is wrong is reported at once. Questions come last.
    pub(super) async fn read(
        manifest: &Manifest,
        environment: &Environment,
        hosts: &[Host],
        global: &GlobalArgs,
    ) -> Result<Self, CliError> {
        let mut secrets = Self::default();
        let mut problems = Vec::new();
        let mut wanted = wanted(manifest, environment, hosts);
        let asker = Asker::new(global);
        // What is at hand comes first: what a command says may quote it. Questions come last.
        wanted.sort_by_key(|wanted| match wanted.source {
            SecretSource::Env(_) | SecretSource::File(_) => 0,
            SecretSource::Command { .. } => 1,
            SecretSource::Prompt(_) => 2,
        });
        for Wanted { source, name, span } in wanted {
            let name = name.as_str();
            let read = match source {
                SecretSource::Env(_) | SecretSource::File(_) => {
                    read_quietly(source, name).map_err(Failure::from)
                }
                SecretSource::Command { run, timeout } => {
                    said_by(run, *timeout, name, &manifest.dir, global).await
                }
                // Whatever is answered now would be asked for again.
                SecretSource::Prompt(_) if asker.sits_at_a_terminal() && !problems.is_empty() => continue,
                SecretSource::Prompt(question) => typed(&asker, question, name).await.map_err(Failure::from),
            };
            secrets.take(source, read, (manifest, span), &mut problems, global);
        }
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        if problems.is_empty() { Ok(secrets) } else { Err(CliError::Problems(problems)) }
    }

    /// Hides what can be had without asking anybody, from variables and files. What can't be had so is not hidden.
    pub(super) fn hide_what_is_at_hand(environment: &Environment, hosts: &[Host], global: &GlobalArgs) {
        let sources = hosts.iter().flat_map(|host| environment.secrets_for(host));
        for (name, source) in sources {
            if matches!(source, SecretSource::Env(_) | SecretSource::File(_))
                && let Ok(value) = read_quietly(source, name.as_str())
            {
                global.mask.hide(value.expose_secret());
            }
        }
    }

    /// The values of one host's secrets.
    pub(super) fn of(&self, environment: &Environment, host: &Host) -> SecretValues {
        let secrets = environment.secrets_for(host).into_iter();
        secrets.filter_map(|(name, source)| Some((name.clone(), Arc::clone(self.0.get(source)?)))).collect()
    }

    fn take(
        &mut self,
        source: &SecretSource,
        read: Result<SecretString, Failure>,
        (manifest, span): (&Manifest, Option<Range<usize>>),
        problems: &mut Vec<Problem>,
        global: &GlobalArgs,
    ) {
        match read {
            Ok(value) => {
                global.mask.hide(value.expose_secret());
                self.0.insert(source.clone(), Arc::new(value));
            }
            Err(Failure { kind, said }) => {
                let mut help = kind.help().to_owned();
                if !said.is_empty() {
                    help = format!("{help}. It said:\n{}", said.join("\n"));
                }
                problems.push(
                    Problem::new(kind, &manifest.source).at_maybe(span).label("wanted here").help(help),
                );
            }
        }
    }
}

/// Why a secret can't be had, and what its command said.
struct Failure {
    kind: SecretProblem,
    said: Vec<String>,
}

impl From<SecretProblem> for Failure {
    fn from(kind: SecretProblem) -> Self {
        Self { kind, said: Vec::new() }
    }
}

/// Every source once, in the order of the manifest.
fn wanted<'a>(manifest: &Manifest, environment: &'a Environment, hosts: &'a [Host]) -> Vec<Wanted<'a>> {
    let mut wanted: Vec<Wanted<'a>> = Vec::new();
    for host in hosts {
        let index = environment.hosts.iter().position(|known| known.address == host.address);
        for (name, source) in environment.secrets_for(host) {
            let path = match index.filter(|_| host.secrets.contains_key(name)) {
                Some(index) => format!("environments.{}.hosts[{index}].secrets.{name}", environment.name),
                None => format!("environments.{}.secrets.{name}", environment.name),
            };
            if !wanted.iter().any(|known| known.source == source) {
                wanted.push(Wanted { source, name, span: manifest.spans.get(&path) });
            }
        }
    }
    wanted.sort_by_key(|wanted| wanted.span.as_ref().map(|span| span.start));
    wanted
}

/// From a variable or a file.
fn read_quietly(source: &SecretSource, name: &str) -> Result<SecretString, SecretProblem> {
    let name = name.to_owned();
    match source {
        SecretSource::Env(variable) => {
            match std::env::var_os(variable).map(std::ffi::OsString::into_string) {
                None => Err(SecretProblem::Unset { name, variable: variable.clone() }),
                Some(Err(_)) => Err(SecretProblem::NotUtf8 { name }),
                Some(Ok(text)) => value(Zeroizing::new(text).as_bytes(), name),
            }
        }
        SecretSource::File(path) => {
            // Room for all of it at once: growing would leave parts of it behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 64));
            let failed = |error: std::io::Error| {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
                    kind => kind.to_string(),
                };
                SecretProblem::File { name: name.clone(), reason }
            };
            let file = File::open(path).map_err(failed)?;
            file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
            value(without_newline(&bytes), name)
        }
        SecretSource::Command { .. } | SecretSource::Prompt(_) => Err(SecretProblem::NobodyToAsk { name }),
    }
}

async fn typed(asker: &Asker, question: &str, name: &str) -> Result<SecretString, SecretProblem> {
    let (asker, question, name) = (asker.clone(), sanitise(question), name.to_owned());
    let asked = tokio::task::spawn_blocking(move || asker.manifest_secret(question.trim_end_matches(':')));
    match asked.await.ok().flatten() {
        Some(text) => value(text.expose_secret().as_bytes(), name),
        None => Err(SecretProblem::NobodyToAsk { name }),
    }
}

/// Looks at what was read.
fn value(bytes: &[u8], name: String) -> Result<SecretString, SecretProblem> {
    if bytes.is_empty() {
        return Err(SecretProblem::Empty { name });
    }
    if bytes.len() > LARGEST {
        return Err(SecretProblem::TooLarge { name, limit: LARGEST_WORDS });
    }
    if bytes.contains(&0) {
        return Err(SecretProblem::Nul { name });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => Err(SecretProblem::NotUtf8 { name }),
    }
}

/// The line break that programs and editors put at the end.
fn without_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

/// What a program prints.
async fn said_by(
    run: &SecretCommand,
    timeout: Duration,
    name: &str,
    folder: &Path,
    global: &GlobalArgs,
) -> Result<SecretString, Failure> {
    let failed = |end: String, stderr: &[u8]| {
        let said = last_lines(stderr, global);
        Failure {
            kind: SecretProblem::Command { name: name.to_owned(), end, said: said.last().cloned() },
            said,
        }
    };
    let mut command = match run {
        SecretCommand::Shell(text) => {
            let mut command = Command::from(ssh::child("/bin/sh"));
            command.arg("-c").arg(text);
            command
        }
        SecretCommand::Program(words) => {
            let (program, arguments) =
                words.split_first().map_or(("", words.as_slice()), |(p, a)| (p.as_str(), a));
            let mut command = Command::from(ssh::child(program));
            command.args(arguments);
            command
        }
    };
    if !folder.as_os_str().is_empty() {
        command.current_dir(folder);
    }
    // It may want to ask for a passphrase. In a group of its own it could not read from the terminal.
    let on_a_terminal = global.can_ask();
    if on_a_terminal {
        command.stdin(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).process_group(0);
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = child.map_err(|error| failed(format!("it could not be started: {error}"), b""))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 64));
    let mut complaints = Vec::new();
    let ended = tokio::time::timeout(timeout, async {
        let (_, _, status) =
            tokio::join!(all(stdout, &mut bytes), all(stderr, &mut complaints), child.wait());
        status
    });
    match ended.await {
        Ok(Ok(status)) if status.success() => {
            Ok(value(without_newline(&bytes), name.to_owned()).map_err(Failure::from)?)
        }
        Ok(Ok(status)) => Err(failed(format!("it ended with {status}"), &complaints)),
        Ok(Err(error)) => Err(failed(format!("it could not be waited for: {error}"), &complaints)),
        Err(_) => {
            end(&mut child, on_a_terminal).await;
            let end = format!("it was still running after {} s, and was killed", timeout.as_secs_f32());
            Err(failed(end, &complaints))
        }
    }
}

async fn end(child: &mut Child, on_a_terminal: bool) {
    if on_a_terminal {
        // One that has ended is what is wanted.
        let _ = child.kill().await;
    } else {
        end_group(child).await;
    }
}

/// Reads to the end, and keeps no more than a secret may have. What is longer is read all the same: a program that is
/// stopped by a full pipe never ends.
async fn all(stream: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    // What could not be read is missing, and found to be.
    let _ = (&mut stream).take(LARGEST as u64 + 1).read_to_end(bytes).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

fn last_lines(stderr: &[u8], global: &GlobalArgs) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines.iter().skip(first).map(|line| global.mask.text(line).into_owned()).collect()
}
