//! The keys of hosts that the manifest names: for a run, and for `check`.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::error::CliError;
use crate::manifest::problem::ManifestProblem;
use crate::manifest::text_file::{self, Limit};
use crate::manifest::{Environment, KnownHosts, Manifest, Problem, SourceText};
use crate::ssh::PinnedKeys;

/// Keys of ten thousand hosts.
const LARGEST: Limit = Limit { bytes: 4 << 20, words: "4 MiB" };

/// The keys that the manifest has for the hosts of an environment.
pub(super) fn keys(environment: &Environment) -> Result<Option<PinnedKeys>, CliError> {
    let keys = match &environment.known_hosts {
        None => return Ok(None),
        Some(KnownHosts::Lines(lines)) => PinnedKeys::new("known_hosts".into(), &lines.join("\n")),
        Some(KnownHosts::File(path)) => {
            let text = std::fs::read(path);
            let text = text.map_err(|source| CliError::KnownHosts { file: path.clone(), source })?;
            PinnedKeys::new(path.clone(), &String::from_utf8_lossy(&text))
        }
    };
    Ok(Some(keys?))
}

/// What is wrong with them, in all environments: a file that can't be read, lines that can't be understood.
pub(super) fn problems(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (mut seen, mut files) = (BTreeSet::new(), BTreeSet::new());
    for environment in manifest.environments.values() {
        // Its own, or else the manifest's.
        let own = format!("environments.{}.known_hosts", environment.name);
        let place = if manifest.spans.get(&own).is_some() { own } else { "known_hosts".to_owned() };
        if !seen.insert(place.clone()) {
            continue;
        }
        match &environment.known_hosts {
            None => {}
            // Environments may share one; what is wrong with it is said once.
            Some(KnownHosts::File(path)) if files.insert(path) => {
                problems.extend(of_file(manifest, &place, path));
            }
            Some(KnownHosts::File(_)) => {}
            Some(KnownHosts::Lines(lines)) => {
                let bad = lines.iter().enumerate().filter_map(|(index, line)| {
                    let span = manifest.spans.get(&format!("{place}[{index}]"));
                    let bad = PinnedKeys::bad_lines(line.as_bytes()).next()?;
                    let kind = ManifestProblem::HostKey { reason: bad.1 };
                    Some(Problem::new(kind, &manifest.source).at_maybe(span))
                });
                problems.extend(bad);
            }
        }
    }
    problems
}

fn of_file(manifest: &Manifest, place: &str, path: &Path) -> Vec<Problem> {
    let bytes = match text_file::read_bytes("the file of host keys", path, LARGEST) {
        Ok(bytes) => bytes,
        Err(kind) => {
            let help = "`shipit hosts ENV --scan` shows the keys that the hosts have, and writes them there";
            let problem = Problem::new(*kind, &manifest.source).at_maybe(manifest.spans.get(place));
            return vec![problem.help(help.to_owned())];
        }
    };
    // A comment may be in any encoding; bytes that are no text take more room as text.
    let source: Arc<SourceText> = SourceText::new(path, String::from_utf8_lossy(&bytes).into_owned());
    let bad = PinnedKeys::bad_lines(source.text.as_bytes()).map(|(line, reason)| {
        let begin = source.text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        let end = begin + source.text.get(begin..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
        Problem::new(ManifestProblem::HostKey { reason }, &source).at(begin..end)
    });
    bad.collect()
}
