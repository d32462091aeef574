//! Why a file operation failed, in the server's words.

use std::fmt;
use std::io;
use std::time::Duration;

use super::error::LostCause;

/// One operation on one path failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
pub struct SftpError {
    /// What was attempted.
    pub operation: SftpOperation,
    /// On which remote path.
    pub path: String,
    /// Why it failed.
    #[source]
    pub kind: SftpErrorKind,
}

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SftpOperation {
    /// Make a directory.
    MakeDirectory,
    /// Open or create a file.
    Open,
    /// Write to a file.
    Write,
    /// Copy to a file what another one on the server holds.
    Copy,
    /// Set its mode.
    SetMode,
    /// Make it durable.
    Sync,
    /// Close it, which is when some file systems report what went wrong before.
    Close,
    /// Read a file.
    Read,
    /// Look at its attributes.
    Stat,
    /// Rename it.
    Rename,
    /// Remove it.
    Remove,
    /// Begin the protocol; the path is empty.
    Start,
}

impl fmt::Display for SftpOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MakeDirectory => "make the directory",
            Self::Open => "open",
            Self::Write => "write",
            Self::Copy => "copy to",
            Self::SetMode => "set the mode of",
            Self::Sync => "sync",
            Self::Close => "close",
            Self::Read => "read",
            Self::Stat => "stat",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Start => "start SFTP",
        })
    }
}

/// The status codes of draft-ietf-secsh-filexfer-02, section 7, and what happens on the way there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SftpErrorKind {
    /// SSH_FX_NO_SUCH_FILE
    #[error("{message}")]
    NoSuchFile {
        /// The server's words.
        message: String,
    },
    /// SSH_FX_PERMISSION_DENIED
    #[error("{message}")]
    PermissionDenied {
        /// The server's words.
        message: String,
    },
    /// SSH_FX_FAILURE, which is all that OpenSSH says about a full disk, a quota or an existing directory.
    #[error("{message}")]
    Failure {
        /// The server's words, usually just "Failure".
        message: String,
    },
    /// SSH_FX_OP_UNSUPPORTED
    #[error("{message}")]
    Unsupported {
        /// The server's words.
        message: String,
    },
    /// Any other status.
    #[error("{message} (status {code})")]
    Status {
        /// The number.
        code: u32,
        /// The server's words.
        message: String,
    },
    /// The server stopped answering requests.
    #[error("no answer within {} s", after.as_secs_f32())]
    Stalled {
        /// How long it was given.
        after: Duration,
    },
    /// The SFTP server on the host ended, and the connection did not: it crashed, or there is none.
    #[error("the SFTP server on the host ended{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    ServerEnded {
        /// What came from the program in its place, in a line.
        said: String,
    },
    /// The connection is gone.
    #[error("the connection was lost")]
    ConnectionLost {
        /// Why.
        #[source]
        source: LostCause,
    },
    /// The server sent something that is no answer to what was asked.
    #[error("protocol error: {message}")]
    Protocol {
        /// What was wrong.
        message: String,
    },
    /// The local file could not be read, or is no longer as long as it was.
    #[error("cannot read the local file")]
    Source {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The remote file is larger than the reader is prepared to take.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
}
