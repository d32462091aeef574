//! The SSH layer against a real sshd: one private server a test, on a port of its own, in a folder of its own.

mod authentication;
mod channels;
mod files;
mod host_keys;
mod link;
mod relay;
mod server;
