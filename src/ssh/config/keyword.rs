//! The keywords of ssh_config(5): those that shipit acts on, with the form of their argument, and those it only has to
//! know, so that a misspelt one can be told from one that does not matter here.

/// A keyword that shipit acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // their meaning is ssh_config(5)'s
pub enum Keyword {
    AddressFamily,
    BatchMode,
    BindAddress,
    BindInterface,
    CaSignatureAlgorithms,
    CertificateFile,
    CheckHostIp,
    Ciphers,
    ConnectTimeout,
    ConnectionAttempts,
    GlobalKnownHostsFile,
    HashKnownHosts,
    HostKeyAlgorithms,
    HostKeyAlias,
    HostName,
    HostbasedAuthentication,
    IdentitiesOnly,
    IdentityAgent,
    IdentityFile,
    KbdInteractiveAuthentication,
    KexAlgorithms,
    KnownHostsCommand,
    Macs,
    NoHostAuthenticationForLocalhost,
    NumberOfPasswordPrompts,
    PasswordAuthentication,
    Pkcs11Provider,
    Port,
    PreferredAuthentications,
    ProxyCommand,
    ProxyJump,
    ProxyUseFdpass,
    PubkeyAcceptedAlgorithms,
    PubkeyAuthentication,
    RequiredRsaSize,
    RevokedHostKeys,
    ServerAliveCountMax,
    ServerAliveInterval,
    StrictHostKeyChecking,
    UpdateHostKeys,
    User,
    UserKnownHostsFile,
    VerifyHostKeyDns,
}

/// The form of a keyword's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One word; the first line that has it counts.
    Word,
    /// A socket, or the variable that names it. Variables in it must be set even for other hosts.
    Agent,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A time, such as `90` or `1m30s`; `none` for none.
    Time,
    /// A whole number.
    Count,
    /// A TCP port.
    Port,
    /// Several words; the first line that has it counts. `none` stands alone.
    Words,
    /// One word a line; every line adds one.
    Repeated,
    /// The rest of the line as it stands.
    Rest,
    /// Jump hosts.
    Jump,
}

const YES_NO: Form = Form::Choice(&["yes", "no", "true", "false"]);
const YES_NO_ASK: Form = Form::Choice(&["yes", "no", "true", "false", "ask"]);

/// What a word at the beginning of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It begins a block.
    Host,
    /// It begins a block, for which ssh itself is needed.
    Match,
    /// It names files to read in its place.
    Include,
    /// It names keywords that may be unknown.
    IgnoreUnknown,
    /// It asks ssh to look names up before it reads on, unless its argument is one of these.
    Canonicalize(&'static [&'static str]),
    /// It says that nobody may connect.
    RefuseConnection,
    /// It is one that shipit acts on.
    Setting(Keyword),
    /// It makes no difference here: forwarding, terminals, multiplexing, logging...
    Indifferent,
}

/// Name, keyword, form; in the order of the alphabet. Older names of some follow.
const SETTINGS: &[(&str, Keyword, Form)] = &[
    ("addressfamily", Keyword::AddressFamily, Form::Choice(&["any", "inet", "inet6"])),
    ("batchmode", Keyword::BatchMode, YES_NO),
    ("bindaddress", Keyword::BindAddress, Form::Word),
    ("bindinterface", Keyword::BindInterface, Form::Word),
    ("casignaturealgorithms", Keyword::CaSignatureAlgorithms, Form::Word),
    ("certificatefile", Keyword::CertificateFile, Form::Repeated),
    ("checkhostip", Keyword::CheckHostIp, YES_NO),
    ("ciphers", Keyword::Ciphers, Form::Word),
    ("connecttimeout", Keyword::ConnectTimeout, Form::Time),
    ("connectionattempts", Keyword::ConnectionAttempts, Form::Count),
    ("globalknownhostsfile", Keyword::GlobalKnownHostsFile, Form::Words),
    ("hashknownhosts", Keyword::HashKnownHosts, YES_NO),
    ("hostkeyalgorithms", Keyword::HostKeyAlgorithms, Form::Word),
    ("hostkeyalias", Keyword::HostKeyAlias, Form::Word),
    ("hostbasedauthentication", Keyword::HostbasedAuthentication, YES_NO),
    ("hostname", Keyword::HostName, Form::Word),
    ("identitiesonly", Keyword::IdentitiesOnly, YES_NO),
    ("identityagent", Keyword::IdentityAgent, Form::Agent),
    ("identityfile", Keyword::IdentityFile, Form::Repeated),
    ("kbdinteractiveauthentication", Keyword::KbdInteractiveAuthentication, YES_NO),
    ("kexalgorithms", Keyword::KexAlgorithms, Form::Word),
    ("knownhostscommand", Keyword::KnownHostsCommand, Form::Rest),
    ("macs", Keyword::Macs, Form::Word),
    ("nohostauthenticationforlocalhost", Keyword::NoHostAuthenticationForLocalhost, YES_NO),
    ("numberofpasswordprompts", Keyword::NumberOfPasswordPrompts, Form::Count),
    ("passwordauthentication", Keyword::PasswordAuthentication, YES_NO),
    ("pkcs11provider", Keyword::Pkcs11Provider, Form::Word),
    ("port", Keyword::Port, Form::Port),
    ("preferredauthentications", Keyword::PreferredAuthentications, Form::Word),
    ("proxycommand", Keyword::ProxyCommand, Form::Rest),
    ("proxyjump", Keyword::ProxyJump, Form::Jump),
    ("proxyusefdpass", Keyword::ProxyUseFdpass, YES_NO),
    ("pubkeyacceptedalgorithms", Keyword::PubkeyAcceptedAlgorithms, Form::Word),
    (
        "pubkeyauthentication",
        Keyword::PubkeyAuthentication,
        Form::Choice(&["yes", "no", "true", "false", "unbound", "host-bound"]),
    ),
    ("requiredrsasize", Keyword::RequiredRsaSize, Form::Count),
    ("revokedhostkeys", Keyword::RevokedHostKeys, Form::Words),
    ("serveralivecountmax", Keyword::ServerAliveCountMax, Form::Count),
    ("serveraliveinterval", Keyword::ServerAliveInterval, Form::Time),
    (
        "stricthostkeychecking",
        Keyword::StrictHostKeyChecking,
        Form::Choice(&["yes", "no", "true", "false", "ask", "off", "accept-new"]),
    ),
    ("updatehostkeys", Keyword::UpdateHostKeys, YES_NO_ASK),
    ("user", Keyword::User, Form::Word),
    ("userknownhostsfile", Keyword::UserKnownHostsFile, Form::Words),
    ("verifyhostkeydns", Keyword::VerifyHostKeyDns, YES_NO_ASK),
    // Older names.
    ("challengeresponseauthentication", Keyword::KbdInteractiveAuthentication, YES_NO),
    ("dsaauthentication", Keyword::PubkeyAuthentication, YES_NO),
    ("identityfile2", Keyword::IdentityFile, Form::Repeated),
    ("pubkeyacceptedkeytypes", Keyword::PubkeyAcceptedAlgorithms, Form::Word),
    ("skeyauthentication", Keyword::KbdInteractiveAuthentication, YES_NO),
    ("tisauthentication", Keyword::KbdInteractiveAuthentication, YES_NO),
];

