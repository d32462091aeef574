//! Where a host is reached: `user@host:port`, as a person writes it.
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::name::{HostName, NameError, UserName};

/// Whom and where to connect to. What is left out comes from the ssh configuration, or its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Whom to log in as.
    pub user: Option<UserName>,
    /// The host.
    pub host: HostName,
    /// The port of its sshd.
    pub port: Option<NonZeroU16>,
}

/// Why a text is no address of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// One of its names is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands after the last colon is no port.
    #[error("`{0}` is not a port between 1 and 65535")]
    Port(String),
    /// An opening bracket without its end, or text after the end.
    #[error("an address in brackets is written `[::1]` or `[::1]:22`")]
    Brackets,
    /// Written as a URL.
    #[error("a host is written `user@host:port`, not as a URL")]
    Url,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains("://") {
            return Err(AddressError::Url);
        }
        // The last `@`, since the user names of some directories have one of their own.
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.parse()?), place),
            None => (None, text),
        };
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or(AddressError::Brackets)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(AddressError::Brackets),
            }
        } else if place.matches(':').count() == 1 {
            place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
        } else {
            (place, None)
        };
        let port = match port {
            // `parse` would take "+22".
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| AddressError::Port(digits.to_owned()))?)
            }
            Some(other) => return Err(AddressError::Port(other.escape_debug().to_string())),
            None => None,
        };
        Ok(Self { user, host: host.parse()?, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::fmt::Write;
        let mut text = String::new();
        if let Some(user) = &self.user {
            write!(text, "{user}@")?;
        }
        match (self.host.as_str().contains(':'), self.port) {
            (true, Some(port)) => write!(text, "[{}]:{port}", self.host)?,
            (false, Some(port)) => write!(text, "{}:{port}", self.host)?,
            (_, None) => write!(text, "{}", self.host)?,
        }
        f.pad(&text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn display_gives_back_what_was_written() {
        for text in
            ["web1", "deploy@web1.example.com:2222", "[::1]:22", "::1", "a@fe80::1%eth0", "me@corp@10.0.0.1"]
        {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("[::1]".parse::<Address>().unwrap().to_string(), "::1");
    }

    #[test]
    fn mistakes_are_told_apart() {
        let err = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(err("ssh://web1"), AddressError::Url);
        assert_eq!(err("web1:0"), AddressError::Port("0".to_owned()));
        assert_eq!(err("web1:+22"), AddressError::Port("+22".to_owned()));
        assert_eq!(err("web1:"), AddressError::Port(String::new()));
        assert_eq!(err("[::1"), AddressError::Brackets);
        assert_eq!(err("[::1]22"), AddressError::Brackets);
        for text in ["@web1", "-oProxyCommand=x", "", "web 1", "-l@web1"] {
            assert!(matches!(err(text), AddressError::Name(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_reads_back_the_same(text in "([a-z@]{1,4}@)?(\\[[0-9a-f:]{2,6}\\]|[a-z0-9.:]{1,10})(:[0-9]{1,5})?") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
    }
}
