//! `root:` of the manifest: where a service's releases stand on a host.
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The folder on a host that holds all that shipit keeps about a service: absolute, or below the login user's home
/// directory (`~/`). At least two names deep when it is absolute, so that it is never a folder of the system's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRoot(String);

/// Why a text can't be a service's root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ServiceRootError {
    /// It is neither absolute nor below the home directory.
    #[error("it is relative; a root begins with `/` or `~/`")]
    Relative,
    /// It can't stand on one line, or has an empty part, `.` or `..` in it.
    #[error("it is not a plain path")]
    NotPlain,
    /// It is a folder that belongs to the system.
    #[error("it is a folder of the system's; a root is the service's alone, such as `/srv/api`")]
    OfTheSystem,
}

impl ServiceRoot {
    /// The path, with `~/` for the home directory.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceRoot {
    type Err = ServiceRootError;

    fn from_str(text: &str) -> Result<Self, ServiceRootError> {
        // Hierarchy of file-hierarchy(7) that packages or the kernel own whole.
        const OWNED: [&str; 9] =
            ["/usr/", "/etc/", "/bin/", "/sbin/", "/lib/", "/proc/", "/sys/", "/dev/", "/boot/"];
        let text = text.trim_end_matches('/');
        let below = match text.strip_prefix("~/") {
            Some(below) => below,
            None => text.strip_prefix('/').ok_or(ServiceRootError::Relative)?,
        };
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
        if text.len() > 1024 || text.contains(char::is_control) || !below.split('/').all(plain) {
            return Err(ServiceRootError::NotPlain);
        }
        let local = text.starts_with("/usr/local/lib/") || text.starts_with("/usr/local/libexec/");
        let deep = text.starts_with('~') || below.contains('/');
        if !deep || (!local && OWNED.iter().any(|folder| text.starts_with(folder))) {
            return Err(ServiceRootError::OfTheSystem);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_root_is_a_plain_path_of_the_services_own() {
        for good in ["/opt/api", "/srv/a b/c", "~/apps/api", "/usr/local/lib/api", "/opt/api/", "~/api"] {
            let root: ServiceRoot = good.parse().unwrap();
            assert_eq!(root.as_str(), good.trim_end_matches('/'));
        }
        for (bad, why) in [
            ("opt/api", ServiceRootError::Relative),
            ("~api", ServiceRootError::Relative),
            ("/opt/../etc", ServiceRootError::NotPlain),
            ("/opt//api", ServiceRootError::NotPlain),
            ("/", ServiceRootError::Relative),
            ("~/", ServiceRootError::Relative),
            ("/opt", ServiceRootError::OfTheSystem),
            ("/etc/api", ServiceRootError::OfTheSystem),
            ("/usr/lib/api", ServiceRootError::OfTheSystem),
        ] {
            assert_eq!(bad.parse::<ServiceRoot>(), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_root_leads_elsewhere(text in "[~/a.\n-]{0,12}") {
            if let Ok(root) = text.parse::<ServiceRoot>() {
                prop_assert!(root.as_str().split('/').all(|part| part != ".." && part != "."));
                prop_assert!(!root.as_str().contains('\n'));
            }
        }
    }
}
