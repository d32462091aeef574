//! Small texts on a host that everybody there may read, for a person to see what changes in them. Others are not shown: an
//! old secret in them is not known here, and could not be hidden.
use std::collections::BTreeMap;
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::Manifest;
use crate::plan::{Facts, Layout};
use crate::release::{Release, Role};

const READ: &str = include_str!("read_texts.sh");

/// How long the host may say nothing.
const IDLE: Duration = Duration::from_secs(60);

/// Finds out what the rendered files of the release that runs say, as far as the new one says something else: one round
/// trip, and none where there are no such files.
pub async fn read_rendered(
    session: &mut Session,
    manifest: &Manifest,
    facts: &mut Facts,
    release: &Release,
) -> Result<(), SessionError> {
    let current = Layout::new(&facts.home, manifest).root().join("current");
    let rendered = release.artifacts.iter().filter(|artifact| {
        matches!(artifact.role, Role::File { .. }) && artifact.text().is_some() && artifact.mode.is_for_all()
    });
    let changed = rendered.filter(|artifact| {
        let found = facts.files.get(artifact.path.as_str());
        found.is_some_and(|found| found.sha256 != artifact.sha256 && found.mode & 0o004 != 0)
    });
    let paths: Vec<String> = changed.map(|artifact| artifact.path.to_string()).collect();
    let pairs = paths.iter().enumerate();
    let pairs = pairs.map(|(number, path)| (number.to_string(), current.join(path).to_string()));
    let mut texts = read_texts(session, pairs.collect()).await?;
    for (number, path) in paths.into_iter().enumerate() {
        facts.texts.extend(texts.remove(&number.to_string()).map(|text| (path, text)));
    }
    Ok(())
}

/// The texts of files, by the keys they were asked for with. What is no text, or is large, is left out.
pub(super) async fn read_texts(
    session: &mut Session,
    files: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, SessionError> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    if files.is_empty() {
        return Ok(texts);
    }
    let mut whole = BTreeMap::new();
    let script = Script::with_arguments(READ, files.into_iter().flat_map(|(key, path)| [key, path]));
    session
        .run(&script, IDLE, |line| {
            if let Some((key, line)) = line.split_once('\t') {
                let text = texts.entry(key.to_owned()).or_default();
                text.push_str(line);
                text.push('\n');
            } else if let Some(key) = line.strip_suffix(" end") {
                whole.insert(key.to_owned(), texts.remove(key).unwrap_or_default());
            }
        })
        .await?;
    Ok(whole)
}
