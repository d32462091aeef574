//! `ProxyCommand`: a program whose standard input and output lead to an sshd.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::child::child;
use super::ending::printable;

/// How many lines of its standard error are kept.
const LINES: usize = 20;

/// How long it may take to end by itself once nobody listens to it.
const GRACE: Duration = Duration::from_secs(2);

/// How long its last words may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Ctrl-C is for shipit, which has its own way to stop; so the program must not hear of it, and still be able to ask
/// something on the terminal. What is ignored stays so over an exec.
const SHIELD: &str = "trap '' INT QUIT; exec \"$0\" -c \"$1\"";

/// A ProxyCommand that runs, as a stream.
#[derive(Debug)]
pub(super) struct ProxyCommand {
    stdin: ChildStdin,
    stdout: ChildStdout,
    child: Option<Child>,
}

/// What it says on standard error.
#[derive(Debug, Clone)]
pub(super) struct Complaints {
    lines: Arc<Mutex<Vec<String>>>,
    over: watch::Receiver<bool>,
}

impl ProxyCommand {
    /// Starts it the way ssh does: by the user's shell, in whose place it runs.
    pub(super) fn start(command: &str) -> io::Result<(Self, Complaints)> {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let mut child = Command::from(child("/bin/sh"))
            .args(["-c", SHIELD])
            .arg(shell.unwrap_or_else(|| "/bin/sh".into()))
            .arg(format!("exec {command}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (ended, over) = watch::channel(false);
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            // A line without end is cut.
            while let Ok(1..) = read_line(&mut reader, &mut line).await {
                let text = printable(&String::from_utf8_lossy(&line));
                tracing::debug!("ProxyCommand: {text}");
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LINES {
                    kept.remove(0);
                }
                kept.push(text);
                line.clear();
            }
            let _ = ended.send(true);
        });
        Ok((Self { stdin, stdout, child: Some(child) }, Complaints { lines, over }))
    }
}

async fn read_line<R: AsyncRead + Unpin>(reader: &mut BufReader<R>, line: &mut Vec<u8>) -> io::Result<usize> {
    use tokio::io::AsyncReadExt as _;
    reader.take(4096).read_until(b'\n', line).await
}

impl Complaints {
    /// What it has said, once it has ended or had time to.
    pub(super) async fn all(&self) -> Vec<String> {
        let mut over = self.over.clone();
        let _ = tokio::time::timeout(LAST_WORDS, over.wait_for(|over| *over)).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| !line.is_empty()).cloned().collect()
    }
}

impl Drop for ProxyCommand {
    fn drop(&mut self) {
        let (Some(mut child), Ok(runtime)) = (self.child.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        // Its pipes are closed with this value, which ends most.
        runtime.spawn(async move {
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        });
    }
}

impl AsyncRead for ProxyCommand {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for ProxyCommand {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn its_input_and_output_are_the_stream_and_its_complaints_are_kept() {
        let (mut stream, complaints) = ProxyCommand::start("cat; echo never").unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut read = [0; 5];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        drop(stream);
        assert_eq!(complaints.all().await, [""; 0]);

        let (mut stream, complaints) = ProxyCommand::start("sh -c 'echo no way >&2; echo; exit 3'").unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(complaints.all().await, ["no way"]);
    }

    #[tokio::test]
    async fn it_does_not_hear_ctrl_c() {
        let (mut stream, _) = ProxyCommand::start("grep SigIgn /proc/self/status").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let ignored = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
        // SIGINT is 2 and SIGQUIT is 3; the lowest bit is signal 1.
        assert_eq!(ignored & 0b110, 0b110, "{text}");
    }

    #[tokio::test]
    async fn one_that_does_not_end_by_itself_is_ended() {
        let (mut stream, _) = ProxyCommand::start("sh -c 'echo $$; exec sleep 1000'").unwrap();
        let mut line = Vec::new();
        BufReader::new(&mut stream).read_until(b'\n', &mut line).await.unwrap();
        let process = format!("/proc/{}", String::from_utf8(line).unwrap().trim());
        assert!(std::path::Path::new(&process).exists());
        drop(stream);
        let end = tokio::time::Instant::now() + GRACE * 5;
        while std::path::Path::new(&process).exists() {
            assert!(tokio::time::Instant::now() < end, "it still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
