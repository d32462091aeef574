//! How a service is asked whether it is well.
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::hooks::first_line;
use super::http_url::HttpUrl;
use super::name::{HostName, NameError, UnitName};

/// How long a check waits before it asks again, unless the manifest says otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(300);

/// One check: what is asked, how often, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub question: Question,
    /// How long it may take until the answer is good.
    pub timeout: Duration,
    /// The wait between two questions.
    pub interval: Duration,
    /// How many good answers there must be in a row.
    pub successes: NonZeroU32,
}

/// What is asked, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The service, over HTTP.
    Http(HttpQuestion),
    /// Whether a connection can be made.
    Tcp(TcpAddress),
    /// A command on the host, which must succeed.
    Command(HostCommand),
    /// The journal of this start, which must have a line with this text in it.
    Journal(String),
    /// systemd, whether this unit is active.
    Unit(UnitName),
}

/// A question over HTTP, asked as if from the host itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpQuestion {
    /// What is asked.
    pub url: HttpUrl,
    /// The statuses that are good; empty: every one below 400.
    pub status: Vec<u16>,
    /// What must be in the answer's body.
    pub contains: Option<String>,
    /// What is sent along.
    pub headers: Vec<Header>,
}

/// A header of a request. Its value may be a token: it is in no plan, no event and no debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A command as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCommand {
    /// A program and its arguments, handed over as they are.
    Words(Vec<String>),
    /// The text of a shell program.
    Shell(String),
}

impl fmt::Display for HostCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(&words.join(" ")),
            Self::Shell(text) => f.write_str(&first_line(text)),
        }
    }
}

/// A host, as seen from the machine that the service runs on, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpAddress {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: NonZeroU16,
}

/// Why a text is no [`TcpAddress`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TcpAddressError {
    /// There is no port.
    #[error("a TCP check is a host and a port, such as `localhost:5432`")]
    NoPort,
    /// The port is none.
    #[error("`{0}` is not a port between 1 and 65535")]
    Port(String),
    /// The host is wrong.
    #[error(transparent)]
    Host(#[from] NameError),
}

impl FromStr for TcpAddress {
    type Err = TcpAddressError;

    fn from_str(text: &str) -> Result<Self, TcpAddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or(TcpAddressError::NoPort)?,
            None => text.rsplit_once(':').ok_or(TcpAddressError::NoPort)?,
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = digits.then(|| port.parse().ok()).flatten();
        let port =
            port.ok_or_else(|| TcpAddressError::Port(text.rsplit(':').next().unwrap_or("").to_owned()))?;
        Ok(Self { host: host.parse()?, port })
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            host if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl Question {
    /// Its key in the manifest.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Command(_) => "command",
            Self::Journal(_) => "journal",
            Self::Unit(_) => "unit",
        }
    }
}

/// What is asked, in a few words: the URL, the address, the command, the text, the unit.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => http.url.fmt(f),
            Self::Tcp(address) => address.fmt(f),
            Self::Command(command) => write!(f, "`{command}`"),
            Self::Journal(text) => write!(f, "{text:?}"),
            Self::Unit(unit) => unit.fmt(f),
        }
    }
}

/// How long all checks together may take.
#[must_use]
pub fn longest(checks: &[HealthCheck]) -> Duration {
    checks.iter().map(|check| check.timeout).sum()
}

// The kind is the key, as in the manifest; headers are left out.
impl Serialize for HealthCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut map = serializer.serialize_map(None)?;
        match &self.question {
            Question::Http(http) => {
                map.serialize_entry("http", &http.url.to_string())?;
                if !http.status.is_empty() {
                    map.serialize_entry("status", &http.status)?;
                }
                if let Some(text) = &http.contains {
                    map.serialize_entry("contains", text)?;
                }
            }
            Question::Tcp(address) => map.serialize_entry("tcp", &address.to_string())?,
            Question::Command(HostCommand::Words(words)) => map.serialize_entry("command", words)?,
            Question::Command(HostCommand::Shell(text)) => map.serialize_entry("command", text)?,
            Question::Journal(text) => map.serialize_entry("journal", text)?,
            Question::Unit(unit) => map.serialize_entry("unit", unit.as_str())?,
        }
        map.serialize_entry("timeout_ms", &ms(self.timeout))?;
        map.serialize_entry("interval_ms", &ms(self.interval))?;
        map.serialize_entry("successes", &self.successes)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_address_is_a_host_and_a_port() {
        let show = |text: &str| text.parse::<TcpAddress>().map(|address| address.to_string());
        assert_eq!(show("localhost:5432"), Ok("localhost:5432".to_owned()));
        assert_eq!(show("[::1]:80"), Ok("[::1]:80".to_owned()));
        assert_eq!(show("localhost"), Err(TcpAddressError::NoPort));
        assert_eq!(show("localhost:0"), Err(TcpAddressError::Port("0".to_owned())));
        assert_eq!(show("localhost:"), Err(TcpAddressError::Port(String::new())));
        assert!(matches!(show("a b:1"), Err(TcpAddressError::Host(_))));
    }

    #[test]
    fn a_header_shows_its_name_only() {
        let header = Header { name: "Authorization".to_owned(), value: "hunter2".to_owned() };
        assert!(!format!("{header:?}").contains("hunter2"));
    }
}
