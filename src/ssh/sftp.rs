//! One SFTP channel (draft-ietf-secsh-filexfer-02 with OpenSSH's extensions), and the small operations on files.
//!
//! Requests go out as soon as they are made and the server takes them in that order, so callers that want several in
//! one round trip just make them side by side. Uploads are in `upload`.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use russh_sftp::client::error::Error as RawError;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tokio::sync::Semaphore;

use super::channel::{ChannelIo, Ended, Said};
use super::ending::{Ending, printable};
use super::sftp_error::{SftpError, SftpErrorKind, SftpOperation};
use super::sftp_noise::AfterNoise;

/// How long answers may take from the end of a channel to whoever waits for them.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A server that has requests and answers none for this long is given up. Time-outs of single requests
/// would punish slow links, where many requests wait in line.
const STALL: Duration = Duration::from_secs(120);

/// What every server must take (draft-ietf-secsh-filexfer-02, section 3).
const MINIMUM_WRITE: u64 = 32 * 1024;

/// Larger writes are not worth their memory. It is also what OpenSSH allows.
const MAXIMUM_WRITE: u64 = 255 * 1024;

/// How much may be on its way to the server on one channel. sshd's window is 2 MiB; the rest keeps it full.
const IN_FLIGHT: usize = 4 << 20;

/// Files open at once. russh-sftp takes handles for UTF-8, and OpenSSH's 129th is not.
const OPEN_FILES: usize = 100;

/// The largest answer we take: a full read and its header.
const MAXIMUM_ANSWER: u32 = 272 * 1024;

/// One SFTP channel. Clones are the same channel, operations may run side by side, and every one names the path it
/// failed on.
#[derive(Clone)]
pub struct Sftp {
    pub(super) inner: Arc<SftpInner>,
}

pub(super) struct SftpInner {
    pub(super) raw: RawSftpSession,
    /// The longest write, in bytes.
    pub(super) write_length: u64,
    /// `fsync@openssh.com`
    pub(super) can_sync: bool,
    /// `copy-data`
    pub(super) can_copy: bool,
    /// Bytes that may still be sent.
    pub(super) in_flight: Semaphore,
    /// Files that may still be opened.
    pub(super) open_files: Semaphore,
    ended: Ended,
    ending: Ending,
    said: Said,
}

impl std::fmt::Debug for Sftp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sftp").field("write_length", &self.inner.write_length).finish_non_exhaustive()
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAttributes {
    /// In bytes.
    pub size: Option<u64>,
    /// Type and permission bits, as in `st_mode`.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Seconds since the epoch.
    pub modified: Option<u32>,
}

