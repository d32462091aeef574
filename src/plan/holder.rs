//! Who holds a service on a host: its lock, for as long as a run takes; a freeze, until someone lifts it.
use serde::{Deserialize, Serialize};

/// Who holds a lock, as others are shown it. Also what a freeze says of who ordered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// `user@machine` of the operator.
    pub who: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// What it is held for: `deploy`, `rollback`, `freeze`.
    pub command: String,
    /// The page of the CI job, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What a person wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Holder {
    /// Reads what a host has on file. `None` when it can't be read, as while it is being written.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether someone holds something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hold {
    /// Nobody does.
    #[default]
    Free,
    /// Someone does; who, where that can be read.
    By(Option<Holder>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_reads_back_and_rubbish_is_none() {
        let holder = Holder {
            who: "ada@laptop".to_owned(),
            since: "2026-11-20T03:00:00Z".parse().unwrap(),
            command: "deploy".to_owned(),
            job: Some("https://ci.example.com/1".to_owned()),
            message: None,
        };
        assert_eq!(Holder::parse(&holder.to_json()), Some(holder));
        assert_eq!(Holder::parse(""), None);
        assert_eq!(Holder::parse("{\"who\": 1}"), None);
    }
}
