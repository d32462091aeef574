//! The names a manifest holds, as types that cannot hold anything dangerous.
//!
//! Every name here ends up in a path, a file on a host or an argument of a program, so none of them can hold a
//! slash, a newline, NUL or another control character, whitespace, a leading dash, or `..`. What else a name may
//! hold is its type's own rule. Parsing is the only way in: a value of these types has been checked.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::unit_kind::UnitKind;

/// What is wrong with a name. The message names the rule; the caller knows where the name stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing in it.
    #[error("{what} is empty")]
    Empty {
        /// What kind of name it is, with its article: "a service name".
        what: &'static str,
    },
    /// It is longer than its kind may be.
    #[error("{what} has at most {max} characters, this one has {len}")]
    TooLong {
        /// What kind of name it is.
        what: &'static str,
        /// The longest allowed, in bytes.
        max: usize,
        /// How long it is.
        len: usize,
    },
    /// It holds a character that its kind may not hold.
    #[error("{what} can't contain {}", show(*found))]
    Forbidden {
        /// What kind of name it is.
        what: &'static str,
        /// The first such character.
        found: char,
        /// What is allowed instead, in words.
        allowed: &'static str,
    },
    /// It begins with a character that may only stand further in.
    #[error("{what} can't begin with {}", show(*found))]
    Start {
        /// What kind of name it is.
        what: &'static str,
        /// The first character.
        found: char,
    },
    /// It holds `..`, which a path would read as the folder above.
    #[error("{what} can't contain `..`")]
    DotDot {
        /// What kind of name it is.
        what: &'static str,
    },
    /// A unit name that does not end with a type of unit that files can bring.
    #[error("`{name}` is not the name of a unit: it ends with none of {}", UnitKind::SUFFIXES)]
    UnitSuffix {
        /// The name.
        name: String,
    },
    /// A file that systemd would not read.
    #[error("`{name}` is not the name of a drop-in: systemd reads those that end with `.conf`")]
    DropInSuffix {
        /// The name.
        name: String,
    },
    /// A host name that is neither a DNS name nor an address.
    #[error("`{name}` is neither a host name nor an IP address")]
    Host {
        /// The name.
        name: String,
    },
}

impl NameError {
    /// What would be right instead, where the message alone does not say it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Forbidden { allowed, .. } => Some(format!("allowed: {allowed}")),
            Self::UnitSuffix { .. } => {
                Some("a unit's type is the end of its file name, such as `simple_api.service`".to_owned())
            }
            Self::Empty { .. }
            | Self::TooLong { .. }
            | Self::Start { .. }
            | Self::DotDot { .. }
            | Self::DropInSuffix { .. }
            | Self::Host { .. } => None,
        }
    }
}

fn show(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\n' => "a line break".to_owned(),
        '\t' => "a tab".to_owned(),
        '`' => "a backquote".to_owned(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c => format!("`{c}`"),
    }
}

/// The rule of one kind of name.
struct Rule {
    what: &'static str,
    max: usize,
    first: fn(char) -> bool,
    rest: fn(char) -> bool,
    allowed: &'static str,
}

