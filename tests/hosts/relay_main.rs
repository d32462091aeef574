//! The relay of the tests as a program, for shell scripts and benchmarks.
//!
//! `cargo run --example relay -- --to IP:22 [--listen 127.0.0.1:0] [--delay-ms 25] [--bytes-per-second N]`
//! prints the port it listens on, and what has passed, as JSON, on SIGTERM or when the pipe on its standard input
//! is closed. (Only a pipe: a shell gives its background jobs /dev/null.)
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

mod relay;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;
use std::time::Duration;

use relay::{Link, Relay};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: relay --to ADDRESS [--listen ADDRESS] [--delay-ms N] [--bytes-per-second N]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let relay = match start(std::env::args().skip(1)) {
        Ok(relay) => relay,
        Err(message) => {
            eprintln!("error: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (mut term, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(interrupt)) => (term, interrupt),
        (Err(e), _) | (_, Err(e)) => {
            eprintln!("error: cannot wait for signals: {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", relay.port());
    let _ = io::stdout().flush();

    let (ended, end) = tokio::sync::oneshot::channel();
    let on_a_pipe = fs::metadata("/dev/stdin").is_ok_and(|stdin| stdin.file_type().is_fifo());
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        _ = end, if on_a_pipe => {}
    }
    println!("{}", relay.counts().to_json());
    let _ = io::stdout().flush();
    // The thread that reads standard input may still be blocked; returning from main ends it.
    ExitCode::SUCCESS
}

fn start(mut arguments: impl Iterator<Item = String>) -> Result<Relay, String> {
    let mut listen: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut target = None;
    let mut link = Link::default();
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
        let wrong = |e: &dyn std::fmt::Display| format!("{option} {value}: {e}");
        match option.as_str() {
            "--listen" => listen = value.parse().map_err(|e| wrong(&e))?,
            "--to" => target = Some(value.parse().map_err(|e| wrong(&e))?),
            "--delay-ms" => link.delay = Duration::from_millis(value.parse().map_err(|e| wrong(&e))?),
            "--bytes-per-second" => link.bandwidth = Some(value.parse().map_err(|e| wrong(&e))?),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    let target = target.ok_or("--to is missing")?;
    Relay::listen(listen, target, link).map_err(|e| format!("cannot listen on {listen}: {e}"))
}
