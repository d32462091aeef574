//! Sending files, as fast as the link takes them.
//!
//! A file is cut into writes that are sent without waiting for answers, up to a bound in bytes for each channel, and the
//! requests that finish it follow in the same flight. A large file is spread over several channels, since
//! what one channel can have on its way is bounded by the server's window. Memory taken is what is on its way, not
//! what there is to send.

use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use russh_sftp::client::error::Error as RawError;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use tokio::sync::SemaphorePermit;

use super::sftp::{Sftp, SftpInner};
use super::sftp_error::{SftpError, SftpErrorKind, SftpOperation};

/// Files smaller than this go over one channel: what it can have on its way is enough for them.
const STRIPED_FROM: u64 = 2 << 20;

/// How much is sent at once where most of the file is copied: about as much as is left out at once.
const PATCH: u64 = 64 << 10;

/// How many files are under way at once.
const FILES_AT_ONCE: usize = 32;

/// A folder to be made.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where, on the host.
    pub path: String,
    /// Its permission bits, set whatever the umask is. `None` for one that may be there already, and is left as it is: a
    /// new one is the user's alone (0700, as the XDG Base Directory Specification wants it).
    pub mode: Option<u32>,
}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Where to, on the host.
    pub path: String,
    /// Its permission bits, set whatever the umask is. The file never has more than these.
    pub mode: u32,
    /// What it holds.
    pub source: Source,
    /// What of it another file on the server holds already.
    pub reuse: Option<Reuse>,
}

/// Parts of a file that need not be sent, since the server can copy them (`copy-data`, OpenSSH 9.0). Where it cannot,
/// all is sent. The caller sees to it that the file is right in the end: the other one may have changed.
#[derive(Debug, Clone)]
pub struct Reuse {
    /// The file on the server that has them.
    pub path: String,
    /// Which parts; they are in the same places in both.
    pub ranges: Vec<Range<u64>>,
}

/// Where an upload's bytes come from.
#[derive(Clone)]
pub enum Source {
    /// The first `size` bytes of a local file. It is an error when it has become shorter.
    File {
        /// Opened for reading.
        file: Arc<File>,
        /// In bytes.
        size: u64,
    },
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
}

/// What the bytes are may be a secret.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({} bytes)", self.size())
    }
}

impl Source {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    async fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let length = usize::try_from(length).map_err(too_large)?;
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).map_err(too_large)?;
                let part = bytes.get(start..).and_then(|rest| rest.get(..length));
                part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Self::File { file, .. } => {
                let file = Arc::clone(file);
                let read = move || {
                    let mut buffer = vec![0; length];
                    file.read_exact_at(&mut buffer, offset)?;
                    Ok(buffer)
                };
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
            }
        }
    }
}

/// Several SFTP channels of one connection, over which files are spread.
#[derive(Debug)]
pub struct SftpPool {
    /// Never empty.
    channels: Vec<Sftp>,
}

impl SftpPool {
    /// At least one channel must be given.
    pub(super) fn new(first: Sftp, others: impl IntoIterator<Item = Sftp>) -> Self {
        Self { channels: std::iter::once(first).chain(others).collect() }
    }

    /// How many channels the server granted; at least one.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// One of the channels, for small operations.
    pub fn first(&self) -> &Sftp {
        &self.channels[0]
    }

    /// As [`Sftp::write_files`], with large files striped over all channels.
    ///
    /// # Errors
    /// As there.
    pub async fn write_files(
        &self,
        uploads: &[Upload],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        write_all(&self.channels, uploads, progress).await
    }

    /// As [`SftpPool::write_files`], with the folders that the files go into, outer ones first. These cost no round trip
    /// of their own.
    ///
    /// # Errors
    /// As there; also where a folder could not be made.
    pub async fn write_tree(
        &self,
        folders: &[Folder],
        uploads: &[Upload],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        let first = &self.channels[0];
        let make = folders.iter().map(|folder| first.ensure_folder(&folder.path, folder.mode));
        let make = futures::future::join_all(make);
        if self.channels.len() == 1 {
            // The order in which they are polled first is the order in which the requests go out.
            futures::join!(make, write_all(&self.channels, uploads, progress)).1
        } else {
            // Another channel might open a file before there is a folder for it.
            make.await;
            write_all(&self.channels, uploads, progress).await
        }
    }
}

