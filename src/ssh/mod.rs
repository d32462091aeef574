//! A verified, authenticated connection to a host: run a program, move files, reach a port.
//!
//! Responsible for everything between a [`Target`] and a byte stream: addresses, host keys, keys of the operator,
//! channels, time-outs. It is the only module that knows russh, and none of russh shows in what it gives out.
//! It does not know what the programs are, never prints, and asks the operator only through [`Prompt`].
//!
//! | file | idea |
//! | --- | --- |
//! | `options`, `target`, `prompt` | what a caller says |
//! | [`config`] | what ssh_config says |
//! | `routes`, `hop` | from a login as it is written to one that can be used, jump hosts and all |
//! | `connection` | from target to connection, and opening channels |
//! | `dial`, `eyeballs`, `proxy_command`, `wire`, `peer`, `pace` | getting a stream to the host |
//! | `handshake`, `host_key_algorithms`, `transport_algorithms`, `rsa_size` | key exchange |
//! | `known_hosts`, `host_keys`, `host_certificate`, `pinned_keys`, `revoked_keys`, `scan`, `pattern` | whether to believe a host |
//! | `auth`, `offer`, `answers`, `method` | logging in: which way next, by a key, by answers |
//! | `candidates`, `certificates`, `agent`, `keyring`, `key_text`, `signer`, `passwords`, `user_key_algorithms` | what there is to log in with |
//! | `channel`, `process`, `forward` | what runs in a channel |
//! | `child` | what runs on this machine |
//! | `ending` | why a connection ended |
//! | `sftp`, `sftp_noise`, `upload` | files |
//! | `fuzzing` | the readers of foreign text, for the fuzzer |
//! | `error`, `auth_failure`, `host_key_error`, `sftp_error`, `help` | what can go wrong, and what to do about it |

mod accepted_keys;
mod agent;
mod answers;
mod auth;
mod auth_failure;
mod candidates;
mod certificates;
mod channel;
mod child;
pub mod config;
mod connection;
mod dial;
mod ending;
mod error;
mod eyeballs;
mod fingerprint;
mod forward;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake;
mod help;
mod hop;
mod host_certificate;
mod host_key_algorithms;
mod host_key_error;
mod host_keys;
mod key_text;
mod keyring;
mod known_hosts;
mod method;
mod offer;
mod options;
mod pace;
mod passwords;
mod pattern;
mod peer;
mod pinned_keys;
mod process;
mod prompt;
mod proxy_command;
mod revoked_keys;
mod routes;
mod rsa_size;
mod scan;
mod sftp;
mod sftp_error;
mod sftp_noise;
mod signer;
mod target;
mod transport_algorithms;
mod upload;
mod user_key_algorithms;
mod wire;

pub use accepted_keys::AcceptedKeys;
pub use auth_failure::{Attempt, AttemptOutcome, AuthenticationFailure, Credential};
pub use certificates::CertificateFile;
pub use child::child;
pub use config::{ConfigError, Login, SshConfig};
pub use connection::{Connection, connect};
pub use error::{ChannelPurpose, ChannelRefusal, LostCause, SshError};
pub use fingerprint::Fingerprint;
pub use forward::Forward;
pub use hop::{Hop, Proxy};
pub use host_certificate::CertificateFlaw;
pub use host_key_error::{HostKeyError, KnownKey, Refusal, Unproved};
pub use key_text::{GivenKey, KEY_VARIABLE, KeyTextError, PASSPHRASE_VARIABLE};
pub use keyring::KeyRing;
pub use method::Method;
pub use options::{AgentKeys, ConnectOptions, HostKeyRules, KnownHostsFiles, UnknownHostKey};
pub use pace::Pace;
pub use passwords::Passwords;
pub use peer::Peer;
pub use pinned_keys::{PinnedKeys, PinnedKeysError, PinnedStanding};
pub use process::{Collected, Events, ExitStatus, Output, Process, Stdin};
pub use prompt::{Answer, Echo, HostKeyQuestion, LoginQuestion, Prompt, Prompter};
pub use routes::{Flags, Routes};
pub use scan::ScannedKey;
pub use sftp::{RemoteAttributes, Sftp};
pub use sftp_error::{SftpError, SftpErrorKind, SftpOperation};
pub use target::Target;
pub use transport_algorithms::TransportAlgorithms;
pub use upload::{Folder, Reuse, SftpPool, Source, Upload};
