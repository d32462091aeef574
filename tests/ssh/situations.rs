//! The situations that ssh and we are asked about. In texts, `{ed}` is the public key of that name, `{hash#NAME}` a hashed
//! name, and `{case}` the folder of the files.

use crate::parity::Verdict;
use crate::parity_site::{KRLS, SERVERS};

pub(crate) const WEB1: &str = "web1.example.com";

/// One question.
#[derive(Clone)]
pub(crate) struct Situation {
    pub(crate) name: String,
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) server: &'static str,
    /// `user`, `user2`, `global`, and what the configuration names.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Lines of ssh_config that come first.
    pub(crate) config: String,
    /// Where we mean to differ: what we say, and why.
    pub(crate) difference: Option<(Verdict, &'static str)>,
}

impl Situation {
    pub(crate) fn new(server: &'static str, known: &str) -> Self {
        Self {
            name: format!("{server}, {known:?}"),
            host: WEB1,
            port: 22,
            server,
            files: vec![("user", known.to_owned())],
            config: String::new(),
            difference: None,
        }
    }

    pub(crate) fn at(mut self, host: &'static str, port: u16) -> Self {
        self.name = format!("{host}:{port}, {}", self.name);
        (self.host, self.port) = (host, port);
        self
    }

    pub(crate) fn file(mut self, name: &'static str, text: &str) -> Self {
        self.name = format!("{}, {name} {text:?}", self.name);
        self.files.push((name, text.to_owned()));
        self
    }

    pub(crate) fn config(mut self, line: &str) -> Self {
        self.name = format!("{}, {line}", self.name);
        self.config += &format!("{line}\n");
        self
    }

    fn differs(mut self, ours: Verdict, why: &'static str) -> Self {
        self.difference = Some((ours, why));
        self
    }
}

/// First fields of a line.
const NAMES: &[&str] = &[
    "web1.example.com",
    "WEB1.Example.COM",
    "web1.example.com,10.0.0.1",
    "10.0.0.1,web1.example.com",
    "web2.example.com",
    "*.example.com",
    "*.EXAMPLE.com",
    "web?.example.com",
    "?eb1.example.com",
    "web1?.example.com",
    "*",
    "**.example.com",
    "w*1*.c*m",
    "web1*",
    "*web1",
    "!web1.example.com",
    "*.example.com,!web1.example.com",
    "!web1.example.com,*.example.com",
    "!WEB1.example.com,*",
    "!web2.example.com,*.example.com",
    "!db*,*.example.com",
    "!*,web1.example.com",
    "!!web1.example.com,*.example.com",
    "[web1.example.com]:22",
    "[web1.example.com]:2222",
    "[WEB1.example.com]:2222",
    "[web1.example.com]:2223",
    "[*.example.com]:2222",
    "[web1.example.com]:*",
    "[web1.example.com]:22?2",
    "*:2222",
    "*,![*]:2222",
    "web1.example.com:2222",
    "[web1.example.com]",
    "web1.example.com,[web1.example.com]:2222",
    "web1.example.com,,x",
    ",web1.example.com",
    "web1.example.com,",
    "web1.example",
    "eb1.example.com",
    "web1.example.com.",
    "{hash#web1.example.com}",
    "{hash#[web1.example.com]:2222}",
    "{hash#[web1.example.com]:22}",
    "{hash#WEB1.example.com}",
    "{hash#web2.example.com}",
    "{hash#*.example.com}",
    "{hash#web1.example.com},x",
    "x,{hash#web1.example.com}",
    "!{hash#web1.example.com}",
    "|1|rubbish",
    "|1|c2hvcnQ=|c2hvcnQ=",
    "|2|{hash#web1.example.com}",
    "|",
];