impl Sftp {
    /// Creates a file, which must not exist yet, and returns when its bytes are on the host's disk (where the
    /// server has `fsync@openssh.com`). `progress` is told how many more bytes the host has taken. Two round trips, and
    /// what the bytes take.
    ///
    /// # Errors
    /// What the server said about the first request that failed. The remains of the file are left behind.
    pub async fn write_file(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        write_one(std::slice::from_ref(self), upload, progress).await
    }

    /// As [`Sftp::write_file`] for many files, which are under way together.
    ///
    /// # Errors
    /// As there, for the first file that failed. Others may be complete, unfinished or missing.
    pub async fn write_files(
        &self,
        uploads: &[Upload],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        write_all(std::slice::from_ref(self), uploads, progress).await
    }
}

async fn write_all(
    channels: &[Sftp],
    uploads: &[Upload],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), SftpError> {
    // Boxed one by one: through a closure's lifetimes the compiler can't see that the whole is `Send` (rust#102211).
    let mut writes: Vec<Result<BoxFuture<'_, _>, SftpError>> = Vec::with_capacity(uploads.len());
    for (index, upload) in uploads.iter().enumerate() {
        let channels = if upload.source.size() >= STRIPED_FROM {
            channels
        } else {
            std::slice::from_ref(&channels[index % channels.len()])
        };
        writes.push(Ok(Box::pin(write_one(channels, upload, progress))));
    }
    futures::stream::iter(writes).try_buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await
}

async fn write_one(
    channels: &[Sftp],
    upload: &Upload,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), SftpError> {
    let first = Stripe { channel: &channels[0].inner, upload, progress };
    if let Some(reuse) = upload.reuse.as_ref().filter(|_| first.channel.can_copy) {
        match patch_one(&channels[0], upload, reuse, progress).await {
            Err(error @ SftpError { operation: SftpOperation::Copy, .. }) => {
                tracing::debug!("{error}, so all of it is sent: {}", error.kind);
                channels[0].remove(&upload.path).await?;
            }
            done => return done,
        }
    }
    let create = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
    let attributes = FileAttributes { permissions: Some(upload.mode), ..FileAttributes::empty() };
    let opened = first.open(create, attributes).await?;
    let pieces = Pieces::all(upload, first.channel.write_length);
    // The first stripe is under way while the others open the file that it has made.
    let mut others: Vec<BoxFuture<'_, Result<(), SftpError>>> = Vec::new();
    for channel in &channels[1..] {
        let stripe = Stripe { channel: &channel.inner, upload, progress };
        let pieces = &pieces;
        others.push(Box::pin(async move {
            let opened = stripe.open(OpenFlags::WRITE, FileAttributes::empty()).await?;
            stripe.send(opened, pieces, Role::Helper, None).await
        }));
    }
    futures::try_join!(
        first.send(opened, &pieces, Role::Owner, None),
        futures::future::try_join_all(others)
    )?;
    Ok(())
}

/// Writes a file of which the server has a part already: copies that, and sends the rest. A failed copy is an error of
/// the operation [`SftpOperation::Copy`].
async fn patch_one(
    channel: &Sftp,
    upload: &Upload,
    reuse: &Reuse,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), SftpError> {
    let inner = &channel.inner;
    let stripe = Stripe { channel: inner, upload, progress };
    let create = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
    let attributes = FileAttributes { permissions: Some(upload.mode), ..FileAttributes::empty() };
    let source = inner.raw.open(reuse.path.as_str(), OpenFlags::READ, FileAttributes::empty());
    let (opened, source) = futures::join!(
        stripe.open(create, attributes),
        inner.within(SftpOperation::Copy, &upload.path, source)
    );
    let (opened, source) = match (opened, source) {
        (Ok(opened), Ok(source)) => (opened, source.handle),
        (Err(error), source) => {
            if let Ok(source) = source {
                let close = inner.raw.close(source.handle);
                let _ = inner.within(SftpOperation::Close, &upload.path, close).await;
            }
            return Err(error);
        }
        (Ok(opened), Err(error)) => {
            let close = inner.raw.close(opened.handle);
            let _ = inner.within(SftpOperation::Close, &upload.path, close).await;
            return Err(error);
        }
    };
    let pieces =
        Pieces { left_out: reuse.ranges.clone(), ..Pieces::all(upload, PATCH.min(inner.write_length)) };
    let copies = Copies { source: &source, ranges: &reuse.ranges };
    stripe.send(opened, &pieces, Role::Owner, Some(copies)).await
}

