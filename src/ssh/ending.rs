//! How a connection ended, told to everybody who was using it.

use std::io;
use std::time::Duration;

use russh::client::DisconnectReason;
use tokio::sync::watch;

use super::error::{LostCause, SshError};

/// How long to wait for the reason once it is clear that a connection has ended: the two are found out by
/// different tasks.
const REASON_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    cause: Option<LostCause>,
    /// Whether the TCP connection is closed as well.
    over: bool,
}

/// Where the reason is written. The first one stands.
#[derive(Debug)]
pub(super) struct EndingWriter(watch::Sender<State>);

/// Where it is read.
#[derive(Debug, Clone)]
pub(super) struct Ending(watch::Receiver<State>);

pub(super) fn ending() -> (EndingWriter, Ending) {
    let (sender, receiver) = watch::channel(State::default());
    (EndingWriter(sender), Ending(receiver))
}

impl EndingWriter {
    /// The connection is about to end.
    pub(super) fn set(&self, cause: LostCause) {
        self.0.send_modify(|state| {
            state.cause.get_or_insert(cause);
        });
    }

    /// The connection has ended.
    pub(super) fn over(&self, cause: LostCause) {
        tracing::debug!("connection ended: {cause}");
        self.set(cause);
        self.0.send_modify(|state| state.over = true);
    }
}

impl Ending {
    /// Why the connection ended, for a caller that knows it has.
    pub(super) async fn cause(&self) -> LostCause {
        let mut receiver = self.0.clone();
        match tokio::time::timeout(REASON_WAIT, receiver.wait_for(|state| state.cause.is_some())).await {
            Ok(Ok(state)) => state.cause.clone().unwrap_or(LostCause::Closed),
            _ => LostCause::Closed,
        }
    }

    /// Why the connection ended, if it has.
    pub(super) fn known_cause(&self) -> Option<LostCause> {
        self.0.borrow().cause.clone()
    }

    /// Waits until the TCP connection is closed.
    pub(super) async fn socket_closed(&self) {
        let _ = self.0.clone().wait_for(|state| state.over).await;
    }

    pub(super) async fn error(&self) -> SshError {
        SshError::ConnectionLost { source: self.cause().await }
    }
}

/// In our words.
pub(super) fn lost_cause(reason: &DisconnectReason<russh::Error>) -> LostCause {
    match reason {
        DisconnectReason::ReceivedDisconnect(words) => {
            LostCause::Disconnected { message: printable(&words.message) }
        }
        DisconnectReason::Error(error) => error_cause(error),
    }
}

pub(super) fn error_cause(error: &russh::Error) -> LostCause {
    match error {
        russh::Error::HUP | russh::Error::Disconnect => LostCause::Closed,
        russh::Error::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => LostCause::Closed,
        // It was closed, and something was on its way there: a pipe to a ProxyCommand says so.
        russh::Error::IO(error) if error.kind() == io::ErrorKind::BrokenPipe => LostCause::Closed,
        // Nothing could be sent for too long: `Wire` says so of the other end, the system of the whole link.
        russh::Error::IO(error) if error.kind() == io::ErrorKind::TimedOut => LostCause::KeepaliveTimeout,
        russh::Error::IO(error) => LostCause::Network { kind: error.kind(), message: error.to_string() },
        russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => LostCause::KeepaliveTimeout,
        russh::Error::NoAuthMethod => {
            LostCause::Disconnected { message: "no way to log in is left".to_owned() }
        }
        other => LostCause::Protocol { message: other.to_string() },
    }
}

/// What a server says ends up on a terminal: no control characters.
pub(super) fn printable(words: &str) -> String {
    words.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
