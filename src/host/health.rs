//! Asks whether a service is well, again and again, until it is or the time is up.
//!
//! Over HTTP and TCP it is asked from the host's own side of the connection (direct-tcpip), so the host needs no curl
//! and the port need not be open to anyone else. Where sshd forbids that, the host asks itself, with what it has.
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::http::{Answer, HttpFailure, get};
use super::request::{HostAnswer, ask_command, ask_http, ask_journal, ask_tcp, ask_unit};
use super::session::{Session, SessionError};
use crate::manifest::{HealthCheck, HttpQuestion, Question};
use crate::plan::Layout;
use crate::ssh::{ChannelRefusal, SshError};

/// The longest that one question over the network may take.
const ONE_QUESTION: Duration = Duration::from_secs(10);

/// How many lines of an answer are shown when it was not good.
const SHOWN_LINES: usize = 10;

/// The most of such a line.
const SHOWN_WIDTH: usize = 400;

/// The service did not answer well in time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// It never answered well; what came last.
    #[error("no good answer from {asked} within {} s, the last was: {last}", after.as_secs_f32())]
    NotWell {
        /// What was asked.
        asked: String,
        /// How long.
        after: Duration,
        /// The last answer in a line, or why there was none.
        last: String,
        /// The first lines of what it said.
        shown: Vec<String>,
    },
    /// sshd does not forward, and the host has nothing to ask with.
    #[error(
        "{asked} can't be asked: the host's sshd forbids forwarding, and the host has nothing to ask with"
    )]
    NoWay {
        /// What was to be asked.
        asked: String,
    },
    /// The connection failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The host could not be had to ask.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// An answer that was not good.
#[derive(Debug, Default)]
pub(super) struct Last {
    pub(super) what: String,
    pub(super) said: String,
}

impl Last {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), said: String::new() }
    }

    fn shown(&self) -> Vec<String> {
        let clean = |line: &str| -> String {
            let kept = line.chars().filter(|c| !c.is_control() || *c == '\t');
            kept.take(SHOWN_WIDTH).collect()
        };
        let lines = self.said.lines().map(clean).filter(|line| !line.trim().is_empty());
        lines.take(SHOWN_LINES).collect()
    }
}

/// How questions over the network get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through the connection.
    Forwarded,
    /// By a program on the host.
    FromHost,
}

/// What a check is about, beside what it says itself.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Where the service stands.
    pub layout: &'a Layout,
    /// The starts of its units that are new.
    pub invocations: &'a [String],
    /// Where one of them is from before, as after a reload: since when what it says counts.
    pub since: Option<&'a str>,
}

/// Asks until the answer is good as often in a row as the check wants, for as long as it allows.
pub async fn ask(
    session: &mut Session,
    check: &HealthCheck,
    subject: &Subject<'_>,
) -> Result<(), HealthError> {
    let end = Instant::now() + check.timeout;
    let mut way = Way::Forwarded;
    let mut good = 0;
    let mut heard: Option<Last> = None;
    loop {
        let asked = Instant::now();
        let left = end.saturating_duration_since(asked).max(Duration::from_millis(100));
        match once(session, check, subject, left, &mut way).await? {
            None => {
                good += 1;
                if good >= check.successes.get() {
                    return Ok(());
                }
                heard = Some(Last::new(format!("good {good} of {} times in a row", check.successes)));
            }
            Some(last) => {
                good = 0;
                // A question that the end cut short says less than the answer before it.
                if heard.is_none() || left >= ONE_QUESTION || asked.elapsed() < left {
                    heard = Some(last);
                }
            }
        }
        if Instant::now() + check.interval >= end {
            let last = heard.unwrap_or_default();
            return Err(HealthError::NotWell {
                asked: check.question.to_string(),
                after: check.timeout,
                shown: last.shown(),
                last: last.what,
            });
        }
        sleep(check.interval).await;
    }
}