/// The pieces of a file that are still to be sent.
struct Pieces {
    next: AtomicU64,
    length: u64,
    size: u64,
    left_out: Vec<Range<u64>>,
}

impl Pieces {
    fn all(upload: &Upload, length: u64) -> Self {
        Self { next: AtomicU64::new(0), length, size: upload.source.size(), left_out: Vec::new() }
    }

    /// The next one that is not left out as a whole.
    fn take(&self) -> Option<Range<u64>> {
        loop {
            let start = self.next.fetch_add(self.length, Ordering::Relaxed);
            if start >= self.size {
                return None;
            }
            let piece = start..self.size.min(start + self.length);
            if !self.left_out.iter().any(|range| range.start <= piece.start && piece.end <= range.end) {
                return Some(piece);
            }
        }
    }
}

/// What is copied on the server.
#[derive(Clone, Copy)]
struct Copies<'b> {
    source: &'b str,
    ranges: &'b [Range<u64>],
}

/// What one channel does for one file.
#[derive(Clone, Copy)]
struct Stripe<'a> {
    channel: &'a SftpInner,
    upload: &'a Upload,
    progress: &'a (dyn Fn(u64) + Sync),
}

/// A handle, and the right to have it open.
struct Opened<'a> {
    handle: String,
    _permit: Option<SemaphorePermit<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Made the file and sets its mode.
    Owner,
    Helper,
}

/// A request under way: what it is, and how many bytes it carries.
type Request<'a> = Pin<Box<dyn Future<Output = (SftpOperation, u64, Result<(), RawError>)> + Send + 'a>>;