/// Whole files, about a host with the key `ed`.
const FILES: &[&str] = &[
    "",
    "\n\n\n",
    "# web1.example.com {ed}\n",
    "# a comment\n\nweb1.example.com {ed}\n",
    "web1.example.com {ed}",
    "web1.example.com {ed} root@web1 # and more\n",
    "web1.example.com {ed}\r\n",
    "# a comment\r\n\r\nweb1.example.com {ed} root@web1\r\n",
    "  web1.example.com {ed}\n",
    "\tweb1.example.com\t{ed}\n",
    "web1.example.com \t  {ed}\n",
    "web1.example.com {ed}\t\n",
    "web1.example.com {other}\n",
    "web1.example.com {other}\nweb1.example.com {ed}\n",
    "web1.example.com {ed}\nweb1.example.com {other}\n",
    "web1.example.com {ed}\nweb1.example.com {ed}\n",
    "web1.example.com {rsa}\n",
    "web1.example.com {rsa}\nweb1.example.com {ed}\n",
    "web1.example.com {rsa}\nweb1.example.com {ec}\n",
    "rubbish\nweb1.example.com {ed}\n",
    "rubbish and more of it\n\u{1}\u{2}\nweb1.example.com {ed}\n",
    "\\xff\\xff {ed}\nweb1.example.com {ed} caf\\xff\n",
    "web\\xff.example.com,web1.example.com {ed}\n",
    "web1.example.com\n",
    "web1.example.com \n",
    "web1.example.com ssh-ed25519\n",
    "web1.example.com ssh-ed25519 \n",
    "web1.example.com ssh-ed25519 !!!!\n",
    "web1.example.com ssh-ed25519 AAAA\n",
    "web1.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n",
    "web1.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\nweb1.example.com {ed}\n",
    "web1.example.com ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIIDO5Du9XtAGiC4/7RmpnlE0xD5SHqZ4jGZ2GpCdRqzD\n",
    "web1.example.com 1024 35 12345678901234567890\n",
    "web1.example.com unknown-type AAAAC3NzaC1lZDI1NTE5AAAAIA==\n",
    "web1.example.com #{ed}\n",
    "web1.example.com # {ed}\n",
    "web1.example.com {ed}\n@unknown * {ed}\n",
    "@unknown web1.example.com {ed}\n",
    "@ web1.example.com {ed}\n",
    "@cert-authority web1.example.com {ed}\n",
    "@cert-authority * {ca}\n",
    "@cert-authority * {ca}\nweb1.example.com {ed}\n",
    "@cert-authority * {ca}\nweb1.example.com {other}\n",
    "@revoked web1.example.com {ed}\n",
    "web1.example.com {ed}\n@revoked web1.example.com {ed}\n",
    "@revoked web1.example.com {ed}\nweb1.example.com {ed}\n",
    "web1.example.com {ed}\n@revoked * {ed}\n",
    "web1.example.com {ed}\n@revoked *.example.com,!web1.example.com {ed}\n",
    "web1.example.com {ed}\n@revoked {hash#web1.example.com} {ed}\n",
    "web1.example.com {ed}\n@revoked {hash#web2.example.com} {ed}\n",
    "web1.example.com {ed}\n@revoked web2.example.com {ed}\n",
    "web1.example.com {ed}\n@revoked web1.example.com {other}\n",
    "web1.example.com {other}\n@revoked web1.example.com {ed}\n",
    "web1.example.com {other}\n@revoked web1.example.com {other}\n",
    "@revoked web1.example.com {other}\n",
    "web1.example.com {ed}\n @revoked \t web1.example.com \t {ed} \n",
    "web1.example.com {ed}\n@revoked * {ed}\r\n",
    "web1.example.com {ed}\n@Revoked * {ed}\n",
    "web1.example.com {ed}\n@revoked\tweb2.example.com\t{ed}\n",
    "web1.example.com {ed}\n@revoked @revoked * {ed}\n",
    "web1.example.com {ed}\n@revoked @cert-authority * {ed}\n",
    "web1.example.com {ed}\n@revoked\n",
    "web1.example.com {ed}\n@revoked *\n",
    "web1.example.com {ed}\n@revoked * rubbish\n",
    "web1.example.com {ed}\n@revoked {ed}\n",
    // A certificate where a key is expected.
    "web1.example.com {ed}\n@revoked * {ed_good-cert}\n",
    "web1.example.com {ed}\n@revoked * {ed_expired-cert}\n",
    "web1.example.com {ed}\n@revoked web2.example.com {ed_good-cert}\n",
    "web1.example.com {ed}\n@revoked * {rsa_good-cert}\n",
    "web1.example.com {ed_good-cert}\n",
    "web1.example.com {ed_good-cert}\nweb1.example.com {ed}\n",
];

