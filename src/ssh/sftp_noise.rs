//! What a login shell prints before the SFTP server that it starts comes to speak.
//!
//! sshd has the login shell start sftp-server, so a `.bashrc` that prints does so into the protocol. OpenSSH's own sftp
//! gives up there; but the server's first packet is unlike any text, and so where it begins can be found.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::Said;

/// How much is passed over in search of the first packet.
const LONGEST: usize = 256 * 1024;

/// The type of SSH_FXP_VERSION (draft-ietf-secsh-filexfer-02, section 3).
const VERSION: u8 = 2;

/// A stream that begins with the first packet of an SFTP server, whatever came before.
#[derive(Debug)]
pub(super) struct AfterNoise<S> {
    stream: S,
    /// What was read in search of the packet; `None` once it has been found, or given up.
    searched: Option<Vec<u8>>,
    /// What is to be read before the stream goes on.
    unread: Vec<u8>,
    said: Said,
}

impl<S> AfterNoise<S> {
    /// What is passed over is added to what the channel's program has said.
    pub(super) fn new(stream: S, said: Said) -> Self {
        Self { stream, searched: Some(Vec::new()), unread: Vec::new(), said }
    }

    /// Ends the search where it need not go on. `over`: no more will come.
    fn search(&mut self, over: bool) {
        let Some(searched) = &self.searched else { return };
        match first_packet(searched) {
            Some(at) => {
                self.said.add(&searched[..at]);
                if at > 0 {
                    tracing::debug!(
                        "passed over {at} bytes that came before SFTP; the login shell's, it seems"
                    );
                }
                self.unread = searched[at..].to_vec();
            }
            None if over => self.said.add(searched),
            // It is what it is: the protocol's reader says so.
            None if searched.len() > LONGEST => self.unread = searched.clone(),
            None => return,
        }
        self.searched = None;
    }
}

/// Where a version packet begins: a length below 64 KiB, its type, a version from 3 to 6. No text has NUL bytes in it.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    bytes.windows(9).position(
        |window| matches!(window, [0, 0, high, low, VERSION, 0, 0, 0, 3..=6] if (*high, *low) >= (0, 5)),
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for AfterNoise<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.searched.is_some() {
            let mut room = [0; 4096];
            let mut part = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part));
            if let Some(searched) = &mut self.searched {
                searched.extend_from_slice(part.filled());
            }
            let over = read.is_err() || part.filled().is_empty();
            self.search(over);
            if over {
                return Poll::Ready(read);
            }
        }
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AfterNoise<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PACKET: &[u8] = &[0, 0, 0, 9, VERSION, 0, 0, 0, 3, 0, 0, 0, 0];

    /// What is read of a stream that comes in pieces, and what was passed over.
    fn read(stream: &[u8], piece: usize) -> (Vec<u8>, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut server, client) = tokio::io::duplex(piece);
            let stream = stream.to_vec();
            let writing = async move {
                server.write_all(&stream).await.unwrap();
            };
            let said = Said::default();
            let mut reader = AfterNoise::new(client, said.clone());
            let mut all = Vec::new();
            let (_, read) = tokio::join!(writing, reader.read_to_end(&mut all));
            read.unwrap();
            (all, said.text())
        })
    }

    #[test]
    fn a_server_that_never_comes_is_an_end_with_its_words() {
        assert_eq!(read(b"no such file\n", 7), (Vec::new(), "no such file".to_owned()));
        let endless = vec![b'x'; LONGEST + 1000];
        assert_eq!(read(&endless, 4096).0.len(), endless.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever text comes before, and in whatever pieces.
        #[test]
        fn a_stream_begins_with_its_first_packet(noise in "[^\0]{0,200}", piece in 1_usize..64, more in ".{0,40}") {
            let packets = [PACKET, more.as_bytes()].concat();
            let (read, said) = read(&[noise.as_bytes(), &packets].concat(), piece);
            prop_assert_eq!(read, packets);
            let clean = |text: &str| text.split(|c: char| c.is_whitespace() || c.is_control()).collect::<String>();
            prop_assert_eq!(clean(&said), clean(&noise));
        }
    }
}
