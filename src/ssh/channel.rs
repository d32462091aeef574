//! A channel whose output is always taken off the connection.
//!
//! The channels of a connection share one stream, and the reader of that stream waits for whoever a packet is for: one
//! channel that nobody reads stops all the others, and keepalives with them. So each channel has a task that reads it
//! as fast as it fills, into a queue in memory. What bounds the queue is [`Backlog`].

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::ending::{Ending, printable};
use super::error::{ChannelPurpose, SshError};
use super::process::{ExitStatus, Output};

/// What happens when output comes faster than it is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backlog {
    /// More than this many bytes unread is an error, and closes the channel.
    Fail(usize),
    /// Beyond this many bytes the channel, and so the whole connection, waits for the reader.
    HoldBack(usize),
}

/// What a shell ends with that finds no such program (POSIX.1-2017, Shell Command Language, 2.8.2).
const NOT_FOUND: u32 = 127;

/// How long an SFTP server may take from the end of its output to its own.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// SSH_EXTENDED_DATA_STDERR (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// What the queue holds.
#[derive(Debug)]
enum Event {
    Output(Output),
    /// Nothing more comes on standard output and standard error, though the channel may still take input.
    EndOfOutput,
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Received {
    queue: mpsc::UnboundedReceiver<Result<Event, SshError>>,
    level: Arc<Level>,
    said: Said,
    refused: Arc<AtomicBool>,
}

/// How many bytes are in the queue.
#[derive(Debug, Default)]
struct Level {
    bytes: AtomicUsize,
    lowered: Notify,
}

/// The writing end. Dropping it sends end-of-file.
#[derive(Debug)]
pub(super) struct Sending {
    half: Arc<ChannelWriteHalf<Msg>>,
    ended: Ended,
    // Dropped with this value, at which the task that reads the channel sends end-of-file.
    _eof_on_drop: oneshot::Sender<()>,
}

/// Tells when a channel has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended(watch::Receiver<bool>);

impl Ended {
    pub(super) async fn wait(&self) {
        let _ = self.0.clone().wait_for(|ended| *ended).await;
    }

    /// Whether it has, for a caller that may have noticed a little earlier.
    pub(super) async fn soon(&self) -> bool {
        tokio::time::timeout(Duration::from_secs(5), self.wait()).await.is_ok()
    }
}

/// Starts the task that reads a channel.
pub(super) fn drain(
    channel: Channel<Msg>,
    purpose: ChannelPurpose,
    backlog: Backlog,
    ending: Ending,
) -> (Sending, Received) {
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let (queue, received) = mpsc::unbounded_channel();
    let (ended_sender, ended) = watch::channel(false);
    let (eof_sender, eof) = oneshot::channel();
    let (level, said, refused) =
        (Arc::new(Level::default()), Said::default(), Arc::new(AtomicBool::new(false)));
    let drain = Drain {
        read,
        write: Arc::clone(&write),
        queue,
        level: Arc::clone(&level),
        purpose,
        backlog,
        ending,
        said: said.clone(),
        refused: Arc::clone(&refused),
        output_over: false,
    };
    tokio::spawn(async move {
        drain.run(eof).await;
        let _ = ended_sender.send(true);
    });
    (
        Sending { half: write, ended: Ended(ended), _eof_on_drop: eof_sender },
        Received { queue: received, level, said, refused },
    )
}

struct Drain {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    queue: mpsc::UnboundedSender<Result<Event, SshError>>,
    level: Arc<Level>,
    purpose: ChannelPurpose,
    backlog: Backlog,
    ending: Ending,
    said: Said,
    refused: Arc<AtomicBool>,
    /// Whether the other end has said that no more output comes.
    output_over: bool,
}

/// Whether a channel goes on.
enum Next {
    More,
    /// It was closed by the other end.
    Closed,
    /// Nobody is interested in it any more, or it broke its bounds.
    Abandon,
}

impl Drain {
    async fn run(mut self, mut eof: oneshot::Receiver<()>) {
        let mut input_open = true;
        loop {
            let full = matches!(self.backlog, Backlog::HoldBack(limit) if self.level.bytes.load(Ordering::Acquire) > limit);
            tokio::select! {
                () = self.queue.closed() => break,
                _ = &mut eof, if input_open => {
                    input_open = false;
                    let _ = self.write.eof().await;
                }
                () = self.level.lowered.notified(), if full => {}
                message = self.read.wait(), if !full => match self.handle(message).await {
                    Next::More => {}
                    Next::Closed => return,
                    Next::Abandon => break,
                },
            }
        }
        if matches!(self.purpose, ChannelPurpose::Sftp) && self.output_over {
            // Its reader goes with the output; how the server ended comes a moment later.
            let _ = tokio::time::timeout(LAST_WORDS, async {
                while let Next::More = {
                    let message = self.read.wait().await;
                    self.handle(message).await
                } {}
            })
            .await;
        }
        // russh hands over nothing of a channel that was closed from here, not even that the other end has closed it.
        let _ = self.write.close().await;
    }