/// Where what is known decides which key is asked for: files about a host with the keys `ed`, `ec` and `rsa`.
const ORDERS: &[&str] = &[
    "web1.example.com {ed}\n",
    "web1.example.com {ec}\n",
    "web1.example.com {rsa}\n",
    "web1.example.com {ec}\nweb1.example.com {rsa}\n",
    "web1.example.com {rsa}\nweb1.example.com {other}\n",
    "web1.example.com {rsa}\nweb1.example.com {otherec}\n",
    "web1.example.com {ec}\nweb1.example.com {otherrsa}\n",
    "web1.example.com {otherrsa}\n",
    "web2.example.com {rsa}\n",
    "@revoked web1.example.com {ed}\nweb1.example.com {rsa}\n",
    "@revoked web1.example.com {rsa}\nweb1.example.com {rsa}\n",
    "@revoked web1.example.com {ed}\n",
    "@revoked * {otherrsa}\nweb1.example.com {rsa}\n",
    "web1.example.com {rsa}\n@revoked * {rsa}\n",
    "web1.example.com {rsa}\nweb1.example.com {ed}\n@revoked * {ed}\n",
    "@cert-authority web1.example.com {ca}\nweb1.example.com {rsa}\n",
    "{hash#web1.example.com} {rsa}\n",
    "*.example.com {rsa}\n",
];

/// What is known of a host with a certificate by `ca`.
const AUTHORITIES: &[&str] = &[
    "@cert-authority web1.example.com {ca}\n",
    "@cert-authority *.example.com {ca}\n",
    "@cert-authority * {ca} the company's\n",
    "@cert-authority *.example.com,!web1* {ca}\n",
    "@cert-authority *.example.org {ca}\n",
    "@cert-authority {hash#web1.example.com} {ca}\n",
    "@cert-authority [web1.example.com]:2222 {ca}\n",
    "@cert-authority web1.example.com {ca2}\n",
    "@cert-authority web1.example.com {ca2}\n@cert-authority * {ca}\n",
    "@cert-authority web1.example.com {ed}\n",
    "web1.example.com {ca}\n",
    "web1.example.com {ed}\n",
    "web1.example.com {other}\n",
    "web1.example.com {other}\n@cert-authority * {ca}\n",
    "web1.example.com {ed}\n@cert-authority * {ca2}\n",
    "web1.example.com {other}\n@cert-authority * {ca2}\n",
    "@cert-authority * {ca}\n@revoked * {ca}\n",
    "@cert-authority * {ca}\n@revoked * {ed}\n",
    "@cert-authority * {ca}\n@revoked * {other}\n",
    "@cert-authority * {ca}\n@revoked web2.example.com {ca}\n",
    "web1.example.com {ed}\n@revoked * {ca}\n",
    "@revoked * {ca}\n",
    "@cert-authority * {ca}\n@revoked * {ed_good-cert}\n",
    "@cert-authority * {ca}\n@revoked * {ed_ca2-cert}\n",
    "@cert-authority * {ca}\n@revoked * {ec_good-cert}\n",
    "",
];

pub(crate) fn all() -> Vec<Situation> {
    let mut all = Vec::new();
    for names in NAMES {
        let line = format!("{names} {{ed}}\n");
        all.push(Situation::new("ed", &line));
        all.push(Situation::new("ed", &line).at(WEB1, 2222));
    }
    for names in NAMES.iter().step_by(4) {
        let line = format!("{names} {{other}}\n");
        all.push(Situation::new("ed", &line));
        all.push(Situation::new("ed", &line).at(WEB1, 2222));
    }
    all.extend(FILES.iter().map(|file| Situation::new("ed", file)));
    all.extend(ORDERS.iter().map(|file| Situation::new("all", file)));
    all.extend(AUTHORITIES.iter().map(|file| Situation::new("good", file)));
    all.extend(tabs());
    all.extend(names_and_ports());
    all.extend(several_files());
    all.extend(certificates());
    all.extend(options());
    all.extend(revocation_lists());
    all
}

