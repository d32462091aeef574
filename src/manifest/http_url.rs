//! The URL of a health check.
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

use super::name::{HostName, NameError};

/// The parts of an `http://` URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// The host, as seen from the machine the service runs on.
    pub host: HostName,
    /// The port, 80 if none was written.
    pub port: NonZeroU16,
    /// The path with its query; at least `/`.
    pub path: String,
}

/// Why a text is no URL of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// `https` or another scheme.
    #[error("a health check asks over `http://`, not `{0}://`")]
    Scheme(String),
    /// There is no scheme at all.
    #[error("a health check is a URL that begins with `http://`")]
    NoScheme,
    /// The host is wrong.
    #[error(transparent)]
    Host(#[from] NameError),
    /// The port is wrong.
    #[error("`{0}` is not a port between 1 and 65535")]
    Port(String),
    /// A user name, a fragment, a space or a control character.
    #[error("the URL of a health check can't contain {0}")]
    Forbidden(&'static str),
}

impl UrlError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Scheme(scheme) if scheme == "https" => Some(
                "the question travels inside the SSH connection and is asked on the host itself, so name the \
                 service's own port, such as `http://localhost:8000/`"
                    .to_owned(),
            ),
            Self::Scheme(_) | Self::NoScheme => Some("such as `http://localhost:8000/`".to_owned()),
            Self::Host(error) => error.help(),
            Self::Port(_) => None,
            Self::Forbidden(_) => Some("write such a character as `%` and its two hex digits".to_owned()),
        }
    }
}

const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(80).unwrap();

impl FromStr for HttpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::Scheme(scheme.escape_debug().to_string()));
        }
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UrlError::Forbidden("a user name"));
        }
        if path.contains('#') {
            return Err(UrlError::Forbidden("a fragment (`#`), which is never sent"));
        }
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::Forbidden("spaces, control characters or letters outside ASCII"));
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, after)) if after.starts_with(':') => (host, after.strip_prefix(':')),
                _ => return Err(UrlError::Host(NameError::Host { name: authority.to_owned() })),
            }
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| UrlError::Port(digits.to_owned()))?
            }
            Some(other) => return Err(UrlError::Port(other.escape_debug().to_string())),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host: host.parse()?, port, path })
    }
}

impl HttpUrl {
    /// What the `Host` header says: the host, and the port unless it is 80.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.as_str().contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.port == DEFAULT_PORT { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        let show = |text: &str| text.parse::<HttpUrl>().map(|url| url.to_string());
        assert_eq!(show("http://localhost:8000/"), Ok("http://localhost:8000/".to_owned()));
        assert_eq!(show("http://localhost"), Ok("http://localhost/".to_owned()));
        assert_eq!(show("http://[::1]:81/a?b=c"), Ok("http://[::1]:81/a?b=c".to_owned()));
        assert_eq!(show("HTTP://h?x"), Ok("http://h/?x".to_owned()));
        assert_eq!(show("https://h/"), Err(UrlError::Scheme("https".to_owned())));
        assert_eq!(show("localhost:8000"), Err(UrlError::NoScheme));
        assert_eq!(show("http://h:0/"), Err(UrlError::Port("0".to_owned())));
        assert!(matches!(show("http:///x"), Err(UrlError::Host(_))));
        assert!(matches!(show("http://h/a b"), Err(UrlError::Forbidden(_))));
        assert!(matches!(show("http://h/a\r\nX: y"), Err(UrlError::Forbidden(_))));
        assert!(matches!(show("http://h/#top"), Err(UrlError::Forbidden(_))));
        assert!(matches!(show("http://me@h/"), Err(UrlError::Forbidden(_))));
    }

    proptest! {
        #[test]
        fn every_url_reads_back_the_same(text in "http://\\PC{0,20}|http://[a-z\\[\\]:0-9/?#@]{0,12}") {
            if let Ok(url) = text.parse::<HttpUrl>() {
                prop_assert_eq!(url.to_string().parse::<HttpUrl>().unwrap(), url);
            }
        }
    }
}