/// One question; `None` when the answer is good.
async fn once(
    session: &mut Session,
    check: &HealthCheck,
    subject: &Subject<'_>,
    left: Duration,
    way: &mut Way,
) -> Result<Option<Last>, HealthError> {
    let limit = ONE_QUESTION.min(left);
    match &check.question {
        Question::Http(http) => {
            if *way == Way::Forwarded {
                match timeout(limit, forwarded(session, http)).await {
                    Ok(Ok(answer)) => return Ok(judge(http, answer)),
                    Ok(Err(Refusal::Forbidden)) => *way = Way::FromHost,
                    Ok(Err(Refusal::NoAnswer(last))) => return Ok(Some(last)),
                    Ok(Err(Refusal::Ssh(error))) => return Err(error.into()),
                    Err(_) => {
                        return Ok(Some(Last::new(format!("no answer within {} s", limit.as_secs_f32()))));
                    }
                }
            }
            match ask_http(session, http, limit).await? {
                HostAnswer::Answer(answer) => Ok(judge(http, answer)),
                HostAnswer::Bad(last) => Ok(Some(last)),
                HostAnswer::NoProgram => Err(HealthError::NoWay { asked: check.question.to_string() }),
                HostAnswer::Good => Ok(None),
            }
        }
        Question::Tcp(address) => {
            if *way == Way::Forwarded {
                let opened = session.connection().forward(address.host.as_str(), address.port.get());
                match timeout(limit, opened).await {
                    Ok(Ok(_)) => return Ok(None),
                    Ok(Err(error)) => match Refusal::from(error) {
                        Refusal::Forbidden => *way = Way::FromHost,
                        Refusal::NoAnswer(last) => return Ok(Some(last)),
                        Refusal::Ssh(error) => return Err(error.into()),
                    },
                    Err(_) => {
                        return Ok(Some(Last::new(format!("no answer within {} s", limit.as_secs_f32()))));
                    }
                }
            }
            from_host(ask_tcp(session, address, limit).await?, check)
        }
        Question::Command(command) => {
            from_host(ask_command(session, command, subject.layout, left).await?, check)
        }
        Question::Journal(text) => from_host(ask_journal(session, text, subject).await?, check),
        Question::Unit(unit) => from_host(ask_unit(session, unit).await?, check),
    }
}

fn from_host(answer: HostAnswer, check: &HealthCheck) -> Result<Option<Last>, HealthError> {
    match answer {
        HostAnswer::Good | HostAnswer::Answer(_) => Ok(None),
        HostAnswer::Bad(last) => Ok(Some(last)),
        HostAnswer::NoProgram => Err(HealthError::NoWay { asked: check.question.to_string() }),
    }
}

/// Why there is no answer.
enum Refusal {
    /// sshd does not forward.
    Forbidden,
    /// The service has none.
    NoAnswer(Last),
    /// The connection failed.
    Ssh(SshError),
}

impl From<SshError> for Refusal {
    fn from(error: SshError) -> Self {
        match error {
            SshError::ChannelRefused { reason: ChannelRefusal::AdministrativelyProhibited, .. } => {
                Self::Forbidden
            }
            SshError::ChannelRefused { reason: ChannelRefusal::ConnectFailed, .. } => {
                Self::NoAnswer(Last::new("connection refused"))
            }
            SshError::ChannelRefused { reason, .. } => Self::NoAnswer(Last::new(reason.to_string())),
            other => Self::Ssh(other),
        }
    }
}

async fn forwarded(session: &Session, http: &HttpQuestion) -> Result<Answer, Refusal> {
    let stream = session.connection().forward(http.url.host.as_str(), http.url.port.get()).await?;
    get(stream, http).await.map_err(|HttpFailure(why)| Refusal::NoAnswer(Last::new(why)))
}

/// Whether the answer is a good one; what was wrong with it otherwise.
fn judge(http: &HttpQuestion, answer: Answer) -> Option<Last> {
    let Answer { status, reason, body } = answer;
    let good = if http.status.is_empty() { status < 400 } else { http.status.contains(&status) };
    let shown = format!("{status} {reason}").trim().to_owned();
    if !good {
        return Some(Last { what: shown, said: body });
    }
    match &http.contains {
        Some(text) if !body.contains(text.as_str()) => {
            Some(Last { what: format!("{shown}, without {text:?} in its body"), said: body })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(http: &HttpQuestion, status: u16, body: &str) -> Option<String> {
        let answer = Answer { status, reason: String::new(), body: body.to_owned() };
        judge(http, answer).map(|last| format!("{} {:?}", last.what, last.shown()))
    }

    #[test]
    fn what_is_good_is_the_manifests_to_say() {
        let url = "http://localhost/".parse().unwrap();
        let mut http = HttpQuestion { url, status: Vec::new(), contains: None, headers: Vec::new() };
        assert_eq!(judged(&http, 302, ""), None);
        assert_eq!(judged(&http, 503, "no\x1b[2J db\n\nline 2").unwrap(), r#"503 ["no[2J db", "line 2"]"#);
        http.status = vec![204];
        assert!(judged(&http, 200, "").is_some());
        http.status = vec![200];
        http.contains = Some("ready".to_owned());
        assert_eq!(judged(&http, 200, "all ready now"), None);
        assert!(judged(&http, 200, "starting").unwrap().contains("without \"ready\""));
    }
}
