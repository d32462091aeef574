//! What a program on the operator's machine writes, line by line.
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::process::Stdio;

use tokio::sync::oneshot;

use crate::manifest::HookPoint;
use crate::report::{EventKind, Events};

/// How many of the last lines are kept for a failure.
const KEPT_LINES: usize = 10;

/// A line that is longer than this is told of in pieces.
const LONGEST_LINE: u64 = 8 << 10;

/// The output of a hook: standard output and standard error by one pipe, so that their lines stay in order.
pub(super) struct HookOutput {
    writer: PipeWriter,
    mark: String,
    said: oneshot::Receiver<Vec<String>>,
}

impl HookOutput {
    /// A pipe, and a thread that tells of what comes out of it.
    pub(super) fn open(when: HookPoint, events: &Events) -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let mark = format!("hook-ended-{random:016x}");
        let (reader, writer) = io::pipe()?;
        let (sender, said) = oneshot::channel();
        let (events, end) = (events.clone(), mark.clone());
        // Not one of tokio's, which are waited for: what a hook leaves behind may hold the pipe open for ever.
        std::thread::Builder::new().name("hook output".to_owned()).spawn(move || {
            let tell = |line| events.send(EventKind::LocalHookSaid { when, line });
            let mut reader = BufReader::new(reader);
            // Nobody waits any more: nothing is left to be told.
            let _ = sender.send(read_lines(&mut reader, &end, tell));
            // It must not be stopped by a pipe that nobody reads.
            let _ = io::copy(&mut reader, &mut io::sink());
        })?;
        Ok(Self { writer, mark, said })
    }

    /// One end for a program to write to.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        self.writer.try_clone().map(Stdio::from)
    }

    /// Waits until all that was written has been told of. Returns the last lines of it.
    ///
    /// The end is a line of its own: a process that the hook leaves behind keeps the pipe open.
    pub(super) async fn close(self) -> Vec<String> {
        let Self { mut writer, mark, said } = self;
        if writeln!(writer, "\n{mark}").is_err() {
            return Vec::new();
        }
        drop(writer);
        said.await.unwrap_or_default()
    }
}

/// Tells of every line up to the mark. Returns the last ones.
fn read_lines(reader: &mut BufReader<PipeReader>, mark: &str, tell: impl Fn(String)) -> Vec<String> {
    let mut last = Vec::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        if text == mark {
            return last;
        }
        // Of a line that was drawn over and over, what stood there in the end.
        let line = text.rsplit('\r').next().unwrap_or_default();
        if !line.is_empty() {
            if last.len() == KEPT_LINES {
                last.remove(0);
            }
            last.push(line.to_owned());
            tell(line.to_owned());
        }
    }
}
