//! `shipit history`: who did what to each host, and how it ended.
use std::fmt::Write as _;

use clap::Args;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs};
use super::inspect::{Answer, columns, inspect};
use super::selection;
use crate::host::{Extent, probe};
use crate::release::{History, HistoryRun, ReleaseId, Revision, RunVerdict};
use crate::report::duration;
use crate::rollout::Purpose;

/// Show the last runs on every host: when, by whom, what, and how they ended
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// How many of the last runs of each host
    #[arg(
        short = 'n', long, value_name = "N", default_value_t = 20,
        value_parser = run_count
    )]
    pub lines: u32,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// The last runs on one host, oldest first, as a log has them.
#[derive(Debug, Serialize)]
struct Runs {
    runs: Vec<HistoryRun>,
    unreadable: usize,
    #[serde(skip)]
    zone: TimeZone,
}

/// How a run ended, in a word or two.
pub(super) fn verdict_word(verdict: RunVerdict) -> &'static str {
    match verdict {
        RunVerdict::Deployed => "deployed",
        RunVerdict::Reverted => "reverted",
        RunVerdict::RevertFailed => "REVERT FAILED",
        RunVerdict::Unknown => "unknown",
    }
}

impl Runs {
    fn cells(&self, run: &HistoryRun) -> [String; 9] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let filled = |text: &str| or_dash((!text.is_empty()).then(|| text.to_owned()));
        let when = run.started.unwrap_or(run.ended).to_zoned(self.zone.clone());
        [
            when.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            filled(&run.who),
            filled(&run.command),
            run.from.as_ref().map_or_else(|| "nothing".to_owned(), ReleaseId::to_string),
            format!("-> {}", run.to),
            verdict_word(run.verdict).to_owned(),
            or_dash(run.elapsed().map(duration)),
            or_dash(run.revision.as_ref().map(Revision::short)),
            run.job.clone().unwrap_or_default(),
        ]
    }
}

impl Answer for Runs {
    fn text(&self) -> String {
        let title = match self.runs.len() {
            0 => "no runs\n".to_owned(),
            1 => "1 run\n".to_owned(),
            n => format!("{n} runs\n"),
        };
        let rows: Vec<_> = self.runs.iter().map(|run| self.cells(run)).collect();
        let mut text = title + &columns(&rows);
        if self.unreadable > 0 {
            let s = if self.unreadable == 1 { "" } else { "s" };
            let _ = writeln!(
                text,
                "  {} line{s} of history.jsonl can't be read and {} left out",
                self.unreadable,
                if s.is_empty() { "is" } else { "are" }
            );
        }
        text
    }
}

/// As many as a host keeps at least.
fn run_count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=1000).contains(count));
    count.ok_or_else(|| "a whole number from 1 to 1000 is wanted, as in -n 50".to_owned())
}

/// Runs the command.
pub(super) async fn history(args: &HistoryArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Look), async |session, _host| {
        let facts = probe(session, &manifest, Extent::Past { lines: args.lines }).await?;
        let History { runs, unreadable } = facts.history;
        Ok(Runs { runs, unreadable, zone: TimeZone::system() })
    })
    .await
}