impl Sftp {
    /// Begins the protocol on a channel in which the subsystem has been asked for.
    pub(super) async fn start(io: ChannelIo, ending: Ending) -> Result<Self, SftpError> {
        let (ended, said) = (io.ended(), io.said());
        let io = AfterNoise::new(io, said.clone());
        let config = Config {
            max_packet_len: MAXIMUM_ANSWER,
            // Ours is by progress. This one is only in case that one has a hole.
            request_timeout_secs: 24 * 60 * 60,
            ..Config::default()
        };
        let mut inner = SftpInner {
            raw: RawSftpSession::new_with_config(io, config),
            write_length: MINIMUM_WRITE,
            can_sync: false,
            can_copy: false,
            in_flight: Semaphore::new(IN_FLIGHT),
            open_files: Semaphore::new(OPEN_FILES),
            ended,
            ending,
            said,
        };
        // The second is asked along with the first, whether the server knows it or not, to save a round trip.
        let (version, limits) = inner
            .within(SftpOperation::Start, "", async {
                Ok(futures::join!(inner.raw.init(), inner.raw.limits()))
            })
            .await?;
        let version = match version {
            Ok(version) => version,
            Err(error) => return Err(inner.failed(SftpOperation::Start, "", error).await),
        };
        inner.can_sync = version.extensions.contains_key("fsync@openssh.com");
        inner.can_copy = version.extensions.contains_key("copy-data");
        if let Ok(limits) = limits
            && limits.max_write_len > 0
        {
            inner.write_length = limits.max_write_len.min(MAXIMUM_WRITE);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a directory. `mode` is subject to the host's umask. One that exists already is a
    /// [`Failure`](SftpErrorKind::Failure) in OpenSSH's words.
    ///
    /// # Errors
    /// What the server said.
    pub async fn mkdir(&self, path: &str, mode: u32) -> Result<(), SftpError> {
        let attributes = FileAttributes { permissions: Some(mode), ..FileAttributes::empty() };
        self.inner.within(SftpOperation::MakeDirectory, path, self.inner.raw.mkdir(path, attributes)).await?;
        Ok(())
    }

    /// Makes sure of a directory and its mode, whatever the umask and whoever makes it. What stands in the way shows when
    /// something is put into it. One round trip, in which later requests can go along: servers take them in order.
    pub(super) async fn ensure_folder(&self, path: &str, mode: Option<u32>) {
        let attributes = || FileAttributes { permissions: mode.or(Some(0o700)), ..FileAttributes::empty() };
        let Sftp { inner } = self;
        let (made, set) = futures::join!(
            inner.within(SftpOperation::MakeDirectory, path, inner.raw.mkdir(path, attributes())),
            async {
                match mode {
                    Some(_) => {
                        let set = inner.raw.setstat(path, attributes());
                        inner.within(SftpOperation::MakeDirectory, path, set).await.map(drop)
                    }
                    None => Ok(()),
                }
            }
        );
        for error in [made.err(), set.err()].into_iter().flatten() {
            tracing::trace!("{path}: {error}");
        }
    }

    /// Replaces `to` by `from`, atomically (`posix-rename@openssh.com`). The protocol's own rename would refuse an
    /// existing target.
    ///
    /// # Errors
    /// What the server said.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), SftpError> {
        let mut arguments = Vec::new();
        push_string(&mut arguments, from);
        push_string(&mut arguments, to);
        let request = self.inner.extended("posix-rename@openssh.com", arguments);
        self.inner.within(SftpOperation::Rename, to, request).await
    }

    /// Removes a file or a symlink.
    ///
    /// # Errors
    /// What the server said.
    pub async fn remove(&self, path: &str) -> Result<(), SftpError> {
        self.inner.within(SftpOperation::Remove, path, self.inner.raw.remove(path)).await?;
        Ok(())
    }

    /// What a path is, after following symlinks; `None` when there is nothing.
    ///
    /// # Errors
    /// What the server said.
    pub async fn stat(&self, path: &str) -> Result<Option<RemoteAttributes>, SftpError> {
        match self.inner.within(SftpOperation::Stat, path, self.inner.raw.stat(path)).await {
            Ok(answer) => {
                let attributes = answer.attrs;
                Ok(Some(RemoteAttributes {
                    size: attributes.size,
                    mode: attributes.permissions,
                    uid: attributes.uid,
                    gid: attributes.gid,
                    modified: attributes.mtime,
                }))
            }
            Err(SftpError { kind: SftpErrorKind::NoSuchFile { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The whole of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// What the server said, or [`TooLarge`](SftpErrorKind::TooLarge).
    pub async fn read_small(&self, path: &str, limit: u64) -> Result<Vec<u8>, SftpError> {
        let inner = &self.inner;
        let _open = inner.open_files.acquire().await;
        let open = inner.raw.open(path, OpenFlags::READ, FileAttributes::empty());
        let handle = inner.within(SftpOperation::Open, path, open).await?.handle;
        let mut content = Vec::new();
        let result = loop {
            let read = inner.raw.read(handle.as_str(), content.len() as u64, MINIMUM_WRITE as u32);
            match inner.within(SftpOperation::Read, path, read).await {
                Ok(data) if data.data.is_empty() => break Ok(content),
                Ok(data) => content.extend(data.data),
                Err(SftpError { kind: SftpErrorKind::Status { code: 1, .. }, .. }) => break Ok(content),
                Err(error) => break Err(error),
            }
            if content.len() as u64 > limit {
                let kind = SftpErrorKind::TooLarge { limit };
                break Err(SftpError { operation: SftpOperation::Read, path: path.to_owned(), kind });
            }
        };
        let closed = inner.within(SftpOperation::Close, path, inner.raw.close(handle)).await;
        let content = result?;
        closed?;
        Ok(content)
    }
}

/// A string as the protocol has it. Paths and handles are far below 4 GiB.
fn push_string(arguments: &mut Vec<u8>, text: &str) {
    arguments.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    arguments.extend(text.as_bytes());
}

impl SftpInner {
    /// A request of an extension that answers with a status.
    async fn extended(&self, name: &str, arguments: Vec<u8>) -> Result<(), RawError> {
        match self.raw.extended(name, arguments).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(RawError::Status(status)),
            _ => Err(RawError::UnexpectedPacket),
        }
    }

    /// Copies a part of one open file to the same place in another. One that is shorter than that is no error.
    pub(super) async fn copy(&self, from: &str, to: &str, range: Range<u64>) -> Result<(), RawError> {
        let mut arguments = Vec::new();
        push_string(&mut arguments, from);
        arguments.extend(range.start.to_be_bytes());
        arguments.extend((range.end - range.start).to_be_bytes());
        push_string(&mut arguments, to);
        arguments.extend(range.start.to_be_bytes());
        self.extended("copy-data", arguments).await
    }

    /// Waits for the answer to a request, and puts a failure in our words.
    pub(super) async fn within<T>(
        &self,
        operation: SftpOperation,
        path: &str,
        request: impl Future<Output = Result<T, RawError>>,
    ) -> Result<T, SftpError> {
        match self.or_stalled(request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) | Err(error) => Err(self.failed(operation, path, error).await),
        }
    }

    /// What a future says that waits for an answer; an error when there is none for too long, or will be none.
    ///
    /// russh-sftp forgets a request that is made in the moment in which its channel ends.
    pub(super) async fn or_stalled<T>(&self, answer: impl Future<Output = T>) -> Result<T, RawError> {
        let ended = async {
            self.ended.wait().await;
            // What had come before the end is on its way to the one who waits.
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = ended => Err(RawError::UnexpectedBehavior("the channel ended".to_owned())),
            () = tokio::time::sleep(STALL) => Err(RawError::Timeout),
        }
    }

    pub(super) async fn failed(&self, operation: SftpOperation, path: &str, error: RawError) -> SftpError {
        let kind = match error {
            RawError::Status(status) => {
                let code = status.status_code;
                let mut message = printable(&status.error_message);
                if message.is_empty() {
                    message = code.to_string();
                }
                match code {
                    StatusCode::NoSuchFile => SftpErrorKind::NoSuchFile { message },
                    StatusCode::PermissionDenied => SftpErrorKind::PermissionDenied { message },
                    StatusCode::Failure => SftpErrorKind::Failure { message },
                    StatusCode::OpUnsupported => SftpErrorKind::Unsupported { message },
                    code => SftpErrorKind::Status { code: code as u32, message },
                }
            }
            RawError::Timeout => SftpErrorKind::Stalled { after: STALL },
            RawError::UnexpectedPacket => SftpErrorKind::Protocol {
                message: "an answer that does not belong to the request".to_owned(),
            },
            RawError::Limited(message) => SftpErrorKind::Protocol { message },
            // russh-sftp has no other way to say that there is nobody there any more.
            RawError::IO(message) | RawError::UnexpectedBehavior(message) => {
                if !self.ended.soon().await {
                    SftpErrorKind::Protocol { message }
                } else {
                    match self.ending.known_cause() {
                        Some(source) => SftpErrorKind::ConnectionLost { source },
                        None => SftpErrorKind::ServerEnded { said: self.said.text() },
                    }
                }
            }
        };
        SftpError { operation, path: path.to_owned(), kind }
    }
}
