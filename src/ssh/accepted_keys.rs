//! Keys of hosts that were accepted in this run. A file may keep none of them: one that can't be written, or `/dev/null`. What
//! a person has said yes to, or `accept-new` has taken, counts for the rest of the run all the same.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::known_hosts::{HostKey, host_field};

/// Shared by all connections of a run.
#[derive(Debug, Clone, Default)]
pub struct AcceptedKeys(Arc<Mutex<Vec<Accepted>>>);

#[derive(Debug, PartialEq, Eq)]
struct Accepted {
    /// What known_hosts calls the host.
    field: String,
    key: HostKey,
}

/// The right to accept a key. One connection has it at a time, and never while somebody is asked: those that wait for it are in
/// the middle of a handshake.
pub(super) struct Accepting<'a>(MutexGuard<'a, Vec<Accepted>>);

impl AcceptedKeys {
    /// Waits for those who write a key down at this moment.
    pub(super) async fn accepting(&self) -> Accepting<'_> {
        Accepting(self.0.lock().await)
    }
}

impl Accepting<'_> {
    /// Whether this very key was accepted for the host.
    pub(super) fn has(&self, host: &str, port: u16, key: &HostKey) -> bool {
        let field = host_field(host, port);
        self.0.iter().any(|accepted| accepted.field == field && accepted.key == *key)
    }

    pub(super) fn add(&mut self, host: &str, port: u16, key: HostKey) {
        if !self.has(host, port, &key) {
            self.0.push(Accepted { field: host_field(host, port), key });
        }
    }
}
