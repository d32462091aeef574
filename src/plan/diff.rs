//! What changed between the release that runs and the one that would: texts by line, env files by key.
//!
//! An env file's values never appear here, not even their length: the type has no room for them. A unit's may hold
//! secrets, too, in `Environment=` and `SetCredential=`: there, a difference is shown, but not between what.
use std::collections::BTreeMap;

use serde::Serialize;
use similar::{ChangeTag, TextDiff as Lines};

/// Settings of a unit whose values may be secret (systemd.exec(5)).
const SECRET_SETTINGS: [&str; 3] = ["Environment", "SetCredential", "SetCredentialEncrypted"];

/// What stands in place of a secret value.
const MASK: &str = "(not shown)";

/// A unified diff with three lines of context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextDiff(String);

impl TextDiff {
    /// Has its text changed where it is shown.
    pub(crate) fn change_texts(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.0);
    }

    /// The difference between two texts of a unit; `None` when they are equal.
    #[must_use]
    pub fn between(old: &str, new: &str, path: &str) -> Option<Self> {
        if old == new {
            return None;
        }
        let diff = Lines::from_lines(old, new);
        let (old, new) = (masked(old), masked(new));
        let mut text = format!("--- a/{path}\n+++ b/{path}\n");
        for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
            text.push_str(&format!("{}\n", hunk.header()));
            for change in hunk.iter_changes() {
                // The lines were compared as they are, and are shown as they may be.
                let (sign, line) = match change.tag() {
                    ChangeTag::Delete => ('-', change.old_index().and_then(|n| old.get(n))),
                    ChangeTag::Insert => ('+', change.new_index().and_then(|n| new.get(n))),
                    ChangeTag::Equal => (' ', change.new_index().and_then(|n| new.get(n))),
                };
                text.push_str(&format!("{sign}{}\n", line.map_or("", String::as_str)));
            }
        }
        Some(Self(text))
    }

    /// The diff's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The lines of a unit, with secret values masked; also on the lines that continue such a setting.
fn masked(text: &str) -> Vec<String> {
    let mut secret = false;
    let mut continued = false;
    let lines = text.lines().map(|line| {
        let (setting, value) = if continued {
            ("", line)
        } else {
            let key = line.split_once('=').map(|(key, _)| key.trim()).unwrap_or_default();
            secret = SECRET_SETTINGS.contains(&key);
            let (setting, value) = line.split_at(line.find('=').map_or(0, |at| at + 1));
            (setting, value)
        };
        continued = line.ends_with('\\');
        if !secret || value.trim().is_empty() {
            return line.to_owned();
        }
        let words = value.trim_end_matches('\\').split_whitespace();
        let words: Vec<String> = words
            .map(|word| match word.split_once(['=', ':']) {
                Some((name, _)) => format!("{name}={MASK}"),
                None => MASK.to_owned(),
            })
            .collect();
        let end = if continued { " \\" } else { "" };
        format!("{setting}{}{end}", words.join(" "))
    });
    lines.collect()
}

/// A variable of the env file that changed. The values stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvChange {
    /// The variable's name.
    pub key: String,
    /// How it changed.
    pub change: KeyChange,
}

/// How a variable changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its value is another one.
    Changed,
}

impl EnvChange {
    /// The changes between two env files, by key in the order of the alphabet. As systemd has it, the last of two
    /// assignments counts.
    #[must_use]
    pub fn between(old: &[(String, String)], new: &[(String, String)]) -> Vec<Self> {
        let old: BTreeMap<_, _> = old.iter().map(|(key, value)| (key, value)).collect();
        let new: BTreeMap<_, _> = new.iter().map(|(key, value)| (key, value)).collect();
        let mut changes: Vec<Self> = Vec::new();
        for (key, value) in &new {
            let change = match old.get(key) {
                None => KeyChange::Added,
                Some(was) if was != value => KeyChange::Changed,
                Some(_) => continue,
            };
            changes.push(Self { key: (*key).clone(), change });
        }
        let gone = old.keys().filter(|key| !new.contains_key(**key));
        changes.extend(gone.map(|key| Self { key: (*key).clone(), change: KeyChange::Removed }));
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn env_changes_are_by_key_and_show_no_value() {
        let changes = EnvChange::between(
            &env(&[("A", "1"), ("B", "2"), ("C", "3")]),
            &env(&[("B", "two"), ("C", "3"), ("D", "4")]),
        );
        let shown: Vec<_> = changes.iter().map(|c| (c.key.as_str(), c.change)).collect();
        assert_eq!(shown, [("A", KeyChange::Removed), ("B", KeyChange::Changed), ("D", KeyChange::Added)]);
        let json = serde_json::to_string(&changes).unwrap();
        assert!(!json.contains("two"), "{json}");
    }

    #[test]
    fn a_unit_s_secrets_are_not_shown() {
        let old = "[Service]\nEnvironment=A=1 TOKEN=hunter2\nEnvironment=\"B=x y\" \\\n  C=hunter3\nExecStart=/x a=b\n";
        let new = old.replace("hunter", "swordfish");
        let diff = TextDiff::between(old, &new, "x").unwrap();
        let text = diff.as_str();
        assert!(!text.contains("hunter") && !text.contains("swordfish"), "{text}");
        assert!(text.contains("-Environment=A=(not shown) TOKEN=(not shown)\n"), "{text}");
        assert!(text.contains(" ExecStart=/x a=b\n"), "{text}");
    }

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(TextDiff::between("a\n", "a\n", "x"), None);
        let diff = TextDiff::between("a\nb\n", "a\nc\n", "x").unwrap();
        assert!(diff.as_str().contains("-b\n+c\n"), "{}", diff.as_str());
    }
}
