//! What went wrong and changes nothing of how a host ended: a hook that failed once the release was kept.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::manifest::Address;

/// The warnings of a run, in the order in which they came; those of no host are about the run as a whole.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<Mutex<BTreeMap<Option<Address>, Vec<String>>>>);

impl Warnings {
    /// One more.
    pub fn add(&self, host: Option<&Address>, warning: String) {
        if let Ok(mut warnings) = self.0.lock() {
            warnings.entry(host.cloned()).or_default().push(warning);
        }
    }

    /// Those of a host.
    #[must_use]
    pub fn of(&self, host: &Address) -> Vec<String> {
        let found = self.0.lock().ok().and_then(|warnings| warnings.get(&Some(host.clone())).cloned());
        found.unwrap_or_default()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().map_or(0, |warnings| warnings.values().map(Vec::len).sum())
    }
}
