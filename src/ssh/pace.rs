//! How many handshakes with one sshd may be under way at a time.
//!
//! sshd counts connections that have not logged in yet, and turns new ones away once there are too many: from ten on some,
//! from a hundred on all (`MaxStartups 10:30:100`). A run with many hosts behind one name must stay below that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Half of what sshd takes from everybody together: others log in as well, and it notices a login only a little after the
/// one who has logged in.
const AT_ONCE: usize = 5;

/// Shared by all connections of a run.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    doors: Arc<Mutex<HashMap<Door, Arc<Semaphore>>>>,
}

/// What handshakes queue up before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Door {
    /// One sshd, as seen from here or from the last jump host.
    Sshd { from: Option<String>, host: String, port: u16 },
    /// A ProxyCommand, which may log in at one and the same host whatever it is to lead to.
    Command(String),
}

/// The right to be at it. It lasts until login, which is when sshd stops counting.
pub(super) struct Turn(Option<OwnedSemaphorePermit>);

impl Pace {
    /// Waits until there are few enough.
    pub(super) async fn turn(&self, door: Door) -> Turn {
        let semaphore = {
            let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(doors.entry(door).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        // It is never closed.
        Turn(semaphore.acquire_owned().await.ok())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_so_many_at_a_time_and_each_sshd_for_itself() {
        let pace = Pace::default();
        let door = |port| Door::Sshd { from: None, host: "web1".into(), port };
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(pace.turn(door(22)).await);
        }
        let next = tokio::spawn({
            let (pace, door) = (pace.clone(), door(22));
            async move { pace.turn(door).await }
        });
        pace.turn(door(2222)).await;
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        turns.pop();
        next.await.unwrap();
    }
}
