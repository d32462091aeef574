//! The bytes between here and an sshd, however they travel.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ending::printable;

/// The longest line before the server's version (RFC 4253, section 4.2).
const OPENING: usize = 255;

/// Something to speak SSH over: a TCP connection, a channel of a jump host, a program.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that can be ended from outside, and that remembers how the other end began.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    shared: Arc<Shared>,
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
    pub(super) fn new(stream: Box<dyn Stream>) -> (Self, Grip) {
        let shared = Arc::new(Shared::default());
        (Self { stream, shared: Arc::clone(&shared) }, Grip { shared, armed: true })
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
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_given_up_ends_though_the_other_end_is_silent() {
        let (here, _there) = tokio::io::duplex(64);
        let (mut wire, grip) = Wire::new(Box::new(here));
        let reading = tokio::spawn(async move { wire.read(&mut [0; 8]).await });
        tokio::task::yield_now().await;
        drop(grip);
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_is_let_go_lives_on() {
        let (here, mut there) = tokio::io::duplex(64);
        let (mut wire, grip) = Wire::new(Box::new(here));
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
            let (mut wire, grip) = Wire::new(Box::new(here));
            there.write_all(said.as_bytes()).await.unwrap();
            drop(there);
            wire.read_to_end(&mut Vec::new()).await.unwrap();
            assert_eq!(grip.opening(), expected);
        }
    }
}
