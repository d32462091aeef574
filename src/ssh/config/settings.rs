//! What a configuration sets for a host, before it is understood: the common form of what `ssh -G` prints and of what
//! our own reader finds.

use std::collections::BTreeMap;

use super::keyword::Keyword;

/// Values by keyword. What is not in it was not set, or set to what ssh takes anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<Keyword, Setting>);

/// The value of one keyword.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Setting {
    /// One, but for keywords that take several.
    pub(super) words: Vec<String>,
    /// Whether tokens, variables and `~` stand in it.
    pub(super) written: Written,
}

/// How far a value was brought by who it comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Written {
    /// It is as it stands in the file.
    #[default]
    Raw,
    /// ssh has put in what tokens, variables and `~` stand for.
    Expanded,
}

impl Settings {
    pub(super) fn get(&self, keyword: Keyword) -> Option<&Setting> {
        self.0.get(&keyword)
    }

    /// The one word of a keyword.
    pub(super) fn word(&self, keyword: Keyword) -> Option<&str> {
        self.get(keyword)?.words.first().map(String::as_str)
    }

    pub(super) fn set(&mut self, keyword: Keyword, setting: Setting) {
        self.0.insert(keyword, setting);
    }

    /// Sets it unless it is set.
    pub(super) fn set_first(&mut self, keyword: Keyword, words: Vec<String>) {
        self.0.entry(keyword).or_insert(Setting { words, written: Written::Raw });
    }

    /// Adds one more word, unless it is there.
    pub(super) fn add(&mut self, keyword: Keyword, word: String) {
        let words = &mut self.0.entry(keyword).or_default().words;
        if !words.contains(&word) {
            words.push(word);
        }
    }

    pub(super) fn keywords(&self) -> impl Iterator<Item = Keyword> {
        self.0.keys().copied()
    }
}
