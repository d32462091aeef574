//! Whom to log in as, and where. Parsing what an operator wrote is the manifest's business.

use std::fmt;

/// One login on one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The account to log in as.
    pub user: String,
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port of sshd.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port } = self;
        if host.contains(':') {
            write!(f, "{user}@[{host}]:{port}")
        } else {
            write!(f, "{user}@{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_bracketed() {
        let target = Target { user: "deploy".into(), host: "fe80::1".into(), port: 22 };
        assert_eq!(target.to_string(), "deploy@[fe80::1]:22");
    }
}