    async fn handle(&mut self, message: Option<ChannelMsg>) -> Next {
        let output = match message {
            None => {
                let _ = self.queue.send(Err(self.ending.error().await));
                return Next::Closed;
            }
            Some(ChannelMsg::Close) => return Next::Closed,
            Some(ChannelMsg::Data { data }) => Output::Stdout(data.into()),
            Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => Output::Stderr(data.into()),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                // sshd throws away what a subsystem says on standard error; this is left.
                if exit_status == NOT_FOUND {
                    self.said.add(b"the program was not found (exit status 127)");
                }
                Output::Exit(ExitStatus::Code(exit_status))
            }
            Some(ChannelMsg::ExitSignal { signal_name, error_message, .. }) => {
                let name = match signal_name {
                    russh::Sig::Custom(name) => printable(&name),
                    known => format!("{known:?}"),
                };
                Output::Exit(ExitStatus::Signal { name, message: printable(&error_message) })
            }
            Some(ChannelMsg::Failure) => {
                self.refused.store(true, Ordering::Release);
                let _ = self.queue.send(Err(SshError::RequestRefused { purpose: self.purpose.clone() }));
                return Next::Abandon;
            }
            Some(ChannelMsg::Eof) => {
                self.output_over = true;
                return self.keep(Event::EndOfOutput);
            }
            Some(_) => return Next::More,
        };
        self.keep(Event::Output(output))
    }

    fn keep(&self, event: Event) -> Next {
        let cost = event.cost();
        let level = self.level.bytes.fetch_add(cost, Ordering::AcqRel) + cost;
        if let Backlog::Fail(limit) = self.backlog
            && level > limit
        {
            let _ = self.queue.send(Err(SshError::BacklogExceeded { limit }));
            return Next::Abandon;
        }
        let _ = self.queue.send(Ok(event));
        Next::More
    }
}

impl Event {
    /// About what it takes to keep one, whatever is in it. Without it a host that sends nothing, often, would fill the memory.
    const ITSELF: usize = 64;

    /// How much memory it takes.
    fn cost(&self) -> usize {
        let content = match self {
            Self::Output(Output::Stdout(bytes) | Output::Stderr(bytes)) => bytes.len(),
            Self::Output(Output::Exit(_)) | Self::EndOfOutput => 0,
        };
        Self::ITSELF + content
    }
}

impl Received {
    /// What comes next; `None` once the channel is closed.
    pub(super) async fn next(&mut self) -> Result<Option<Output>, SshError> {
        loop {
            match std::future::poll_fn(|context| self.poll_next(context)).await? {
                Some(Event::Output(output)) => return Ok(Some(output)),
                Some(Event::EndOfOutput) => {}
                None => return Ok(None),
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Event>, SshError>> {
        let Some(result) = ready!(self.queue.poll_recv(context)) else { return Poll::Ready(Ok(None)) };
        if let Ok(event) = &result {
            self.level.bytes.fetch_sub(event.cost(), Ordering::AcqRel);
            self.level.lowered.notify_one();
        }
        Poll::Ready(result.map(Some))
    }
}

impl Sending {
    /// Waits for room in the other end's window.
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), SshError> {
        tokio::select! {
            // russh waits for room for ever, even on a channel that is closed.
            () = self.ended.wait() => Err(SshError::InputClosed),
            written = self.half.data_bytes(bytes) => written.map_err(|_| SshError::InputClosed),
        }
    }

    pub(super) async fn eof(&mut self) {
        let _ = self.half.eof().await;
    }
}

/// A channel as a stream of bytes. Extended data is left out.
pub(super) struct ChannelIo {
    received: Received,
    unread: VecDeque<u8>,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    // Keeps the channel's input open.
    sending: Sending,
}

/// What a channel's program has said beside what it is there for: the beginning of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// What is kept.
    const LONGEST: usize = 2048;

    pub(super) fn add(&self, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::LONGEST.saturating_sub(said.len());
        said.extend(bytes.iter().take(room));
    }

    /// In one line.
    pub(super) fn text(&self) -> String {
        printable(&String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl ChannelIo {
    pub(super) fn new((sending, received): (Sending, Received)) -> Self {
        let ended = sending.ended.clone();
        Self {
            received,
            unread: VecDeque::new(),
            writer: Box::pin(sending.half.make_writer()),
            ended: Box::pin(async move { ended.wait().await }),
            sending,
        }
    }

    pub(super) fn said(&self) -> Said {
        self.received.said.clone()
    }

    pub(super) fn ended(&self) -> Ended {
        self.sending.ended.clone()
    }

    /// Set when the server would not start what was asked for: a reader further up may end without having seen that error.
    pub(super) fn refused(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.received.refused)
    }
}

impl std::fmt::Debug for ChannelIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelIo").finish_non_exhaustive()
    }
}

impl AsyncRead for ChannelIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.received.poll_next(cx)) {
                Ok(Some(Event::Output(Output::Stdout(bytes)))) => self.unread = bytes.into(),
                Ok(Some(Event::Output(Output::Stderr(bytes)))) => {
                    tracing::debug!("on standard error: {}", printable(&String::from_utf8_lossy(&bytes)));
                    self.received.said.add(&bytes);
                }
                Ok(Some(Event::Output(Output::Exit(_)))) => {}
                // A TCP connection whose other end has finished sending can still be sent to.
                Ok(Some(Event::EndOfOutput) | None) => return Poll::Ready(Ok(())),
                Err(error) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)));
                }
            }
        }
        let (front, _) = self.unread.as_slices();
        let count = front.len().min(buf.remaining());
        buf.put_slice(&front[..count]);
        self.unread.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // russh calls an empty write an error.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(written) = self.writer.as_mut().poll_write(cx, buf) {
            return Poll::Ready(written);
        }
        // And waits for room for ever, even on a channel that is closed. A finished future must not be polled again, so
        // a new one takes its place.
        ready!(self.ended.as_mut().poll(cx));
        self.ended = Box::pin(std::future::ready(()));
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_shutdown(cx)
    }
}
