//! Questions that the host asks itself (`request.sh`), and their answers.
use std::time::Duration;

use super::health::{Last, Subject};
use super::http::{Answer, headers, parse};
use super::script::Script;
use super::session::{Finished, Session, SessionError};
use crate::manifest::{HostCommand, HttpQuestion, TcpAddress, UnitName};
use crate::plan::Layout;

const PROGRAM: &str = include_str!("request.sh");

/// What the programs say when the host has nothing to ask with.
const NO_PROGRAM: u32 = 97;

/// What timeout(1) says when the time was up.
const TIMED_OUT: u32 = 124;

/// How much longer than the question may take the host may be silent.
const SPARE: Duration = Duration::from_secs(20);

/// How long a question may take that waits for nothing.
const QUICK: Duration = Duration::from_secs(10);

/// The most that is kept of what a program on the host says.
const KEPT: usize = 64 * 1024;

/// What came of it.
pub(super) enum HostAnswer {
    /// It is well.
    Good,
    /// An answer over HTTP.
    Answer(Answer),
    /// It is not well.
    Bad(Last),
    /// The host has no program to ask with.
    NoProgram,
}

struct Run {
    finished: Finished,
    output: String,
}

async fn run<I>(
    session: &mut Session,
    function: &'static str,
    arguments: I,
    limit: Duration,
) -> Result<Run, SessionError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut script = Script::constant(PROGRAM);
    script.call(function, arguments);
    let mut output = String::new();
    let finished = session
        .run(&script, limit + SPARE, |line| {
            if output.len() + line.len() < KEPT {
                output.push_str(line);
                output.push('\n');
            }
        })
        .await?;
    Ok(Run { finished, output })
}

fn seconds(limit: Duration) -> String {
    format!("{:.3}", limit.as_secs_f64())
}

pub(super) async fn ask_http(
    session: &mut Session,
    http: &HttpQuestion,
    limit: Duration,
) -> Result<HostAnswer, SessionError> {
    let url = &http.url;
    let lines: Vec<String> =
        headers(http).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let request = format!("GET {} HTTP/1.0\r\n{}\r\n\r\n", url.path, lines.join("\r\n"));
    let own = if http.headers.is_empty() { "" } else { "own" };
    let arguments = [
        url.host.as_str().to_owned(),
        url.port.to_string(),
        url.to_string(),
        seconds(limit),
        request,
        lines.join("\n"),
        own.to_owned(),
    ];
    let Run { finished, output } = run(session, "ask_http", arguments, limit).await?;
    Ok(match parse(&output) {
        Some(answer) => HostAnswer::Answer(answer),
        None if finished.status == NO_PROGRAM => HostAnswer::NoProgram,
        None if !output.trim().is_empty() => {
            HostAnswer::Bad(Last { what: "an answer that is not HTTP".to_owned(), said: output })
        }
        None => HostAnswer::Bad(Last::new(no_answer(&finished.said))),
    })
}

/// Why, in the words of the program that asked; the last line says it.
fn no_answer(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect();
    last.map_or_else(|| "no answer".to_owned(), clean)
}

pub(super) async fn ask_tcp(
    session: &mut Session,
    address: &TcpAddress,
    limit: Duration,
) -> Result<HostAnswer, SessionError> {
    let arguments =
        [address.host.as_str().to_owned(), address.port.to_string(), address.to_string(), seconds(limit)];
    let Run { finished, .. } = run(session, "ask_tcp", arguments, limit).await?;
    Ok(match finished.status {
        0 => HostAnswer::Good,
        NO_PROGRAM => HostAnswer::NoProgram,
        _ => HostAnswer::Bad(Last::new(no_answer(&finished.said))),
    })
}

pub(super) async fn ask_command(
    session: &mut Session,
    command: &HostCommand,
    layout: &Layout,
    limit: Duration,
) -> Result<HostAnswer, SessionError> {
    let mut arguments = vec![layout.root().to_string(), seconds(limit)];
    match command {
        HostCommand::Words(words) => arguments.extend(words.iter().cloned()),
        HostCommand::Shell(text) => arguments.extend(["/bin/sh", "-c", text].map(str::to_owned)),
    }
    let Run { finished, output } = run(session, "ask_command", arguments, limit).await?;
    let what = match finished.status {
        0 => return Ok(HostAnswer::Good),
        TIMED_OUT => "it did not end in time, and was killed".to_owned(),
        127 => "exit status 127: there is no such program".to_owned(),
        126 => "exit status 126: it can't be executed".to_owned(),
        status => format!("exit status {status}"),
    };
    Ok(HostAnswer::Bad(Last { what, said: output + &finished.said }))
}

pub(super) async fn ask_journal(
    session: &mut Session,
    text: &str,
    subject: &Subject<'_>,
) -> Result<HostAnswer, SessionError> {
    let invocations = subject.invocations.iter().map(String::as_str);
    let arguments = [text, subject.since.unwrap_or_default()].into_iter().chain(invocations);
    let Run { finished, .. } = run(session, "ask_journal", arguments, QUICK).await?;
    Ok(match finished.status {
        0 => HostAnswer::Good,
        _ if subject.since.is_some() => HostAnswer::Bad(Last::new("no line since the reload has it")),
        _ => HostAnswer::Bad(Last::new("no line of this start has it")),
    })
}

pub(super) async fn ask_unit(session: &mut Session, unit: &UnitName) -> Result<HostAnswer, SessionError> {
    let Run { output, .. } = run(session, "ask_unit", [unit.as_str()], QUICK).await?;
    let value = |key: &str| output.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown");
    Ok(match value("ActiveState=") {
        "active" | "reloading" => HostAnswer::Good,
        state => HostAnswer::Bad(Last::new(format!("{state} ({})", value("SubState=")))),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Output};

    use super::*;

    /// Runs a function of the program where only these programs are there.
    fn asked(programs: &[&str], function: &'static str, arguments: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            let found = ["/usr/bin", "/bin"].map(|at| std::path::Path::new(at).join(program));
            symlink(found.iter().find(|path| path.exists()).unwrap(), folder.path().join(program)).unwrap();
        }
        let mut script = Script::constant(PROGRAM);
        script.call(function, arguments);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(script.as_str()).env("PATH", folder.path()).output().unwrap()
    }

    #[test]
    fn a_host_without_curl_asks_with_bash() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.0 503 Busy\r\n\r\nno database").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let request = "GET / HTTP/1.0\r\nX-Token: it's $(me)\r\n\r\n";
        let arguments = ["127.0.0.1", &port, "http://127.0.0.1/", "5", request, "", "own"];
        let output = asked(&["bash", "timeout", "head", "cat"], "ask_http", &arguments);
        let answer = parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "no database"));
        assert_eq!(server.join().unwrap(), request);
        let output = asked(&["bash", "timeout"], "ask_tcp", &["127.0.0.1", "1", "127.0.0.1:1", "5"]);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("Connection refused"), "{output:?}");
    }

    #[test]
    fn a_host_with_nothing_to_ask_with_says_so() {
        let arguments = ["127.0.0.1", "1", "http://127.0.0.1:1/", "5", "", "", ""];
        assert_eq!(asked(&[], "ask_http", &arguments).status.code(), Some(97));
        assert_eq!(asked(&[], "ask_tcp", &arguments).status.code(), Some(97));
    }
}