fn tabs() -> Vec<Situation> {
    vec![
        Situation::new("ed", "web1.example.com {ed}\n@revoked\tweb1.example.com {ed}\n")
            .differs(Verdict::Revoked, "a marker may end in a tab"),
        Situation::new("good", "@cert-authority\tweb1.example.com {ca}\n")
            .differs(Verdict::Accepted, "a marker may end in a tab"),
    ]
}

fn names_and_ports() -> Vec<Situation> {
    let both = "web1.example.com {ed}\n[web1.example.com]:2222 {other}\n";
    let six = "2001:db8::1 {ed}\n[2001:db8::2]:2222 {ed}\n";
    vec![
        Situation::new("ed", "web1.example.com {ed}\n").at("WEB1.Example.com", 22),
        Situation::new("ed", "{hash#web1.example.com} {ed}\n").at("WEB1.Example.com", 22),
        Situation::new("ed", both),
        Situation::new("ed", both).at(WEB1, 2222),
        Situation::new("ed", both).at(WEB1, 2223),
        Situation::new("ed", "web1.example.com {other}\n").at(WEB1, 2222),
        Situation::new("all", "[web1.example.com]:2222 {rsa}\n").at(WEB1, 2222),
        Situation::new("all", "web1.example.com {rsa}\n").at(WEB1, 2222),
        Situation::new("ed", six).at("2001:db8::1", 22),
        Situation::new("ed", six).at("2001:db8::2", 2222),
        Situation::new("ed", six).at("2001:db8::2", 22),
        Situation::new("ed", "2001:DB8::1 {ed}\n").at("2001:db8::1", 22),
        Situation::new("ed", "10.0.0.? {ed}\n").at("10.0.0.7", 22),
        Situation::new("ed", "10.0.0.0/24 {ed}\n").at("10.0.0.7", 22),
        Situation::new("ed", "web1 {ed}\n").at("web1", 22).config("HostName web1.example.com"),
        Situation::new("ed", "web1.example.com {ed}\n").at("web1", 22).config("HostName web1.example.com"),
        Situation::new("ed", "the-web {ed}\n").config("HostKeyAlias the-web"),
        Situation::new("ed", "web1.example.com {ed}\n").config("HostKeyAlias the-web"),
        Situation::new("ed", "the-web {ed}\n").config("HostKeyAlias the-web").at(WEB1, 2222),
        Situation::new("ed", "[the-web]:2222 {ed}\n").config("HostKeyAlias the-web").at(WEB1, 2222),
        Situation::new("ed", "the-web {ed}\n").config("HostKeyAlias The-Web"),
        Situation::new("ed", "{hash#the-web} {ed}\n").config("HostKeyAlias The-Web"),
        Situation::new("ed", "the-web {other}\nweb1.example.com {ed}\n").config("HostKeyAlias the-web"),
        Situation::new("ed", "web1.example.com {ed}\n@revoked web1.example.com {ed}\n").at(WEB1, 2222),
        Situation::new("ed", "[web1.example.com]:2222 {ed}\n@revoked web1.example.com {ed}\n")
            .at(WEB1, 2222)
            .differs(Verdict::Revoked, "a key revoked under the name is revoked on every port"),
        Situation::new("ed", "[web1.example.com]:2222 {other}\nweb1.example.com {ed}\n").at(WEB1, 2222),
        Situation::new("good", "[web1.example.com]:2222 {other}\nweb1.example.com {ed}\n")
            .at(WEB1, 2222)
            .differs(Verdict::Changed, "a certificate that nobody vouches for makes no key right"),
        Situation::new("ed", "web1.example.com {ed}\n@revoked [web1.example.com]:2222 {ed}\n").at(WEB1, 2222),
        Situation::new("ed", "web1.example.com {ed}\n@revoked [web1.example.com]:2222 {ed}\n"),
    ]
}

