//! The SSH layer against a real sshd: one private server a test, on a port of its own, in a folder of its own.
// clippy.toml allows these in tests, which clippy takes to mean functions marked as such, and not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod addresses;
mod appended;
mod authentication;
mod certificates;
mod channels;
mod crowd;
mod factors;
mod files;
mod gate;
mod host_keys;
mod jump;
mod link;
mod parity;
mod parity_site;
mod pinned;
mod proxy_command;
mod relay;
mod secrets;
mod server;
mod situations;
mod token;
mod wrong_key;
