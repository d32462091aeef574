//! Files on the host.

use std::fs::File;
use std::sync::Arc;

use super::sftp_error::SftpError;

/// One SFTP channel. Operations may run side by side.
#[derive(Debug, Clone)]
pub struct Sftp {}

/// Several SFTP channels of one connection, over which files are spread.
#[derive(Debug)]
pub struct SftpPool {}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Where to, on the host.
    pub path: String,
    /// Its permission bits, set whatever the umask is.
    pub mode: u32,
    /// What it holds.
    pub source: Source,
}

/// Where an upload's bytes come from. Memory taken by a file does not depend on its size.
#[derive(Debug, Clone)]
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
    /// Makes a directory. One that exists already is a
    /// [`Failure`](super::SftpErrorKind::Failure) in OpenSSH's words.
    ///
    /// # Errors
    /// What the server said.
    pub async fn mkdir(&self, path: &str, mode: u32) -> Result<(), SftpError> {
        let _ = (path, mode);
        todo!()
    }

    /// Creates a file, which must not exist yet, and returns when its bytes are on the host's disk.
    /// `progress` is told how many more bytes the host has taken.
    ///
    /// # Errors
    /// What the server said about the first request that failed. The remains of the file are left behind.
    pub async fn write_file(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        let _ = (upload, progress);
        todo!()
    }

    /// As [`Sftp::write_file`] for many files, which takes no longer than the bytes take: opens, writes
    /// and closes of different files are under way together.
    ///
    /// # Errors
    /// As there, for the first file that failed. Others may be complete, unfinished or missing.
    pub async fn write_files(
        &self,
        uploads: &[Upload],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), SftpError> {
        let _ = (uploads, progress);
        todo!()
    }

    /// Replaces `to` by `from`, atomically (`posix-rename@openssh.com`).
    ///
    /// # Errors
    /// What the server said.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), SftpError> {
        let _ = (from, to);
        todo!()
    }

    /// Removes a file or a symlink.
    ///
    /// # Errors
    /// What the server said.
    pub async fn remove(&self, path: &str) -> Result<(), SftpError> {
        let _ = path;
        todo!()
    }

    /// What a path is, after following symlinks; `None` when there is nothing.
    ///
    /// # Errors
    /// What the server said.
    pub async fn stat(&self, path: &str) -> Result<Option<RemoteAttributes>, SftpError> {
        let _ = path;
        todo!()
    }

    /// The whole of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// What the server said, or [`TooLarge`](super::SftpErrorKind::TooLarge).
    pub async fn read_small(&self, path: &str, limit: u64) -> Result<Vec<u8>, SftpError> {
        let _ = (path, limit);
        todo!()
    }
}

impl SftpPool {
    /// How many channels the server granted; at least one.
    pub fn channels(&self) -> usize {
        todo!()
    }

    /// Any one of the channels, for small operations.
    pub fn first(&self) -> &Sftp {
        todo!()
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
        let _ = (uploads, progress);
        todo!()
    }
}
