//! What the first host does for all: the others do not switch before it is done.
//!
//! A hook with `once: true` before the activation is a migration of a database, say. A new release must not run before
//! it, nor when it failed.
use tokio::sync::watch;

/// Whether hosts may switch. One for a run; every clone is the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<GateState>);

/// How far the first host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// There is nothing to wait for, or no more.
    Open,
    /// It is still to be done.
    Shut,
    /// It failed, or was never begun.
    Failed,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(GateState::Open))
    }
}

impl Gate {
    /// From now on hosts wait.
    pub fn shut(&self) {
        self.0.send_replace(GateState::Shut);
    }

    /// What was waited for is done.
    pub fn open(&self) {
        self.end(GateState::Open);
    }

    /// What was waited for will not be done; without effect once it is.
    pub fn fail(&self) {
        self.end(GateState::Failed);
    }

    fn end(&self, end: GateState) {
        self.0.send_if_modified(|state| {
            let waits = *state == GateState::Shut;
            if waits {
                *state = end;
            }
            waits
        });
    }

    /// Waits until it is decided.
    pub async fn pass(&self) -> GateState {
        let mut receiver = self.0.subscribe();
        // The sender is ours, so the channel can't close.
        match receiver.wait_for(|state| *state != GateState::Shut).await {
            Ok(state) => *state,
            Err(_) => GateState::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_decided_stays_so() {
        let gate = Gate::default();
        assert_eq!(gate.pass().await, GateState::Open);
        gate.shut();
        gate.open();
        gate.fail();
        assert_eq!(gate.pass().await, GateState::Open);
        gate.shut();
        gate.fail();
        assert_eq!(gate.clone().pass().await, GateState::Failed);
    }
}
