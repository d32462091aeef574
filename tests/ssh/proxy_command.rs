//! ProxyCommand: the program that leads to the host, and what is said when it does not.

use shipit::ssh::{LostCause, SshError};

use crate::jump::{Home, block, login};
use crate::server::{Nobody, Server};

/// What people had before there was ProxyJump.
fn by_ssh(bastion: &Server) -> String {
    let path = |name: &str| bastion.path(name).display().to_string();
    format!(
        "ProxyCommand ssh -F none -o BatchMode=yes -o UserKnownHostsFile={} -i {} -p {} -W %h:%p root@127.0.0.1",
        path("known_hosts"),
        path("id"),
        bastion.port
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_as_the_proxy_command() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    bastion.trust("host_ed25519");
    inner.trust("host_ed25519");
    let home = Home::new(&block("inner", &inner, &by_ssh(&bastion)));
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    let connection = hop.connect().await.unwrap();
    connection.start("true").await.unwrap().output(10).await.unwrap();
    assert_eq!(connection.peer().to_string(), format!("127.0.0.1:{} by the ProxyCommand", inner.port));
    bastion.wait_for(&format!("target 127.0.0.1 port {}", inner.port));
    connection.close().await;
    // The program does not outlive what it was for.
    bastion.wait_for("Connection closed by 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_is_reached_by_a_proxy_command() {
    let (Some(outer), Some(bastion), Some(inner)) = (Server::start(""), Server::start(""), Server::start(""))
    else {
        return;
    };
    for server in [&outer, &bastion, &inner] {
        server.trust("host_ed25519");
    }
    let home = Home::new(
        &[block("bastion", &bastion, &by_ssh(&outer)), block("inner", &inner, "ProxyJump bastion")].concat(),
    );
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    hop.connect().await.unwrap().start("true").await.unwrap().output(10).await.unwrap();
    outer.wait_for(&format!("target 127.0.0.1 port {}", bastion.port));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_on_standard_error_is_shown() {
    let Some(server) = Server::start("") else { return };
    let command = "ProxyCommand echo \"no route to %n %h:%p for %r\" >&2; exit 3";
    // Without a shell that lives on, `exec` would be the end of it.
    let command = command.replace("echo", "sh -c 'echo").replace("exit 3", "exit 3'");
    let home = Home::new(&block("web1", &server, &command));
    let error = home.routes(Nobody).to(&login("web1")).await.unwrap().connect().await.unwrap_err();
    let SshError::ProxyCommand { said, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*said, [format!("no route to web1 127.0.0.1:{} for root", server.port)]);
    assert!(matches!(**source, SshError::Dropped { .. }), "{source:?}");
    assert!(error.details()[0].contains("no route to web1"), "{:?}", error.details());
    assert_eq!(
        error.to_string(),
        format!("the ProxyCommand does not lead to 127.0.0.1:{} by the ProxyCommand", server.port)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_and_one_that_says_nothing() {
    let Some(server) = Server::start("") else { return };
    let home = Home::new(
        &[
            block("missing", &server, "ProxyCommand /no/such/program %h"),
            block("silent", &server, "ProxyCommand sleep 1000\n  ConnectTimeout 1"),
        ]
        .concat(),
    );
    let routes = home.routes(Nobody);
    let error = routes.to(&login("missing")).await.unwrap().connect().await.unwrap_err();
    assert!(error.details().iter().any(|line| line.contains("/no/such/program")), "{:?}", error.details());
    let error = routes.to(&login("silent")).await.unwrap().connect().await.unwrap_err();
    let SshError::ProxyCommand { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, SshError::ConnectTimeout { .. }), "{source:?}");
    assert!(error.help().unwrap().contains("SSH-2.0"), "{:?}", error.help());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_program_dies_is_lost() {
    let (Some(bastion), Some(inner)) = (Server::start(""), Server::start("")) else { return };
    bastion.trust("host_ed25519");
    inner.trust("host_ed25519");
    let home = Home::new(&block("inner", &inner, &by_ssh(&bastion)));
    let hop = home.routes(Nobody).to(&login("inner")).await.unwrap();
    let connection = hop.connect().await.unwrap();
    let mut process = connection.start("exec sleep 1000").await.unwrap();
    bastion.cut();
    let error = loop {
        match process.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it is not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SshError::ConnectionLost { source: LostCause::Closed }), "{error:?}");
}
