//! What a program on the operator's machine writes, line by line.
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::process::Stdio;

use tokio::sync::oneshot;

use crate::manifest::HookPoint;
use crate::report::{EventKind, Events, Mask};

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
    pub(super) fn open(when: HookPoint, events: &Events, mask: &Mask) -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let mark = format!("hook-ended-{random:016x}");
        let (reader, writer) = io::pipe()?;
        let (sender, said) = oneshot::channel();
        let (events, end, mask) = (events.clone(), mark.clone(), mask.clone());
        // Not one of tokio's, which are waited for: what a hook leaves behind may hold the pipe open for ever.
        std::thread::Builder::new().name("hook output".to_owned()).spawn(move || {
            let tell = |line| events.send(EventKind::LocalHookSaid { when, line });
            let mut reader = BufReader::new(reader);
            // Nobody waits any more: nothing is left to be told.
            let _ = sender.send(read_lines(&mut reader, &end, &mask, tell));
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

/// Tells of every line up to the mark. Returns the last ones. What is hidden is hidden here where a line is told of in
/// pieces: later, half of a secret would not be known for one.
fn read_lines(
    reader: &mut BufReader<impl Read>,
    mark: &str,
    mask: &Mask,
    tell: impl Fn(String),
) -> Vec<String> {
    let mut last = Vec::new();
    let mut pieces = mask.stream();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let mut shown = pieces.push(&bytes);
        if bytes.ends_with(b"\n") {
            shown.extend(pieces.finish());
        }
        let text = String::from_utf8_lossy(&shown);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_secret_is_hidden_where_a_long_line_is_cut() {
        let secret = "correct horse battery staple";
        let mask = Mask::default();
        mask.hide(secret);
        for before in LONGEST_LINE as usize - 40..LONGEST_LINE as usize + 4 {
            let text = format!("{}{secret} and on\nnext\n\nend\n", "x".repeat(before));
            let said = RefCell::new(String::new());
            let mut reader = BufReader::new(text.as_bytes());
            let last = read_lines(&mut reader, "end", &mask, |line| said.borrow_mut().push_str(&line));
            let said = said.into_inner();
            assert_eq!(said, format!("{}*** and onnext", "x".repeat(before)), "{before}");
            assert!(last.iter().all(|line| !line.contains("horse")));
        }
    }
}