fn several_files() -> Vec<Situation> {
    let known = "web1.example.com {ed}\n";
    let wrong = "web1.example.com {other}\n";
    let revoked = "@revoked * {ed}\n";
    vec![
        Situation::new("ed", "").file("user2", known),
        Situation::new("ed", "").file("global", known),
        Situation::new("ed", wrong).file("user2", known),
        Situation::new("ed", known).file("user2", wrong),
        Situation::new("ed", wrong).file("global", known),
        Situation::new("ed", known).file("global", wrong),
        Situation::new("ed", wrong).file("global", wrong),
        Situation::new("ed", known).file("user2", revoked),
        Situation::new("ed", known).file("global", revoked),
        Situation::new("ed", revoked).file("global", known),
        Situation::new("all", "").file("global", "web1.example.com {rsa}\n"),
        Situation::new("all", "web1.example.com {ec}\n").file("global", "web1.example.com {rsa}\n"),
        Situation::new("good", "").file("global", "@cert-authority * {ca}\n"),
        Situation::new("good", "@revoked * {ca}\n").file("global", "@cert-authority * {ca}\n"),
        Situation::new("ed", known).config("UserKnownHostsFile none"),
        Situation::new("ed", "").file("global", known).config("UserKnownHostsFile none"),
        Situation::new("ed", "").file("global", known).config("GlobalKnownHostsFile none"),
        Situation::new("ed", "")
            .file("third", known)
            .config("UserKnownHostsFile /does/not/exist {case}/third"),
    ]
}

fn certificates() -> Vec<Situation> {
    let by_ca = "@cert-authority * {ca}\n";
    let mut all: Vec<_> = SERVERS
        .iter()
        .map(|(server, _)| *server)
        .filter(|server| !["ed", "ec", "rsa", "all", "good"].contains(server))
        .flat_map(|server| {
            [
                Situation::new(server, by_ca),
                Situation::new(server, "@cert-authority * {ca}\nweb1.example.com {ed}\n"),
            ]
        })
        .collect();
    for (server, file) in [
        ("ca2", "@cert-authority * {ca2}\n"),
        ("caec", "@cert-authority * {caec}\n"),
        ("caec", "@cert-authority * {caec}\n@revoked * {caec}\n"),
        ("carsa", "@cert-authority * {carsa}\n"),
        ("sha1", "@cert-authority * {carsa}\n"),
        ("expired", "web1.example.com {other}\n@cert-authority * {ca}\n"),
        ("expired", "web1.example.com {ed}\n@revoked * {ca}\n"),
        ("mixed", "web1.example.com {rsa}\n"),
        ("mixed", "web1.example.com {rsa}\n@cert-authority * {ca}\n"),
        ("mixed", "web1.example.com {ed}\n@cert-authority * {ca2}\n"),
        ("mixed", "web1.example.com {ec}\n@cert-authority * {ca2}\n"),
        ("full", "web1.example.com {rsa}\n@revoked * {ec}\n"),
        ("full", "web1.example.com {rsa}\n@revoked * {ca}\n"),
        ("full", "web1.example.com {rsa}\n"),
        ("full", "web1.example.com {ec}\n@cert-authority * {ca2}\n"),
    ] {
        all.push(Situation::new(server, file));
    }
    all.extend([
        Situation::new("good", by_ca).at(WEB1, 2222),
        Situation::new("good", "@cert-authority web1.example.com {ca}\n").at(WEB1, 2222),
        Situation::new("good", "@cert-authority [*.example.com]:2222 {ca}\n").at(WEB1, 2222),
        Situation::new("port", by_ca).at(WEB1, 2222),
        Situation::new("good", by_ca).at("WEB1.example.com", 22),
        Situation::new("good", by_ca).at("web2.example.com", 22),
        Situation::new("wild", by_ca).at("web2.example.com", 22),
        Situation::new("wild", by_ca).at("web2.example.org", 22),
        Situation::new("any", by_ca).at("web2.example.org", 22),
        Situation::new("good", by_ca).config("HostKeyAlias the-web"),
        Situation::new("alias", by_ca).config("HostKeyAlias the-web"),
        Situation::new("alias", "@cert-authority the-web {ca}\n").config("HostKeyAlias the-web"),
        Situation::new("alias", "@cert-authority web1.example.com {ca}\n").config("HostKeyAlias the-web"),
        Situation::new("good", by_ca).at("web1", 22).config("HostName web1.example.com"),
    ]);
    all
}

