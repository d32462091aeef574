//! Names with several addresses, IPv6, and the address to connect from.

use std::time::{Duration, Instant};

use shipit::ssh::config::AddressFamily;
use shipit::ssh::{SshError, Target, connect};

use crate::server::Server;

fn known_as(server: &Server, name: &str) {
    let line = format!("{name} {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path("known_hosts"), line).unwrap();
}

fn has_ipv6() -> bool {
    let there = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !there {
        eprintln!("SKIPPED: this machine has no IPv6");
    }
    there
}

#[tokio::test]
async fn an_ipv6_literal_and_the_address_family() {
    let Some(server) = Server::start("ListenAddress ::1") else { return };
    if !has_ipv6() {
        return;
    }
    known_as(&server, &format!("[::1]:{}", server.port));
    let target = Target { user: "root".into(), host: "::1".into(), port: server.port };
    let mut options = server.options();
    for family in [AddressFamily::Any, AddressFamily::Inet6] {
        options.address_family = family;
        let connection = connect(&target, &options).await.unwrap();
        assert_eq!(connection.peer().to_string(), format!("[::1]:{}", server.port));
    }
    options.address_family = AddressFamily::Inet;
    let error = connect(&target, &options).await.unwrap_err();
    let SshError::Resolve { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("no IPv4 address, and AddressFamily is inet"), "{source}");
}

#[tokio::test]
async fn the_connection_comes_from_the_address_that_was_named() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options();
    options.bind_address = Some("127.0.0.9".into());
    let connection = connect(&server.target(), &options).await.unwrap();
    let ran = connection.start("echo $SSH_CLIENT").await.unwrap().output(100).await.unwrap();
    assert!(ran.stdout.starts_with(b"127.0.0.9 "), "{ran:?}");
    options.bind_address = Some("::1".into());
    let error = connect(&server.target(), &options).await.unwrap_err();
    let SshError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("BindAddress ::1"), "{source}");
}

#[tokio::test]
async fn a_closed_port_is_tried_as_often_as_was_asked_for() {
    let Some(server) = Server::start("") else { return };
    // Taken, so that nobody else takes it; and nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let target = Target { port, ..server.target() };
    let mut options = server.options();
    for (attempts, least) in [(1, Duration::ZERO), (3, Duration::from_secs(2))] {
        options.connection_attempts = attempts;
        let begun = Instant::now();
        let error = connect(&target, &options).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot connect to 127.0.0.1:{port}"));
        // A second passes between two of them.
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    }
}
