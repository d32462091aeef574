//! Asks a service over HTTP, from the host's own side of the connection (direct-tcpip), so the host needs no curl and
//! the port need not be open to anyone else.
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};

use crate::manifest::HttpHealth;
use crate::ssh::{ChannelRefusal, Connection, SshError};

/// The wait between two questions.
const INTERVAL: Duration = Duration::from_millis(300);

/// How much of an answer is shown when it was not good.
const SHOWN: usize = 2048;

/// The longest that one question may take.
const ONE_QUESTION: Duration = Duration::from_secs(10);

/// The service did not answer well in time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// It never answered well; what came last.
    #[error("no good answer from {url} within {} s, the last was: {last}", after.as_secs_f32())]
    NotWell {
        /// What was asked.
        url: String,
        /// How long.
        after: Duration,
        /// The last answer, or why there was none.
        last: String,
    },
    /// sshd does not forward.
    #[error("the host's sshd does not forward connections, so {url} can't be asked")]
    ForwardingOff {
        /// What was to be asked.
        url: String,
    },
    /// The connection failed.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Asks until the answer's status is below 400, for as long as the manifest allows. Returns the status.
pub async fn ask(connection: &Connection, health: &HttpHealth) -> Result<u16, HealthError> {
    let end = Instant::now() + health.timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let last = match timeout(ONE_QUESTION.min(left), once(connection, health)).await {
            Ok(Ok(Answer { status, .. })) if status < 400 => return Ok(status),
            Ok(Ok(Answer { status, body })) => format!("{status} {body}").trim().to_owned(),
            Ok(Err(Failure::Refused(ChannelRefusal::AdministrativelyProhibited))) => {
                return Err(HealthError::ForwardingOff { url: health.url.to_string() });
            }
            Ok(Err(Failure::Refused(ChannelRefusal::ConnectFailed))) => "connection refused".to_owned(),
            Ok(Err(Failure::Refused(other))) => other.to_string(),
            Ok(Err(Failure::Ssh(error))) => return Err(error.into()),
            Ok(Err(Failure::Http(error))) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() + INTERVAL >= end {
            return Err(HealthError::NotWell { url: health.url.to_string(), after: health.timeout, last });
        }
        sleep(INTERVAL).await;
    }
}

struct Answer {
    status: u16,
    body: String,
}

enum Failure {
    Refused(ChannelRefusal),
    Ssh(SshError),
    Http(hyper::Error),
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

async fn once(connection: &Connection, health: &HttpHealth) -> Result<Answer, Failure> {
    let url = &health.url;
    let stream =
        connection.forward(url.host.as_str(), url.port.get()).await.map_err(|error| match error {
            SshError::ChannelRefused { reason, .. } => Failure::Refused(reason),
            other => Failure::Ssh(other),
        })?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver);
    let request = Request::get(url.path.as_str())
        .header("Host", url.authority())
        .header("User-Agent", concat!("shipit/", env!("CARGO_PKG_VERSION")))
        .header("Accept", "*/*")
        .body(Empty::<Bytes>::new());
    // The manifest's reader lets through only what stands in a request line.
    let Ok(request) = request else {
        return Ok(Answer { status: 599, body: "the URL can't be asked".to_owned() });
    };
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = match Limited::new(response.into_body(), SHOWN).collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    driver.abort();
    Ok(Answer { status, body: body.chars().filter(|c| !c.is_control() || *c == ' ').collect() })
}
