//! `shipit releases`: what each host could be rolled back to.
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs};
use super::history::verdict_word;
use super::inspect::{Answer, columns, inspect};
use super::selection;
use crate::host::{Extent, probe};
use crate::plan::{Facts, FoundRelease, Standing};
use crate::release::{ReleaseId, Revision, RunVerdict};
use crate::report::{age, bytes};
use crate::rollout::Purpose;

/// How many lines of the history are looked through for who deployed a release.
const LINES: u32 = 200;

/// List the releases on every host: how old, deployed by whom, and how that ended
#[derive(Debug, Args)]
pub(super) struct ReleasesArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// The releases of one host, newest first.
#[derive(Debug, Serialize)]
struct Releases {
    releases: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    id: ReleaseId,
    current: bool,
    created: Timestamp,
    #[serde(skip)]
    age: Duration,
    standing: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<RunVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl Listed {
    fn new(release: &FoundRelease, facts: &Facts, now: Timestamp) -> Self {
        let id = release.id.clone();
        let deploy = facts.history.deploy_of(&id);
        // The mark on the host outlives the lines that were read.
        let good = (release.standing == Standing::Good).then_some(RunVerdict::Deployed);
        Self {
            current: facts.current.release() == Some(&id),
            created: id.created(),
            age: Duration::try_from(now.duration_since(id.created())).unwrap_or_default(),
            standing: release.standing,
            who: deploy.map(|run| run.who.clone()),
            revision: deploy.and_then(|run| run.revision.clone()),
            verdict: facts.history.last_to(&id).map(|run| run.verdict).or(good),
            size: release.record.as_ref().map(crate::release::ReleaseRecord::size),
            id,
        }
    }

    fn cells(&self) -> [String; 7] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.id.to_string(),
            if self.current { "current" } else { "" }.to_owned(),
            age(self.age),
            or_dash(self.who.clone()),
            or_dash(self.revision.as_ref().map(Revision::short)),
            or_dash(self.verdict.map(|verdict| verdict_word(verdict).to_owned())),
            self.size.map_or_else(|| "not whole: no readable release.json".to_owned(), bytes),
        ]
    }
}

impl Answer for Releases {
    fn text(&self) -> String {
        let title = match self.releases.len() {
            0 => "no releases\n".to_owned(),
            1 => "1 release\n".to_owned(),
            n => format!("{n} releases\n"),
        };
        let rows: Vec<_> = self.releases.iter().map(Listed::cells).collect();
        title + &columns(&rows)
    }
}

/// Runs the command.
pub(super) async fn releases(args: &ReleasesArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let now = Timestamp::now();
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Look), async |session, _host| {
        let facts = probe(session, &manifest, Extent::Past { lines: LINES }).await?;
        let listed = facts.releases.iter().rev().map(|release| Listed::new(release, &facts, now));
        Ok(Releases { releases: listed.collect() })
    })
    .await
}