impl Rule {
    fn check(&self, text: &str) -> Result<(), NameError> {
        let what = self.what;
        let Some(first) = text.chars().next() else { return Err(NameError::Empty { what }) };
        if let Some(found) = text.chars().find(|&c| !(self.rest)(c)) {
            return Err(NameError::Forbidden { what, found, allowed: self.allowed });
        }
        if !(self.first)(first) {
            return Err(NameError::Start { what, found: first });
        }
        if text.contains("..") {
            return Err(NameError::DotDot { what });
        }
        if text.len() > self.max {
            return Err(NameError::TooLong { what, max: self.max, len: text.len() });
        }
        Ok(())
    }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn plain_first(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

const PLAIN: &str = "letters, digits, `_`, `.` and `-`";

fn check_service(text: &str) -> Result<(), NameError> {
    // 64 leaves room for what is built from it: `shipit-<name>-<release id>.service` has to stay under the 255 of
    // a unit name (systemd.unit(5)), and so do the temporary links next to it under NAME_MAX.
    Rule { what: "a service name", max: 64, first: plain_first, rest: plain, allowed: PLAIN }.check(text)
}

fn check_environment(text: &str) -> Result<(), NameError> {
    Rule { what: "an environment name", max: 64, first: plain_first, rest: plain, allowed: PLAIN }.check(text)
}

fn check_tag(text: &str) -> Result<(), NameError> {
    Rule { what: "a tag", max: 64, first: plain_first, rest: plain, allowed: PLAIN }.check(text)
}

fn check_prepared(text: &str) -> Result<(), NameError> {
    Rule { what: "the name of a prepared folder", max: 64, first: plain_first, rest: plain, allowed: PLAIN }
        .check(text)
}

fn check_var(text: &str) -> Result<(), NameError> {
    // The identifiers of the template language: anything else could be set but never be used.
    Rule {
        what: "the name of a variable",
        max: 128,
        first: |c| c.is_ascii_alphabetic() || c == '_',
        rest: |c| c.is_ascii_alphanumeric() || c == '_',
        allowed: "letters, digits and `_`",
    }
    .check(text)
}

fn check_user(text: &str) -> Result<(), NameError> {
    // OpenSSH's own rule for a name from the command line (valid_ruser() in ssh.c), and no whitespace. Wider than
    // useradd(8), since directory services have users such as `DOMAIN\name` and `name@domain`.
    Rule {
        what: "a user name",
        max: 256,
        first: |c| c != '-',
        rest: |c| {
            !c.is_control()
                && !c.is_whitespace()
                && !matches!(
                    c,
                    '\'' | '`' | '"' | ';' | '&' | '<' | '>' | '|' | '(' | ')' | '{' | '}' | '/' | ':'
                )
        },
        allowed: "what OpenSSH takes: no whitespace, quotes, slashes, colons or characters of the shell",
    }
    .check(text)?;
    if text.ends_with('\\') {
        return Err(NameError::Forbidden {
            what: "a user name",
            found: '\\',
            allowed: "`\\` inside the name",
        });
    }
    Ok(())
}

fn check_host(text: &str) -> Result<(), NameError> {
    if text.contains(':') {
        // An IPv6 address, perhaps with a zone (RFC 4007, section 11): fe80::1%eth0.
        let (address, zone) = text.split_once('%').map_or((text, None), |(a, z)| (a, Some(z)));
        let zone_ok = zone.is_none_or(|z| !z.is_empty() && z.len() <= 15 && z.chars().all(plain));
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) if zone_ok => Ok(()),
            _ => Err(NameError::Host { name: text.escape_debug().to_string() }),
        };
    }
    // 253 and 63: RFC 1035, section 2.3.4. Underscores are no part of a host name in DNS, but common in ssh aliases.
    Rule { what: "a host name", max: 253, first: plain_first, rest: plain, allowed: PLAIN }.check(text)?;
    let labels = text.strip_suffix('.').unwrap_or(text);
    if labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(NameError::Host { name: text.to_owned() });
    }
    // A name of digits and dots alone is an address or a mistake: 10.0.0.256 must not go to a DNS server.
    let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.contains('.');
    if numeric && text.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(NameError::Host { name: text.to_owned() });
    }
    Ok(())
}

fn check_unit(text: &str) -> Result<(), NameError> {
    // systemd.unit(5): letters, digits and `:-_.\`, an `@` before the instance, a type, 255 characters in all.
    Rule {
        what: "a unit name",
        max: 255,
        first: |c| c.is_ascii_alphanumeric() || c == '_' || c == '\\',
        rest: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':' | '\\' | '@'),
        allowed: "letters, digits, `_`, `.`, `-`, `:`, `\\` and one `@`",
    }
    .check(text)?;
    if text.matches('@').count() > 1 {
        return Err(NameError::Forbidden { what: "a unit name", found: '@', allowed: "one `@`" });
    }
    if UnitKind::of(text).is_none() {
        return Err(NameError::UnitSuffix { name: text.to_owned() });
    }
    Ok(())
}

fn check_credential(text: &str) -> Result<(), NameError> {
    Rule { what: "the name of a credential", max: 128, first: plain_first, rest: plain, allowed: PLAIN }
        .check(text)
}

