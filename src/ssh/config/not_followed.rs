//! What the configuration asks for and shipit does not do, though ssh would act otherwise by it: to be said, since nobody
//! would guess it.
use std::fmt;
use std::net::IpAddr;

use super::{HostConfig, StrictHostKeyChecking};

/// A setting that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotFollowed {
    /// `StrictHostKeyChecking no`.
    StrictHostKeyCheckingNo,
    /// `KnownHostsCommand`.
    KnownHostsCommand,
    /// `VerifyHostKeyDNS`.
    VerifyHostKeyDns,
    /// `NoHostAuthenticationForLocalhost`, for this machine.
    NoHostAuthenticationForLocalhost,
    /// `CheckHostIP`.
    CheckHostIp,
    /// `HostbasedAuthentication`.
    HostbasedAuthentication,
    /// `PKCS11Provider`.
    Pkcs11Provider,
}

impl NotFollowed {
    /// As ssh_config(5) writes it.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::StrictHostKeyCheckingNo => "StrictHostKeyChecking no",
            Self::KnownHostsCommand => "KnownHostsCommand",
            Self::VerifyHostKeyDns => "VerifyHostKeyDNS",
            Self::NoHostAuthenticationForLocalhost => "NoHostAuthenticationForLocalhost",
            Self::CheckHostIp => "CheckHostIP",
            Self::HostbasedAuthentication => "HostbasedAuthentication",
            Self::Pkcs11Provider => "PKCS11Provider",
        }
    }

    /// What it means for the operator.
    #[must_use]
    pub fn consequence(self) -> &'static str {
        match self {
            Self::StrictHostKeyCheckingNo => "a new key is written down, and one that has changed is refused",
            Self::KnownHostsCommand => "hosts that only this command knows are unknown",
            Self::VerifyHostKeyDns => "keys are not looked up in DNS",
            Self::NoHostAuthenticationForLocalhost => "this machine has to prove who it is like any other",
            Self::CheckHostIp => "addresses are not looked up in known_hosts",
            Self::HostbasedAuthentication => "shipit does not log in that way",
            Self::Pkcs11Provider => "its keys are used through an agent only: ssh-add -s LIBRARY",
        }
    }
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting(), self.consequence())
    }
}

impl HostConfig {
    /// What of it is not followed.
    #[must_use]
    pub fn not_followed(&self) -> Vec<NotFollowed> {
        let is_this_machine = || {
            let address = self.hostname.parse::<IpAddr>();
            self.hostname == "localhost" || address.is_ok_and(|address| address.is_loopback())
        };
        [
            (
                self.strict_host_key_checking == StrictHostKeyChecking::No,
                NotFollowed::StrictHostKeyCheckingNo,
            ),
            (self.known_hosts_command.is_some(), NotFollowed::KnownHostsCommand),
            (self.verify_host_key_dns, NotFollowed::VerifyHostKeyDns),
            (
                self.no_host_authentication_for_localhost && is_this_machine(),
                NotFollowed::NoHostAuthenticationForLocalhost,
            ),
            (self.check_host_ip, NotFollowed::CheckHostIp),
            (self.hostbased_authentication, NotFollowed::HostbasedAuthentication),
            (self.pkcs11_provider, NotFollowed::Pkcs11Provider),
        ]
        .into_iter()
        .filter_map(|(set, what)| set.then_some(what))
        .collect()
    }
}
