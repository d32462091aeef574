//! What changed between the release that runs and the one that would: texts by line, env files by key.
//!
//! An env file's values never appear here, not even their length: the type has no room for them.
use std::collections::BTreeMap;

use serde::Serialize;
use similar::TextDiff as Lines;

/// A unified diff with three lines of context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextDiff(String);

impl TextDiff {
    /// The difference between two texts; `None` when they are equal.
    #[must_use]
    pub fn between(old: &str, new: &str, path: &str) -> Option<Self> {
        if old == new {
            return None;
        }
        let diff = Lines::from_lines(old, new);
        let text = diff
            .unified_diff()
            .context_radius(3)
            .header(&format!("a/{path}"), &format!("b/{path}"))
            .to_string();
        Some(Self(text))
    }

    /// The diff's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
    fn equal_texts_have_no_diff() {
        assert_eq!(TextDiff::between("a\n", "a\n", "x"), None);
        let diff = TextDiff::between("a\nb\n", "a\nc\n", "x").unwrap();
        assert!(diff.as_str().contains("-b\n+c\n"), "{}", diff.as_str());
    }
}
