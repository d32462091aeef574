//! A verified, authenticated connection to a host: run a program, move files, reach a port.
//!
//! Responsible for everything between a [`Target`] and a byte stream: addresses, host keys, keys of the operator,
//! channels, time-outs. It is the only module that knows russh, and none of russh shows in what it gives out.
//! It does not know what the programs are, never prints, and asks the operator only through [`Prompt`].
//!
//! | file | idea |
//! | --- | --- |
//! | `options`, `target`, `prompt` | what a caller says |
//! | `connection` | from target to connection, and opening channels |
//! | `handshake`, `known_hosts`, `host_keys` | addresses, key exchange, whether to believe a host |
//! | `auth`, `candidates`, `agent`, `keyring` | logging in |
//! | `channel`, `process`, `forward` | what runs in a channel |
//! | `ending` | why a connection ended |
//! | `sftp`, `sftp_noise`, `upload` | files |
//! | `error`, `auth_failure`, `host_key_error`, `sftp_error`, `help` | what can go wrong, and what to do about it |

mod agent;
mod auth;
mod auth_failure;
mod candidates;
mod channel;
mod connection;
mod ending;
mod error;
mod fingerprint;
mod forward;
mod handshake;
mod help;
mod host_key_error;
mod host_keys;
mod keyring;
mod known_hosts;
mod options;
mod process;
mod prompt;
mod sftp;
mod sftp_error;
mod sftp_noise;
mod target;
mod upload;

pub use auth_failure::{Attempt, AttemptOutcome, AuthenticationFailure, KeySource};
pub use connection::{Connection, connect};
pub use error::{ChannelPurpose, ChannelRefusal, LostCause, SshError};
pub use fingerprint::Fingerprint;
pub use forward::Forward;
pub use host_key_error::{HostKeyError, KnownKey, Refusal};
pub use keyring::KeyRing;
pub use options::{ConnectOptions, KnownHostsFiles, UnknownHostKey};
pub use process::{Collected, Events, ExitStatus, Output, Process, Stdin};
pub use prompt::{Answer, HostKeyQuestion, Prompt, Prompter};
pub use sftp::{RemoteAttributes, Sftp};
pub use sftp_error::{SftpError, SftpErrorKind, SftpOperation};
pub use target::Target;
pub use upload::{Folder, Reuse, SftpPool, Source, Upload};
