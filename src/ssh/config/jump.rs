//! The argument of ProxyJump: `[user@]host[:port]` or `ssh://[user@]host[:port]`, several with commas between them.

use super::login::Login;
use super::value;

/// Reads a list of jump hosts. The first is the first that is connected to. Empty for `none`.
pub(super) fn parse(text: &str) -> Result<Vec<Login>, String> {
    let text = text.split('#').next().unwrap_or_default().trim_end();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    text.split(',').map(|one| read_one(one).ok_or_else(|| format!("`{one}` is not a jump host"))).collect()
}

fn read_one(text: &str) -> Option<Login> {
    let (user, place) = match text.strip_prefix("ssh://") {
        Some(uri) => {
            let uri = uri.strip_suffix('/').unwrap_or(uri);
            match uri.split_once('@') {
                // Connection parameters, which nobody has defined, are ignored.
                Some((user, place)) => (Some(percent_decoded(user.split(';').next()?)?), place),
                None => (None, uri),
            }
        }
        None => match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, text),
        },
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(value::port(port)?),
    };
    let user = match user {
        Some(user) if user.is_empty() => return None,
        user => user,
    };
    is_safe_host(host).then(|| Login { user, host: host.to_owned(), port })
}

/// `%41` in URIs (RFC 3986, section 2.1).
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// As ssh_valid_hostname() of OpenSSH's readconf.c: what can neither be taken for an option nor mean something to a shell.
pub(super) fn is_safe_host(host: &str) -> bool {
    let special = |c: char| "'`\"$\\;&<>|(){},".contains(c) || c.is_whitespace() || c.is_control();
    !host.is_empty() && !host.starts_with('-') && !host.contains(special)
}

/// As ssh_valid_ruser(), and neither white space nor what a shell would expand.
pub(super) fn is_safe_user(user: &str) -> bool {
    let special = |c: char| "'`\"$;&<>|(){}*?[]~#!".contains(c) || c.is_whitespace() || c.is_control();
    !user.is_empty() && !user.starts_with('-') && !user.ends_with('\\') && !user.contains(special)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> (Option<String>, String, Option<u16>) {
        let [jump] = &parse(text).unwrap()[..] else { panic!("one") };
        (jump.user.clone(), jump.host.clone(), jump.port)
    }

    #[test]
    fn a_jump_host_has_a_user_and_a_port_or_not() {
        let user = || Some("ada".to_owned());
        assert_eq!(one("bastion"), (None, "bastion".into(), None));
        assert_eq!(one("ada@bastion:2222"), (user(), "bastion".into(), Some(2222)));
        assert_eq!(one("[2001:db8::1]:22"), (None, "2001:db8::1".into(), Some(22)));
        assert_eq!(one("ada@[10.0.0.1]"), (user(), "10.0.0.1".into(), None));
        assert_eq!(one("ada@corp@bastion"), (Some("ada@corp".into()), "bastion".into(), None));
        assert_eq!(one("ssh://ada@bastion:2222"), (user(), "bastion".into(), Some(2222)));
        assert_eq!(one("ssh://%61da;x=y@bastion/"), (user(), "bastion".into(), None));
    }

    #[test]
    fn several_come_in_the_order_in_which_they_are_connected_to() {
        let hosts: Vec<_> =
            parse("a,b@c:1 # over the old one").unwrap().into_iter().map(|jump| jump.host).collect();
        assert_eq!(hosts, ["a", "c"]);
        assert_eq!(parse("None").unwrap(), []);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "a,",
            ",a",
            "@a",
            "a:0",
            "a:x",
            "[::1",
            "[::1]x",
            "-oProxyCommand=x",
            "a;b",
            "a b",
            "ssh://%zz@a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            if let Ok(jumps) = parse(&text) {
                prop_assert!(jumps.iter().all(|jump| is_safe_host(&jump.host)));
            }
        }
    }
}
