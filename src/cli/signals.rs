//! Ctrl-C and SIGTERM: heard in one place, from the beginning to the end of the process, so that none gets lost between two
//! who listen. A run claims them, and decides what they mean; what nobody has claimed ends the command.
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// How long a question that was cut short may take to put the terminal in order.
const TIDYING: Duration = Duration::from_millis(500);

/// Those of this process. Every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Signals(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    /// How many there were.
    number: watch::Sender<u64>,
    claims: AtomicUsize,
    /// Whether there was one that nobody had claimed.
    unclaimed: AtomicBool,
    /// Held by a question that has changed the terminal's mode.
    terminal: Arc<Mutex<()>>,
}

impl Heard {
    fn take(&self) {
        if self.claims.load(Ordering::SeqCst) == 0 {
            self.unclaimed.store(true, Ordering::SeqCst);
        }
        self.number.send_modify(|number| *number += 1);
    }
}

impl Default for Signals {
    fn default() -> Self {
        let (number, _) = watch::channel(0);
        Self(Arc::new(Heard {
            number,
            claims: AtomicUsize::new(0),
            unclaimed: AtomicBool::new(false),
            terminal: Arc::default(),
        }))
    }
}

impl Signals {
    /// Begins to listen; until now either signal ends the process.
    pub(super) fn listen(&self) -> io::Result<()> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let heard = Arc::clone(&self.0);
        tokio::spawn(async move {
            loop {
                either(&mut interrupts, &mut terminations).await;
                heard.take();
            }
        });
        Ok(())
    }

    /// From now on they are for the holder of the claim.
    pub(super) fn claim(&self) -> Claim {
        self.0.claims.fetch_add(1, Ordering::SeqCst);
        let mut receiver = self.0.number.subscribe();
        let seen = *receiver.borrow_and_update();
        Claim { signals: self.clone(), receiver, seen }
    }

    /// Waits for one that nobody has claimed; and until no question has the terminal, so that it is left as it was found.
    pub(super) async fn unclaimed(&self) {
        let mut receiver = self.0.number.subscribe();
        // The sender is ours, so the channel can't close.
        while receiver.changed().await.is_ok() {
            if self.have_ended_it() {
                let _ = tokio::time::timeout(TIDYING, self.0.terminal.lock()).await;
                return;
            }
        }
    }

    /// Whether there was one that nobody had claimed: whatever else became of the command, that is why.
    pub(super) fn have_ended_it(&self) -> bool {
        self.0.unclaimed.load(Ordering::SeqCst)
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        *self.0.number.borrow()
    }

    /// Waits, in the calling thread, until there are more than so many: one is on its way.
    pub(super) fn await_more_than(&self, count: u64) {
        let begun = Instant::now();
        while self.count() <= count && begun.elapsed() < TIDYING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// For a question that changes the terminal's mode, for as long as it does. Called from a thread that may block, or is
    /// the only one that asks.
    pub(super) fn has_terminal(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.0.terminal).try_lock_owned().ok()
    }
}

/// All that come while it is held.
#[derive(Debug)]
pub(super) struct Claim {
    signals: Signals,
    receiver: watch::Receiver<u64>,
    seen: u64,
}

impl Claim {
    /// The next one; each counts.
    pub(super) async fn next(&mut self) {
        let seen = self.seen;
        let _ = self.receiver.wait_for(|number| *number > seen).await;
        self.seen += 1;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.signals.0.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_counts_for_a_claim_and_those_without_one_end_the_command() {
        let signals = Signals::default();
        let heard = |times: usize| (0..times).for_each(|_| signals.0.take());
        let mut claim = signals.claim();
        let command = tokio::spawn({
            let signals = signals.clone();
            async move { signals.unclaimed().await }
        });
        tokio::task::yield_now().await;
        heard(2);
        claim.next().await;
        claim.next().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), claim.next()).await.is_err());
        assert!(!command.is_finished() && !signals.have_ended_it());
        drop(claim);
        heard(1);
        command.await.unwrap();
        assert!(signals.have_ended_it());
    }
}