fn revocation_lists() -> Vec<Situation> {
    let known = "web1.example.com {ed}\n";
    let by_ca = "@cert-authority * {ca}\n";
    let mut all: Vec<_> = KRLS
        .iter()
        .flat_map(|(krl, _)| {
            let line = format!("RevokedHostKeys {{site}}/{krl}");
            [
                Situation::new("ed", known).config(&line),
                Situation::new("dated", by_ca).config(&line),
                Situation::new("dated", known).config(&line),
            ]
        })
        .collect();
    for list in [
        "",
        "{ed}\n",
        "# a comment\n\n  {other} root\n{ed} root@web1\n",
        "{other}\n{otherrsa}\n",
        "{ca}\n",
        "rubbish\n",
        "{ed}\nrubbish\n",
        "{ed}\r\n",
        "{ed_good-cert}\n",
        "{other}\n{ed_expired-cert} root@web1\n",
        "{ec_good-cert}\n{rsa_good-cert}\n",
    ] {
        let line = "RevokedHostKeys {case}/list";
        all.push(Situation::new("ed", known).file("list", list).config(line));
        all.push(Situation::new("good", by_ca).file("list", list).config(line));
    }
    all.push(Situation::new("ed", known).config("RevokedHostKeys /does/not/exist"));
    all.push(Situation::new("good", by_ca).config("RevokedHostKeys /does/not/exist"));
    all
}

fn options() -> Vec<Situation> {
    let known = "web1.example.com {ed}\n";
    let by_ca = "@cert-authority * {ca}\n";
    vec![
        Situation::new("all", "web1.example.com {rsa}\n").config("HostKeyAlgorithms ssh-ed25519"),
        Situation::new("all", known).config("HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256"),
        Situation::new("all", "web1.example.com {rsa}\n").config("HostKeyAlgorithms rsa-sha2-256"),
        Situation::new("all", known).config("HostKeyAlgorithms -ssh-ed25519*"),
        Situation::new("all", known).config("HostKeyAlgorithms ^rsa-sha2-512").differs(
            Verdict::Accepted,
            "a key that is known and allowed is asked for first, whatever is preferred",
        ),
        Situation::new("all", "web1.example.com {rsa}\n").config("HostKeyAlgorithms ^rsa-sha2-512"),
        Situation::new("all", "").config("HostKeyAlgorithms ^ecdsa-sha2-nistp256"),
        Situation::new("all", known).config("HostKeyAlgorithms +ssh-rsa"),
        Situation::new("ed", known).config("HostKeyAlgorithms rsa-sha2-512"),
        Situation::new("good", by_ca).config("HostKeyAlgorithms ssh-ed25519"),
        Situation::new("good", by_ca).config("HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com"),
        Situation::new("good", known)
            .config("HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com")
            .differs(Verdict::Unknown, "who allows certificates only does not mean the bare key"),
        Situation::new("good", by_ca).config("HostKeyAlgorithms -*cert*"),
        Situation::new("full", by_ca).config("HostKeyAlgorithms ^rsa-sha2-512-cert-v01@openssh.com"),
        Situation::new("carsa", "@cert-authority * {carsa}\n").config("CASignatureAlgorithms ssh-ed25519"),
        Situation::new("carsa", "@cert-authority * {carsa}\n").config("CASignatureAlgorithms -rsa-sha2-512"),
        Situation::new("sha1", "@cert-authority * {carsa}\n").config("CASignatureAlgorithms +ssh-rsa"),
        Situation::new("good", by_ca).config("CASignatureAlgorithms rsa-sha2-512"),
        Situation::new("ed", known).file("gone", "{ed}\n").config("RevokedHostKeys {case}/gone"),
    ]
}
