//! Jump hosts: each with its own user, port, key and known hosts; shared by those behind; named when something is wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shipit::ssh::config::{Files, Reader};
use shipit::ssh::{
    Answer, ChannelRefusal, ConfigError, ConnectOptions, Flags, HostKeyError, Login, Prompt, Routes,
    SshConfig, SshError,
};
use tempfile::TempDir;

use crate::server::{Nobody, Operator, Server};

/// An operator's home directory, with a configuration.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), config).unwrap();
        Self(home)
    }

    pub(crate) fn routes(&self, prompt: impl Prompt + 'static) -> Routes {
        let config = SshConfig::new(Files::Only(self.0.path().join("config")), Reader::Ssh, self.0.path());
        Routes::new(config, ConnectOptions::new(self.0.path(), Arc::new(prompt)), Flags::default())
    }
}

pub(crate) fn login(host: &str) -> Login {
    Login { host: host.to_owned(), user: None, port: None }
}

/// The block of a host that a server stands for.
pub(crate) fn block(name: &str, server: &Server, more: &str) -> String {
    let path = |name: &str| server.path(name).display().to_string();
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  {more}\n",
        server.port,
        path("id"),
        path("known_hosts")
    )
}

fn logins(server: &Server) -> usize {
    server.log().matches("Accepted publickey").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_jump_hosts_each_with_its_own_key_port_and_known_hosts() {
    let (Some(first), Some(second), Some(inner)) = (Server::start(""), Server::start(""), Server::start(""))
    else {
        return;
    };
    for server in [&first, &second, &inner] {
        server.trust("host_ed25519");
    }
    let home = Home::new(
        &[
            block("first", &first, ""),
            block("second", &second, ""),
            block("inner", &inner, "ProxyJump first,root@second"),
        ]
        .concat(),
    );
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    let way: Vec<_> = hop.way().iter().map(|hop| hop.target.to_string()).collect();
    assert_eq!(way, [format!("root@127.0.0.1:{}", first.port), format!("root@127.0.0.1:{}", second.port)]);
    let connection = hop.connect().await.unwrap();
    let ran = connection.start("echo $SSH_CONNECTION").await.unwrap().output(1000).await.unwrap();
    assert!(String::from_utf8_lossy(&ran.stdout).trim().ends_with(&inner.port.to_string()), "{ran:?}");
    let peer = connection.peer().to_string();
    assert_eq!(peer, format!("127.0.0.1:{} behind root@127.0.0.1:{}", inner.port, second.port));
    for (server, next) in [(&first, &second), (&second, &inner)] {
        server.wait_for("Accepted publickey");
        assert_eq!(logins(server), 1, "{}", server.log());
        server.wait_for(&format!("target 127.0.0.1 port {}", next.port));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_has_its_own_way_unless_the_list_says_it() {
    let (Some(outer), Some(bastion), Some(inner)) = (Server::start(""), Server::start(""), Server::start(""))
    else {
        return;
    };
    for server in [&outer, &bastion, &inner] {
        server.trust("host_ed25519");
    }
    // The bastion is itself behind another host, as its own block says.
    let home = Home::new(
        &[
            block("outer", &outer, ""),
            block("bastion", &bastion, "ProxyJump outer"),
            block("inner", &inner, "ProxyJump bastion"),
        ]
        .concat(),
    );
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    assert_eq!(hop.way().len(), 2);
    hop.connect().await.unwrap();
    inner.wait_for("Accepted publickey");
    assert_eq!((logins(&outer), logins(&bastion), logins(&inner)), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_behind_a_jump_host_share_one_connection_to_it() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("MaxStartups 10:100:10")) else {
        return;
    };
    bastion.trust("host_ed25519");
    inner.trust("host_ed25519");
    let names: Vec<String> = (0..30).map(|number| format!("web{number}")).collect();
    let home =
        Home::new(&[block("bastion", &bastion, ""), block("web*", &inner, "ProxyJump bastion")].concat());
    let routes = home.routes(Nobody);
    let connect = async |name: &String| routes.to(&login(name)).await.unwrap().connect().await;
    let connections = join_all(names.iter().map(connect)).await;
    for connection in &connections {
        connection.as_ref().unwrap();
    }
    inner.wait_for_count("Accepted publickey", 30);
    assert_eq!((logins(&bastion), logins(&inner)), (1, 30));
    // Thirty at once would have been too many for it.
    assert!(!inner.log().contains("MaxStartups"), "{}", inner.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_a_jump_host_that_ended_is_made_anew() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    bastion.trust("host_ed25519");
    inner.trust("host_ed25519");
    let home =
        Home::new(&[block("bastion", &bastion, ""), block("inner", &inner, "ProxyJump bastion")].concat());
    let routes = home.routes(Nobody);
    let hop = routes.to(&login("inner")).await.unwrap();
    let connection = hop.connect().await.unwrap();
    let mut process = connection.start("exec sleep 1000").await.unwrap();
    // The sshd that serves the bastion's connection, by its own word.
    bastion.cut();
    while let Ok(Some(_)) = process.next().await {}
    let connection = hop.connect().await.unwrap();
    connection.start("true").await.unwrap().output(10).await.unwrap();
    assert_eq!(logins(&bastion), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_went_away_without_a_word_is_connected_to_anew() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    inner.trust("host_ed25519");
    let (port, go_silent) = crate::relay::silenceable(bastion.port).await;
    let known = format!("[127.0.0.1]:{port} {}\n", bastion.public_key("host_ed25519"));
    std::fs::write(bastion.path("known_hosts"), known).unwrap();
    let gate = block("bastion", &bastion, "ConnectTimeout 5")
        .replace(&format!("Port {}", bastion.port), &format!("Port {port}"));
    let home = Home::new(&[gate, block("inner", &inner, "ProxyJump bastion\n  ConnectTimeout 3")].concat());
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    let _first = hop.connect().await.unwrap();
    go_silent();
    // Long before keepalives would find out.
    hop.connect().await.unwrap().start("true").await.unwrap().output(10).await.unwrap();
    assert_eq!(logins(&bastion), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_is_not_known_is_refused_and_named() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    inner.trust("host_ed25519");
    let home =
        Home::new(&[block("bastion", &bastion, ""), block("inner", &inner, "ProxyJump bastion")].concat());
    let routes = home.routes(Nobody);
    let hop = routes.to(&login("inner")).await.unwrap();
    let error = hop.connect().await.unwrap_err();
    let SshError::Jump { hop: named, source } = &error else { panic!("{error:?}") };
    assert_eq!(named.port, bastion.port);
    assert!(matches!(&**source, SshError::HostKey(key) if matches!(**key, HostKeyError::Unknown { .. })));
    assert_eq!(error.to_string(), format!("no way through the jump host root@127.0.0.1:{}", bastion.port));
    assert!(error.help().unwrap().contains("compare the fingerprint"));
    assert!(!bastion.log().contains("userauth") && !inner.log().contains("Connection from"));

    // And the other way round: the host behind it.
    bastion.trust("host_ed25519");
    std::fs::remove_file(inner.path("known_hosts")).unwrap();
    let error = home.routes(Nobody).to(&login("inner")).await.unwrap().connect().await.unwrap_err();
    let SshError::HostKey(key) = &error else { panic!("{error:?}") };
    let HostKeyError::Unknown { target, .. } = &**key else { panic!("{key:?}") };
    assert_eq!(target.port, inner.port);
    inner.wait_for("Connection closed by");
    assert!(!inner.log().contains("userauth"), "{}", inner.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_unknown_key_on_the_way_is_asked_about_once() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    let home =
        Home::new(&[block("bastion", &bastion, ""), block("inner*", &inner, "ProxyJump bastion")].concat());
    let asked = Arc::default();
    let operator = Operator { passphrase: "", answer: Answer::Accepted, asked: Arc::clone(&asked) };
    let mut options = ConnectOptions::new(Path::new("/nonexistent"), Arc::new(operator));
    options.unknown_host_key = shipit::ssh::UnknownHostKey::Ask;
    let config = SshConfig::new(Files::Only(home.0.path().join("config")), Reader::Ssh, home.0.path());
    let routes = Routes::new(config, options, Flags::default());
    let (one, two) = (routes.to(&login("inner1")).await.unwrap(), routes.to(&login("inner2")).await.unwrap());
    let (one, two) = tokio::join!(one.connect(), two.connect());
    one.unwrap();
    two.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2, "the bastion, and the host behind it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_jump_host_that_fails_does_not_try_again() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    bastion.trust("host_ed25519");
    inner.trust("host_ed25519");
    let wrong = block("bastion", &bastion, "")
        .replace(bastion.path("id").to_str().unwrap(), inner.path("id").to_str().unwrap());
    let home = Home::new(&[wrong, block("web*", &inner, "ProxyJump bastion")].concat());
    let routes = home.routes(Nobody);
    let connect =
        async |number: usize| routes.to(&login(&format!("web{number}"))).await.unwrap().connect().await;
    for result in join_all((0..12).map(connect)).await {
        let error = result.unwrap_err();
        let SshError::Jump { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, SshError::Authentication(_)), "{source:?}");
        assert!(error.details().iter().any(|detail| detail.contains("refused by the server")), "{error:?}");
    }
    bastion.wait_for("Connection closed by authenticating user");
    // Refused authentication is never tried again by itself either.
    assert_eq!(bastion.log().matches("Connection from").count(), 1, "{}", bastion.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_jump_host_cannot_reach_or_must_not_is_told_apart() {
    let (Some(open), Some(closed), Some(inner)) =
        (Server::start(""), Server::start("AllowTcpForwarding no"), Server::start(""))
    else {
        return;
    };
    for server in [&open, &closed, &inner] {
        server.trust("host_ed25519");
    }
    let nobody = block("inner", &inner, "ProxyJump open").replace(&format!("Port {}", inner.port), "Port 1");
    let home = Home::new(
        &[
            block("open", &open, ""),
            block("closed", &closed, ""),
            nobody,
            block("other", &inner, "ProxyJump closed"),
        ]
        .concat(),
    );
    let routes = home.routes(Nobody);
    for (name, expected, words) in [
        ("inner", ChannelRefusal::ConnectFailed, "can 127.0.0.1 reach it"),
        ("other", ChannelRefusal::AdministrativelyProhibited, "AllowTcpForwarding"),
    ] {
        let error = routes.to(&login(name)).await.unwrap().connect().await.unwrap_err();
        let SshError::Jump { source, .. } = &error else { panic!("{error:?}") };
        let SshError::ChannelRefused { reason, .. } = **source else { panic!("{source:?}") };
        assert_eq!(reason, expected);
        assert!(error.help().unwrap().contains(words), "{:?}", error.help());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_behind_a_jump_host_that_says_nothing_is_given_up_in_time() {
    let Some(bastion) = Server::start("") else { return };
    bastion.trust("host_ed25519");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let home = Home::new(&format!(
        "{}Host inner\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  ProxyJump bastion\n  ConnectTimeout 1\n",
        block("bastion", &bastion, "")
    ));
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    assert_eq!(hop.options.connect_timeout, Duration::from_secs(1));
    let error = hop.connect().await.unwrap_err();
    let SshError::ConnectTimeout { to, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*to, format!("127.0.0.1:{port} behind root@127.0.0.1:{}", bastion.port));
}

#[tokio::test(flavor = "multi_thread")]
async fn jump_hosts_in_a_circle_are_found_before_anything_is_connected_to() {
    let home = Home::new(
        "Host a\n  ProxyJump b\nHost b\n  ProxyJump c,a\nHost more*\n  ProxyJump more%h\nHost all*\n  ProxyJump all\n",
    );
    let routes = home.routes(Nobody);
    for (name, expected) in [("a", "a via b via a"), ("more", "more via moremore via moremoremore")] {
        let error = routes.to(&login(name)).await.unwrap_err();
        assert!(matches!(error, ConfigError::JumpLoop { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // This one ssh itself finds, where there is one.
    let error = routes.to(&login("all1")).await.unwrap_err().to_string();
    assert!(error.contains("jumphost loop via all") || error.contains("all1 via all via all"), "{error}");
}
