//! Programs that a test runs: to their end, or beside it.
#![allow(dead_code)] // not every kind of program has its test yet

use std::io::{Read, Write};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a command ended, and what it printed.
#[derive(Debug, Clone)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything that the operator saw.
    pub fn all(&self) -> String {
        format!("exit code {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.all());
        self
    }

    /// Standard error must have this text in it.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is missing from:\n{}", self.all());
        self
    }

    /// Nothing that was printed has this text in it.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.all().contains(text), "{text:?} must not be in:\n{}", self.all());
        self
    }
}

/// A program that runs beside the test. It is killed when dropped.
pub struct Child {
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    stdout: Reader,
    stderr: Reader,
}

type Reader = (Arc<Mutex<Vec<u8>>>, Option<JoinHandle<()>>);

const LIMIT: Duration = Duration::from_secs(30);

impl Child {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = read(child.stdout.take().unwrap());
        let stderr = read(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    /// What it has printed so far on both streams.
    pub fn output(&self) -> String {
        let text = |reader: &Reader| String::from_utf8_lossy(&reader.0.lock().unwrap()).into_owned();
        text(&self.stdout) + &text(&self.stderr)
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn wait_for_output(&mut self, text: &str) {
        let start = Instant::now();
        while !self.output().contains(text) {
            let ended = self.child.try_wait().unwrap();
            // What it printed last may still be on its way.
            if let (Some(status), true) = (ended, start.elapsed() > Duration::from_secs(1)) {
                assert!(self.output().contains(text), "ended ({status}) before {text:?}:\n{}", self.output());
            }
            assert!(start.elapsed() < LIMIT, "waited in vain for {text:?} in:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn write(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it has ended, and with which exit code (-1 for a signal).
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Ran {
        self.wait_watching(LIMIT, |_| {})
    }

    /// Waits for its end, and shows its output to `watch` all the while.
    #[track_caller]
    pub fn wait_watching(mut self, limit: Duration, mut watch: impl FnMut(&str)) -> Ran {
        let start = Instant::now();
        let status = loop {
            watch(&self.output());
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < limit, "it does not end:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut take = |reader: fn(&mut Self) -> &mut Reader| {
            let reader = reader(&mut self);
            reader.1.take().unwrap().join().unwrap();
            String::from_utf8_lossy(&reader.0.lock().unwrap()).into_owned()
        };
        let (stdout, stderr) = (take(|this| &mut this.stdout), take(|this| &mut this.stderr));
        Ran { code: status.code(), stdout, stderr }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut stream: impl Read + Send + 'static) -> Reader {
    let read = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&read);
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            kept.lock().unwrap().extend(&buffer[..length]);
        }
    });
    (read, Some(thread))
}