fn check_drop_in(text: &str) -> Result<(), NameError> {
    Rule { what: "the name of a drop-in", max: 255, first: plain_first, rest: plain, allowed: PLAIN }
        .check(text)?;
    match text.strip_suffix(".conf") {
        Some(stem) if !stem.is_empty() => Ok(()),
        _ => Err(NameError::DropInSuffix { name: text.to_owned() }),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub(super) String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // So that a map keyed by this type can be asked with a `&str`.
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// What a service is called: its folder on the host, its links, by default its unit.
    ServiceName, check_service
}
name! {
    /// What an environment is called, such as `prod`.
    EnvironmentName, check_environment
}
name! {
    /// A mark on a host, such as `canary`, to pick hosts by.
    Tag, check_tag
}
name! {
    /// What a folder that is built on the host is called in its release.
    PreparedName, check_prepared
}
name! {
    /// What a variable of a template is called.
    VarName, check_var
}
name! {
    /// What a service finds a credential by.
    CredentialName, check_credential
}
name! {
    /// Whom to log in as.
    UserName, check_user
}
name! {
    /// Where to connect: a DNS name, an IPv4 or IPv6 address, or an alias from the ssh configuration.
    HostName, check_host
}
name! {
    /// The name of a systemd unit with its type, such as `simple_api.service`.
    UnitName, check_unit
}
name! {
    /// The name of a file that adds to a unit, such as `limits.conf`.
    DropInName, check_drop_in
}

impl HostName {
    /// The address, if it is one and no name to look up.
    #[must_use]
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.0.split('%').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_names_are_taken() {
        for name in ["simple_api", "a", "api-2.0", "_x", "A1"] {
            assert!(name.parse::<ServiceName>().is_ok(), "{name}");
        }
        for name in
            ["web1.example.com", "10.0.0.1", "::1", "fe80::1%eth0", "my_alias", "host.", "xn--bcher-kva.de"]
        {
            assert!(name.parse::<HostName>().is_ok(), "{name}");
        }
        for name in ["deploy", "DOMAIN\\deploy", "deploy@corp", "svc_1$", "jörg"] {
            assert!(name.parse::<UserName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn hostile_names_are_not() {
        for name in
            ["", "-x", "a/b", "a\nb", "a b", "..", ".", "a..b", ".a", "a\0", "a;b", "ä", &"x".repeat(65)]
        {
            assert!(name.parse::<ServiceName>().is_err(), "{name:?}");
            assert!(name.parse::<EnvironmentName>().is_err(), "{name:?}");
        }
        for name in
            ["", "-oProxyCommand=x", "a b", "a/b", "10.0.0.256", "1.2.3", ":::", "fe80::1%", "a..b", "ä.de"]
        {
            assert!(name.parse::<HostName>().is_err(), "{name:?}");
        }
        for name in ["", "-l", "a b", "a\tb", "a'b", "$(id)", "a;b", "a\\"] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
        for name in ["1A", "A-B", "", "A B"] {
            assert!(name.parse::<VarName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_unit_name_has_a_type() {
        let unit: UnitName = "worker@2.service".parse().unwrap();
        assert_eq!((unit.kind(), unit.prefix(), unit.instance()), (UnitKind::Service, "worker", Some("2")));
        assert!("worker@.timer".parse::<UnitName>().unwrap().is_template());
        for name in
            ["simple_api", ".service", "@.service", "a.device", "a@b@c.service", "a/b.service", "a.servic"]
        {
            assert!(name.parse::<UnitName>().is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_harmless(text in "\\PC{0,12}|[-./@:a\n\0 ]{0,6}|[a-c.@-]{1,8}(\\.service)?") {
            let harmless = |s: &str| {
                !s.is_empty() && !s.contains("..") && !s.starts_with('-')
                    && !s.contains(|c: char| c == '/' || c.is_control() || c.is_whitespace())
            };
            macro_rules! check { ($($t:ty),*) => { $(if let Ok(n) = text.parse::<$t>() {
                prop_assert!(harmless(n.as_str()));
                prop_assert_eq!(n.to_string(), text.clone());
            })* } }
            check!(ServiceName, EnvironmentName, Tag, VarName, UserName, HostName, UnitName);
        }
    }
}
