//! A login as it is written: by somebody who wants to get there, or in a ProxyJump.

use std::fmt;

/// `[user@]host[:port]`. What is left out comes from the configuration; what is there wins over it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// Whom to log in as.
    pub user: Option<String>,
    /// The host, by the name that the configuration knows it by; an address without brackets.
    pub host: String,
    /// The TCP port of sshd.
    pub port: Option<u16>,
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => f.write_str(&self.host),
        }
    }
}
