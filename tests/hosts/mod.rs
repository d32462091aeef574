//! Real hosts for tests, and users on them.
//!
//! - [`TestUser::new`]: a fresh Linux user on the host that all tests share. What most tests want.
//! - [`OwnHost::boot`]: a host of its own, for a test that breaks it or needs a small disk.
//! - [`TestUser::behind`]: another sshd on the host, with its own configuration, or dropbear.
//! - [`relay`]: a network between the two that is slow, narrow, cut or silent.
//!
//! A host is a systemd-nspawn container, made by `hosts.sh`; `make test` boots the shared one. With
//! `SHIPIT_TEST_HOST=user@host[:port]` the tests run against that machine as that user. What such a machine cannot
//! offer is `None`, and a line on standard error says that the test was skipped:
//!
//! ```ignore
//! let Some(user) = TestUser::new(UserOptions::default()) else { return };
//! let home = user.run("pwd");
//! ```
#![allow(dead_code, unused_imports, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod machine;
pub mod relay;
mod sshd;
mod user;

pub use machine::{HostOptions, Machine, OwnHost, SharedHost, Tree, python_program};
pub use sshd::Server;
pub use user::{Lingering, Shell, Sudo, TestUser, UserOptions};

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Eight random hex digits.
pub fn random_id() -> String {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the kernel has random bytes");
    format!("{:08x}", u32::from_ne_bytes(bytes))
}

/// Waits until `condition` holds, and fails the test, naming `what`, when it still does not after `limit`.
#[track_caller]
pub fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says that a test does nothing. Goes past the capture of test output: a skipped test must be seen.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Runs a command with `script` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, script: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let script = script.to_owned();
    // Beside reading, so that neither side waits for the other. A program may end without having read it all.
    let writing = std::thread::spawn(move || drop(stdin.write_all(script.as_bytes())));
    let output = child.wait_with_output().expect("the output can be read");
    let _ = writing.join();
    output
}

/// The standard output of a program that must have succeeded.
#[track_caller]
pub(crate) fn stdout_of(output: &Output, script: &str) -> String {
    assert!(
        output.status.success(),
        "{}\nscript:\n{script}\nstdout:\n{}\nstderr:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
