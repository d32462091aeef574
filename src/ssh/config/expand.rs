//! What `~`, tokens and environment variables in values stand for: ssh_config(5), "TOKENS" and "ENVIRONMENT VARIABLES".

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha1::{Digest as _, Sha1};

/// The operator and the machine that shipit runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// The home directory: `~`, `%d`.
    pub(super) home: PathBuf,
    /// The login name: `%u`. `None` when there is none.
    pub(super) user: Option<String>,
}

impl Machine {
    /// `%l`: the name of this machine.
    fn name() -> Option<String> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        name.or_else(|| std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()))
    }

    /// The login name, as ssh has it: by the user database. `USER` counts only for those who are not in /etc/passwd.
    pub(super) fn local_user() -> Option<String> {
        let named = Self::uid().and_then(|uid| passwd(2, &uid.to_string(), 0));
        let variable = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
        named.or_else(|| variable("USER")).or_else(|| variable("LOGNAME"))
    }

    /// `%i`: the number of the user we run as.
    pub(super) fn uid() -> Option<u32> {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").ok().map(|own| own.uid())
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    pub(super) machine: &'a Machine,
    /// `%h`: the name that is connected to.
    pub(super) host: &'a str,
    /// `%n`: the name as it was asked for.
    pub(super) original: &'a str,
    /// `%p`.
    pub(super) port: u16,
    /// `%r`: whom to log in as.
    pub(super) user: &'a str,
    /// `%k`, when there is one.
    pub(super) alias: Option<&'a str>,
    /// `%j`, when there is one.
    pub(super) jump: Option<&'a str>,
}

/// Which tokens a keyword takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Those of HostName.
    HostName,
    /// Those of ProxyCommand and ProxyJump.
    Proxy,
    /// Those of paths. Variables, too.
    Path,
}

impl Accepted {
    fn tokens(self) -> &'static str {
        match self {
            Self::HostName => "h",
            Self::Proxy => "hknpr",
            Self::Path => "CLdhijklnpru",
        }
    }
}

impl Tokens<'_> {
    /// Puts in what tokens stand for, and variables where the keyword takes them. What is wrong is said in words.
    pub(super) fn expand(&self, text: &str, accepted: Accepted) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            if let (Some(variable), Accepted::Path) = (rest.strip_prefix("${"), accepted) {
                let (name, behind) = variable.split_once('}').ok_or("a `${` without its `}`")?;
                let value = std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?;
                expanded.push_str(&value);
                rest = behind;
            } else if let Some(token) = rest.strip_prefix('%') {
                let token = token.chars().next().ok_or("a single `%` at the end; write `%%`")?;
                if token != '%' && !accepted.tokens().contains(token) {
                    return Err(format!("there is no token `%{token}` here"));
                }
                expanded.push_str(&self.token(token)?);
                rest = &rest[1 + token.len_utf8()..];
            } else {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The same for a path, which may begin with `~`.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        let text = tilde(text, &self.machine.home)?;
        let text = text.to_str().ok_or("the home directory is not UTF-8")?;
        Ok(self.expand(text, Accepted::Path)?.into())
    }

    fn token(&self, token: char) -> Result<String, String> {
        let local = || Machine::name().ok_or("the name of this machine is not known");
        Ok(match token {
            '%' => "%".to_owned(),
            'C' => self.hash(&local()?)?,
            'd' => self.machine.home.to_str().ok_or("the home directory is not UTF-8")?.to_owned(),
            'h' => self.host.to_owned(),
            'i' => Machine::uid().ok_or("the number of the user is not known")?.to_string(),
            'j' => self.jump.unwrap_or_default().to_owned(),
            'k' => self.alias.unwrap_or(self.original).to_owned(),
            'L' => local()?.split('.').next().unwrap_or_default().to_owned(),
            'l' => local()?,
            'n' => self.original.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'u' => self.machine.user.clone().ok_or("the login name is not known")?,
            other => return Err(format!("there is no token `%{other}` here")),
        })
    }

    /// `%C`, as ssh_connection_hash() of OpenSSH's readconf.c.
    fn hash(&self, local: &str) -> Result<String, String> {
        if self.jump.is_some() {
            return Err("versions of OpenSSH differ about `%C` where there is a jump host".to_owned());
        }
        let digest = Sha1::new()
            .chain_update(local)
            .chain_update(self.host)
            .chain_update(self.port.to_string())
            .chain_update(self.user)
            .finalize();
        Ok(digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

/// `~` and `~/...` are in `home`; `~ada/...` is looked up in /etc/passwd.
pub(super) fn tilde(text: &str, home: &Path) -> Result<PathBuf, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text.into()) };
    let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
    let home = if user.is_empty() { home.to_owned() } else { home_of(user)? };
    Ok(match path.trim_start_matches('/') {
        "" => home,
        path => home.join(path),
    })
}

fn home_of(user: &str) -> Result<PathBuf, String> {
    let home = passwd(0, user, 5).map(PathBuf::from);
    home.ok_or_else(|| format!("the home directory of {user} is not in /etc/passwd"))
}

/// A field of the line in /etc/passwd whose field `key` is this.
fn passwd(key: usize, value: &str, field: usize) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').nth(key) == Some(value))?;
    line.split(':').nth(field).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine() -> Machine {
        Machine { home: "/home/ada".into(), user: Some("ada".into()) }
    }

    fn tokens(machine: &Machine) -> Tokens<'_> {
        Tokens {
            machine,
            host: "web1.example.com",
            original: "web1",
            port: 2222,
            user: "deploy",
            alias: None,
            jump: None,
        }
    }

    #[test]
    fn a_path_may_hold_tokens_and_variables_and_begin_at_home() {
        let machine = machine();
        let path = |text: &str| tokens(&machine).path(text).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(path("~/.ssh/%r@%h:%p").unwrap(), "/home/ada/.ssh/deploy@web1.example.com:2222");
        assert_eq!(path("%d/%n-%k-%u%%").unwrap(), "/home/ada/web1-web1-ada%");
        assert_eq!(path("~").unwrap(), "/home/ada");
        assert_eq!(path("~root/x").unwrap(), "/root/x");
        assert_eq!(path("relative/$x").unwrap(), "relative/$x");
        assert_eq!(path("/x/${PATH}").unwrap(), format!("/x/{}", std::env::var("PATH").unwrap()));
        for (text, expected) in [
            ("%", "a single `%`"),
            ("%z", "no token `%z`"),
            ("${NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE is not set"),
            ("${X", "without its `}`"),
            ("~no-such-user/x", "/etc/passwd"),
        ] {
            let error = path(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_command_takes_fewer_tokens_and_leaves_variables_to_the_shell() {
        let machine = machine();
        let tokens = tokens(&machine);
        let command = tokens.expand("nc ${PROXY} %h %p '%n' %r", Accepted::Proxy).unwrap();
        assert_eq!(command, "nc ${PROXY} web1.example.com 2222 'web1' deploy");
        assert!(tokens.expand("%d", Accepted::Proxy).is_err());
        assert!(tokens.expand("%p", Accepted::HostName).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[~%$\\{}/a-zA-Z é]{0,20}") {
            let machine = machine();
            let _ = tokens(&machine).path(&text);
            let _ = tokens(&machine).expand(&text, Accepted::Proxy);
        }
    }
}
