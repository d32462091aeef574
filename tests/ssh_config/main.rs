//! What is read from ssh_config(5), against the ssh of this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod asking_ssh;
mod corpus;
mod generate;
mod oracle;
mod parity;
mod situation;