/// Of any OpenSSH up to 10.5, of Debian's and of Apple's.
const INDIFFERENT: &[&str] = &[
    "addkeystoagent",
    "afstokenpassing",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "channeltimeout",
    "cipher",
    "clearallforwardings",
    "compression",
    "compressionlevel",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fallbacktorsh",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "globalknownhostsfile2",
    "gssapiauthentication",
    "gssapiclientidentity",
    "gssapidelegatecredentials",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapirenewalforcesrekey",
    "gssapiserveridentity",
    "gssapitrustdns",
    "hostbasedacceptedalgorithms",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractivedevices",
    "keepalive",
    "kerberosauthentication",
    "kerberostgtpassing",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "obscurekeystroketiming",
    "permitlocalcommand",
    "permitremoteopen",
    "protocol",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "sendenv",
    "sessiontype",
    "setenv",
    "smartcarddevice",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "tunneldevice",
    "usekeychain",
    "useprivilegedport",
    "userknownhostsfile2",
    "useroaming",
    "usersh",
    "versionaddendum",
    "visualhostkey",
    "warnweakcrypto",
    "xauthlocation",
];

/// What a word in lower case means; `None` when no OpenSSH knows it.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    Some(match word {
        "host" => Meaning::Host,
        "match" => Meaning::Match,
        "include" => Meaning::Include,
        "ignoreunknown" => Meaning::IgnoreUnknown,
        "canonicalizehostname" => Meaning::Canonicalize(&["no", "false"]),
        "canonicalizepermittedcnames" => Meaning::Canonicalize(&["none"]),
        "refuseconnection" => Meaning::RefuseConnection,
        _ => match SETTINGS.iter().find(|(name, ..)| *name == word) {
            Some((_, keyword, _)) => Meaning::Setting(*keyword),
            None if INDIFFERENT.contains(&word) => Meaning::Indifferent,
            None => return None,
        },
    })
}

impl Keyword {
    /// All of them.
    #[cfg(test)]
    fn all() -> impl Iterator<Item = Self> {
        let mut seen = Vec::new();
        SETTINGS.iter().filter_map(move |(_, keyword, _)| {
            let new = !seen.contains(keyword);
            seen.push(*keyword);
            new.then_some(*keyword)
        })
    }

    fn entry(self) -> (&'static str, Form) {
        // Every keyword has a line in the table, by a test.
        SETTINGS
            .iter()
            .find(|(_, keyword, _)| *keyword == self)
            .map_or(("", Form::Word), |(name, _, form)| (*name, *form))
    }

    /// Its name in lower case, as `ssh -G` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    pub(super) fn form(self) -> Form {
        self.entry().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_stands_in_the_table_under_its_own_name() {
        for keyword in Keyword::all() {
            let name = format!("{keyword:?}").to_ascii_lowercase();
            assert_eq!(keyword.as_str(), name);
            assert_eq!(meaning(&name), Some(Meaning::Setting(keyword)));
        }
        // The last one in the alphabet: none was left out of the table.
        assert_eq!(Keyword::all().count(), Keyword::VerifyHostKeyDns as usize + 1);
    }

    #[test]
    fn no_name_has_two_meanings() {
        let names: Vec<_> =
            SETTINGS.iter().map(|(name, ..)| *name).chain(INDIFFERENT.iter().copied()).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name} stands there twice");
        }
        assert_eq!(meaning("proxyjmup"), None);
    }
}