impl<'a> Stripe<'a> {
    async fn open(self, flags: OpenFlags, attributes: FileAttributes) -> Result<Opened<'a>, SftpError> {
        // An error would mean that the semaphore is closed, which it never is.
        let permit = self.channel.open_files.acquire().await.ok();
        let open = self.channel.raw.open(self.upload.path.as_str(), flags, attributes);
        let answer = self.channel.within(SftpOperation::Open, &self.upload.path, open).await?;
        Ok(Opened { handle: answer.handle, _permit: permit })
    }

    /// Has the server copy what it can, sends pieces of the file until there are none, and finishes.
    async fn send(
        self,
        opened: Opened<'a>,
        pieces: &Pieces,
        role: Role,
        copies: Option<Copies<'_>>,
    ) -> Result<(), SftpError> {
        let mut under_way: FuturesUnordered<Request<'_>> = FuturesUnordered::new();
        for range in copies.iter().flat_map(|copies| copies.ranges) {
            let source = copies.map(|copies| copies.source).unwrap_or_default();
            push(&mut under_way, self.copy(source, &opened.handle, range.clone())).await;
        }
        let sent = self.send_pieces(&opened.handle, pieces, &mut under_way).await;
        if sent.is_ok() {
            self.finish(&opened.handle, role, &mut under_way).await;
        } else {
            // The answers do not matter any more, but the server should not keep the file open.
            push(&mut under_way, self.close(&opened.handle)).await;
        }
        if let Some(copies) = copies {
            push(&mut under_way, self.close(copies.source)).await;
        }
        let mut result = sent;
        // Who has stalled once is not waited for again.
        while !matches!(&result, Err(SftpError { kind: SftpErrorKind::Stalled { .. }, .. })) {
            let Some(answered) = self.answer(&mut under_way).await else { break };
            if result.is_ok() {
                result = answered;
            }
        }
        result
    }

    async fn send_pieces<'b>(
        self,
        handle: &'b str,
        pieces: &Pieces,
        under_way: &mut FuturesUnordered<Request<'b>>,
    ) -> Result<(), SftpError>
    where
        'a: 'b,
    {
        loop {
            // Room first, then a piece: a stripe that has to wait must not sit on a piece that another could send.
            let permit = self.room(pieces.length, under_way).await?;
            let Some(piece) = pieces.take() else { return Ok(()) };
            let (offset, length) = (piece.start, piece.end - piece.start);
            let data = self.upload.source.read(offset, length).await.map_err(|source| SftpError {
                operation: SftpOperation::Write,
                path: self.upload.path.clone(),
                kind: SftpErrorKind::Source { source },
            })?;
            let write = async move {
                let written = self.channel.raw.write(handle, offset, data).await;
                drop(permit);
                (SftpOperation::Write, length, written.map(drop))
            };
            push(under_way, Box::pin(write)).await;
        }
    }

    /// Waits until `bytes` more may be on their way, taking answers in the meantime.
    async fn room(
        self,
        bytes: u64,
        under_way: &mut FuturesUnordered<Request<'_>>,
    ) -> Result<Option<SemaphorePermit<'a>>, SftpError> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        loop {
            if let Ok(permit) = self.channel.in_flight.try_acquire_many(permits) {
                return Ok(Some(permit));
            }
            tokio::select! {
                permit = self.channel.in_flight.acquire_many(permits) => return Ok(permit.ok()),
                Some(answered) = self.answer(under_way) => answered?,
            }
        }
    }

    /// Sends what comes after the last write, without waiting for that one's answer.
    async fn finish<'b>(self, handle: &'b str, role: Role, under_way: &mut FuturesUnordered<Request<'b>>)
    where
        'a: 'b,
    {
        if role == Role::Owner {
            let attributes =
                FileAttributes { permissions: Some(self.upload.mode), ..FileAttributes::empty() };
            push(
                under_way,
                Box::pin(async move {
                    let set = self.channel.raw.fsetstat(handle, attributes).await;
                    (SftpOperation::SetMode, 0, set.map(drop))
                }),
            )
            .await;
        }
        if self.channel.can_sync {
            // Every stripe sees to its own writes.
            push(
                under_way,
                Box::pin(
                    async move { (SftpOperation::Sync, 0, self.channel.raw.fsync(handle).await.map(drop)) },
                ),
            )
            .await;
        }
        push(under_way, self.close(handle)).await;
    }

    fn copy<'b>(self, source: &'b str, handle: &'b str, range: Range<u64>) -> Request<'b>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let length = range.end - range.start;
            (SftpOperation::Copy, length, self.channel.copy(source, handle, range).await)
        })
    }

    fn close<'b>(self, handle: &'b str) -> Request<'b>
    where
        'a: 'b,
    {
        Box::pin(async move { (SftpOperation::Close, 0, self.channel.raw.close(handle).await.map(drop)) })
    }

    /// The next answer; `None` when nothing is under way.
    async fn answer(self, under_way: &mut FuturesUnordered<Request<'_>>) -> Option<Result<(), SftpError>> {
        let path = &self.upload.path;
        let answer = match self.channel.or_stalled(under_way.next()).await {
            Ok(answer) => answer,
            Err(error) => return Some(Err(self.channel.failed(SftpOperation::Write, path, error).await)),
        };
        let (operation, bytes, result) = answer?;
        Some(match result {
            Ok(()) => {
                if bytes > 0 {
                    (self.progress)(bytes);
                }
                Ok(())
            }
            Err(error) => Err(self.channel.failed(operation, path, error).await),
        })
    }
}

/// russh-sftp sends a request when its future is first polled, and the order of requests matters. So that is done here,
/// and not left to the order in which the set polls.
async fn push<'b>(under_way: &mut FuturesUnordered<Request<'b>>, mut request: Request<'b>) {
    match futures::poll!(request.as_mut()) {
        std::task::Poll::Pending => under_way.push(request),
        std::task::Poll::Ready(done) => under_way.push(Box::pin(std::future::ready(done))),
    }
}
