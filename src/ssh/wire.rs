//! The bytes between here and an sshd, however they travel.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::ending::printable;

/// The longest line before the server's version (RFC 4253, section 4.2).
const OPENING: usize = 255;

/// How long the other end may take nothing of what is there for it. As long as it may leave questions whether it is there
/// unanswered: russh asks none while it waits to get rid of something.
pub(super) fn patience(keepalive_interval: Duration, keepalive_max: usize) -> Duration {
    let questions = u32::try_from(keepalive_max).unwrap_or(u32::MAX);
    keepalive_interval.saturating_mul(questions.saturating_add(1))
}

/// Something to speak SSH over: a TCP connection, a channel of a jump host, a program.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that can be ended from outside, that remembers how the other end began, and that fails when the other end has
/// stopped to take anything.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    shared: Arc<Shared>,
    patience: Duration,
    outgoing: Outgoing,
}

/// How what is sent gets on.
enum Outgoing {
    Moving,
    /// Nothing was taken since this began.
    Stuck(Pin<Box<Sleep>>),
    /// Nothing was taken for too long.
    GivenUp,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    reader: AtomicWaker,
    heard: AtomicBool,
    opening: Mutex<Vec<u8>>,
}

/// Ends the stream of a handshake that is given up. Dropping russh's future is not enough: its task would wait for a silent
/// server for ever.
pub(super) struct Grip {
    shared: Arc<Shared>,
    armed: bool,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>, patience: Duration) -> (Self, Grip) {
        let shared = Arc::new(Shared::default());
        let wire = Self { stream, shared: Arc::clone(&shared), patience, outgoing: Outgoing::Moving };
        (wire, Grip { shared, armed: true })
    }
}

/// What came from the other end before it named itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing.
    Silence,
    /// It speaks SSH.
    Ssh,
    /// It says something else: the first line.
    Words(String),
}

impl Grip {
    /// The stream may live on.
    pub(super) fn let_go(mut self) {
        self.armed = false;
    }

    /// How the other end began.
    pub(super) fn opening(&self) -> Opening {
        let bytes = self.shared.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        if text.lines().any(|line| line.starts_with("SSH-")) {
            return Opening::Ssh;
        }
        match text.lines().map(printable).find(|line| !line.is_empty()) {
            Some(line) => Opening::Words(line),
            None => Opening::Silence,
        }
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        if self.armed {
            self.shared.cut.store(true, Ordering::Release);
            self.shared.reader.wake();
        }
    }
}

impl Wire {
    /// What comes of an attempt to send something on: that of the stream, unless it has made no progress for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.outgoing = Outgoing::Moving;
            return sent;
        }
        let mut limit = match std::mem::replace(&mut self.outgoing, Outgoing::GivenUp) {
            Outgoing::Moving => Box::pin(sleep(self.patience)),
            Outgoing::Stuck(limit) => limit,
            Outgoing::GivenUp => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        };
        match limit.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => {
                self.outgoing = Outgoing::Stuck(limit);
                Poll::Pending
            }
        }
    }

    fn listen(&self, bytes: &[u8]) {
        if self.shared.heard.load(Ordering::Relaxed) {
            return;
        }
        let mut opening = self.shared.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let room = OPENING.saturating_sub(opening.len());
        opening.extend(bytes.iter().take(room));
        if opening.len() == OPENING || opening.windows(4).any(|word| word == b"SSH-") {
            self.shared.heard.store(true, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.reader.register(cx.waker());
        if self.shared.cut.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &read {
            self.listen(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.shared.cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut *self.stream).poll_write(cx, buf);
        self.in_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // russh says how a connection ended only after this, and who takes nothing takes no farewell.
        if matches!(self.outgoing, Outgoing::GivenUp) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_more_is_given_up() {
        let (here, mut there) = tokio::io::duplex(64);
        let (mut wire, _grip) = Wire::new(Box::new(here), PATIENCE);
        let begun = tokio::time::Instant::now();
        let sending = tokio::spawn(async move {
            let error = wire.write_all(&[0; 1000]).await.unwrap_err();
            // Neither is there a farewell to wait for.
            wire.shutdown().await.unwrap();
            error
        });
        // Slow, and there; and then neither.
        for _ in 0..5 {
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
            there.read_exact(&mut [0; 64]).await.unwrap();
        }
        let error = sending.await.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 5 * 59 + 60);
        drop(there);
    }

    #[test]
    fn patience_is_that_with_unanswered_questions() {
        assert_eq!(patience(Duration::from_secs(15), 3), PATIENCE);
        assert!(patience(Duration::from_secs(15), usize::MAX) > Duration::from_secs(u64::from(u32::MAX)));
    }

    #[tokio::test]
    async fn a_stream_that_is_given_up_ends_though_the_other_end_is_silent() {
        let (here, _there) = tokio::io::duplex(64);
        let (mut wire, grip) = Wire::new(Box::new(here), PATIENCE);
        let reading = tokio::spawn(async move { wire.read(&mut [0; 8]).await });
        tokio::task::yield_now().await;
        drop(grip);
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_is_let_go_lives_on() {
        let (here, mut there) = tokio::io::duplex(64);
        let (mut wire, grip) = Wire::new(Box::new(here), PATIENCE);
        grip.let_go();
        there.write_all(b"x").await.unwrap();
        assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_opening_tells_sshd_from_others() {
        for (said, expected) in [
            ("", Opening::Silence),
            ("SSH-2.0-x\r\n", Opening::Ssh),
            ("a line before\r\nSSH-2.0-x\r\n", Opening::Ssh),
            ("\r\nHTTP/1.1 400 Bad\x1b Request\r\nx", Opening::Words("HTTP/1.1 400 Bad  Request".into())),
        ] {
            let (here, mut there) = tokio::io::duplex(1024);
            let (mut wire, grip) = Wire::new(Box::new(here), PATIENCE);
            there.write_all(said.as_bytes()).await.unwrap();
            drop(there);
            wire.read_to_end(&mut Vec::new()).await.unwrap();
            assert_eq!(grip.opening(), expected);
        }
    }
}
