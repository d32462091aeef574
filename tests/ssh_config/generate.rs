//! Configuration files by chance, from what people and mistakes put into them. The same seed gives the same file.

use crate::corpus::{Case, login};

const PATTERNS: &[&str] =
    &["web1", "web*", "!web1", "*", "db", "?eb1", "\"web1\"", "!db", "*1", "WEB1", "we*1"];

const LINES: &[(&str, &[&str])] = &[
    ("User", &["deploy", "\"ada\"", "corp\\\\ada", "a b", "\"\"", "root # me"]),
    ("Port", &["22", "2222", "0", "x", "65535", "\"23\"", "070"]),
    ("HostName", &["10.0.0.1", "%h.example.com", "Web.Example.COM", "::1", "a%%b", "%p"]),
    ("IdentityFile", &["~/.ssh/id", "/k/%r@%h", "\"/k/my key\"", "none", "/k/a /k/b", "%d/x", "/k/%z"]),
    ("IdentitiesOnly", &["yes", "no", "TRUE", "maybe", "false"]),
    ("Ciphers", &["aes256-ctr,aes128-ctr", "+aes128-cbc", "-aes*", "^aes256-ctr"]),
    ("KexAlgorithms", &["curve25519-sha256", "+diffie-hellman-group14-sha1"]),
    ("MACs", &["hmac-sha2-256", "-hmac-sha1*"]),
    ("RequiredRSASize", &["2048", "0", "x", "1024", "-1"]),
    ("CertificateFile", &["/k/c", "~/c", "/k/%n%%"]),
    ("UserKnownHostsFile", &["/k/a", "/k/a /k/b", "none", "/k/a none", "~/k", "\"/k/a b\" /c"]),
    ("GlobalKnownHostsFile", &["/k/g", "none", "/k/g ~/h"]),
    ("StrictHostKeyChecking", &["yes", "no", "ask", "accept-new", "off", "perhaps"]),
    ("HostKeyAlias", &["alias", "\"The Alias\""]),
    ("ConnectTimeout", &["5", "1m", "none", "x", "1h30", ""]),
    ("ServerAliveInterval", &["15", "0", "1m", "-1"]),
    ("ServerAliveCountMax", &["2", "x"]),
    ("ConnectionAttempts", &["3", "1"]),
    ("AddressFamily", &["inet", "inet6", "any", "INET", "ipv6"]),
    ("ProxyJump", &["gate", "none", "ops@gate:22", "a,b", "a:0", "ops@[::1]:22", "%r@gate"]),
    ("ProxyCommand", &["nc %h %p", "none", "\"nc\" %h # x", "connect %r@%n"]),
    ("IdentityAgent", &["none", "SSH_AUTH_SOCK", "~/agent", "/a/%r"]),
    ("HashKnownHosts", &["yes", "no"]),
    ("UpdateHostKeys", &["yes", "no"]),
    ("BatchMode", &["yes", "no"]),
    ("ForwardAgent", &["no"]),
    ("IgnoreUnknown", &["Nope", "Nope,Other"]),
    ("Nope", &["yes"]),
    ("Compression", &["no"]),
];

struct Chance(u64);

impl Chance {
    /// Below `limit`: the high bits of a linear congruential generator (Knuth's MMIX).
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn line(&mut self) -> String {
        let (keyword, values) = LINES[self.below(LINES.len())];
        // The first values are good ones, and mostly taken.
        let value =
            if self.below(12) == 0 { self.of(values) } else { values[self.below(values.len().min(2))] };
        let keyword = match self.below(4) {
            0 => keyword.to_uppercase(),
            1 => keyword.to_lowercase(),
            _ => keyword.to_owned(),
        };
        let between = self.of(&[" ", "\t", "=", " = ", "   ", " =\t"]);
        let (before, after) = (self.of(&["", "  ", "\t"]), self.of(&["", "", " ", "\r"]));
        format!("{before}{keyword}{between}{value}{after}\n")
    }
}

pub(crate) fn case(seed: u64) -> Case {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let mut config = String::new();
    for _ in 0..chance.below(5) {
        if chance.below(3) != 0 {
            let patterns: Vec<_> = (0..=chance.below(3)).map(|_| chance.of(PATTERNS)).collect();
            config.push_str(&format!("Host {}\n", patterns.join(" ")));
        }
        for _ in 0..chance.below(5) {
            config.push_str(&chance.line());
        }
        config.push_str(chance.of(&["", "\n", "# Port 1\n"]));
    }
    let asks = vec![login("web1"), login("deploy@db:2022")];
    Case { name: format!("generated {seed}"), asks, config, more: Vec::new() }
}
