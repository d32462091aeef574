//! The history of a service on a host: one line of JSON a run, written by the host when the run is over.
//!
//! The lines may come from another version of shipit, or have been edited: what is not known is ignored, and a line
//! that can't be read is counted and left out.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{ReleaseId, RunId};

/// A line longer than this is not one of shipit's, which have some 500 bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// What a host's history says, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The runs, oldest first.
    pub runs: Vec<HistoryRun>,
    /// How many lines could not be read.
    pub unreadable: usize,
}

/// One run, as its line in `history.jsonl` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRun {
    /// The run's own id.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The environment that was deployed to.
    #[serde(default)]
    pub environment: String,
    /// What was asked for: `deploy`, `rollback`.
    #[serde(default)]
    pub command: String,
    /// `user@machine` of the operator.
    #[serde(default)]
    pub who: String,
    /// The page of the CI job, when it was one.
    #[serde(default)]
    pub job: Option<String>,
    /// The release before it.
    #[serde(default)]
    pub from: Option<ReleaseId>,
    /// The release that the host was to end on.
    pub to: ReleaseId,
    /// When it began, by the operator's clock.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// When it ended, by the host's clock.
    pub ended: Timestamp,
    /// How it ended.
    pub verdict: RunVerdict,
    /// The state of the sources.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// How a run ended, in the history's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunVerdict {
    /// The release was kept.
    Deployed,
    /// It failed, and the one before came back.
    Reverted,
    /// It failed, and the one before did not come back.
    RevertFailed,
    /// A word that this shipit does not know.
    #[serde(other)]
    Unknown,
}

/// A state of a git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit.
    pub commit: String,
    /// Whether there were changes that are in no commit.
    pub dirty: bool,
}

impl History {
    /// Reads one more line; they come oldest first.
    pub fn add(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        match HistoryRun::parse(line) {
            Some(run) => self.runs.push(run),
            None => self.unreadable += 1,
        }
    }

    /// The last run that switched the host to a release, whatever came of it.
    #[must_use]
    pub fn last_to(&self, release: &ReleaseId) -> Option<&HistoryRun> {
        self.runs.iter().rev().find(|run| run.switches_to(release))
    }

    /// The run that brought a release to the host: who made it, and from which sources.
    #[must_use]
    pub fn deploy_of(&self, release: &ReleaseId) -> Option<&HistoryRun> {
        self.runs.iter().find(|run| run.switches_to(release) && run.command == "deploy")
    }
}

impl HistoryRun {
    /// Reads a line; `None` when it is none of shipit's.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        if line.len() > LONGEST_LINE {
            return None;
        }
        serde_json::from_str(line).ok()
    }

    /// Not a run that only started again what the host was on already.
    fn switches_to(&self, release: &ReleaseId) -> bool {
        self.to == *release && self.from.as_ref() != Some(release)
    }

    /// How long it took, as far as the two clocks agree.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        Duration::try_from(self.ended.duration_since(self.started?)).ok()
    }
}

impl Revision {
    /// The beginning of the commit, with a star when there were changes beside it.
    #[must_use]
    pub fn short(&self) -> String {
        let commit: String = self.commit.chars().take(8).collect();
        if self.dirty { commit + "*" } else { commit }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"{"v":1,"run":"20261120T030041Z-0badcafe","host":"deploy@web1","environment":"prod","command":"deploy","shipit":"0.1.0","revision":{"commit":"1a2b3c4d5e6f","dirty":true},"who":"ada@laptop","job":"https://ci/1","from":"20261120T030007Z-3f2a9c01","to":"20261120T030041Z-8be1d2a4","started":"2026-11-20T03:00:41Z","ended":"2026-11-20T03:00:45Z","verdict":"deployed"}"#;

    #[test]
    fn a_line_is_read() {
        let run = HistoryRun::parse(LINE).unwrap();
        assert_eq!((run.who.as_str(), run.verdict), ("ada@laptop", RunVerdict::Deployed));
        assert_eq!(run.elapsed(), Some(Duration::from_secs(4)));
        assert_eq!(run.revision.unwrap().short(), "1a2b3c4d*");
    }

    #[test]
    fn what_a_line_may_lack_is_little() {
        let line = r#"{"to":"20261120T030041Z-8be1d2a4","ended":"2026-11-20T03:00:45Z","verdict":"polished","new":[]}"#;
        let run = HistoryRun::parse(line).unwrap();
        assert_eq!((run.verdict, run.from, run.started), (RunVerdict::Unknown, None, None));
        assert_eq!(HistoryRun::parse(&line.replace("to\"", "of\"")), None);
    }

    #[test]
    fn clocks_that_disagree_give_no_time() {
        let run = HistoryRun::parse(&LINE.replace("03:00:45", "03:00:05")).unwrap();
        assert_eq!(run.elapsed(), None);
    }

    #[test]
    fn bad_lines_are_counted_and_left_out() {
        let mut history = History::default();
        let long = format!("{{\"who\":\"{}\"}}", "a".repeat(LONGEST_LINE));
        for line in ["", "end ok", LINE, "{}", &LINE[..80], &"[".repeat(9000), &long] {
            history.add(line);
        }
        assert_eq!((history.runs.len(), history.unreadable), (1, 5));
    }

    #[test]
    fn of_a_release_there_is_the_deploy_and_the_last_run() {
        let mut history = History::default();
        history.add(LINE);
        history.add(&LINE.replace(":\"deploy\"", ":\"rollback\"").replace("deployed", "reverted"));
        let id = "20261120T030041Z-8be1d2a4".parse().unwrap();
        assert_eq!(history.deploy_of(&id).unwrap().verdict, RunVerdict::Deployed);
        assert_eq!(history.last_to(&id).unwrap().verdict, RunVerdict::Reverted);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}", cut in 0usize..420, put in "[{}\\[\\]\",:0-9a-zé]{0,6}") {
            let mut history = History::default();
            history.add(&text);
            let mut line = LINE.to_owned();
            line.insert_str(cut.min(line.len()), &put);
            history.add(&line);
            for run in &history.runs {
                let _ = (run.elapsed(), run.revision.as_ref().map(Revision::short));
            }
            prop_assert!(history.runs.len() + history.unreadable <= 2);
        }
    }
}
