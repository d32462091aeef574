//! An sshd that turns connections away because it has too many is asked again; one that refuses us is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shipit::ssh::{SshError, Target, connect};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Server, keygen};

/// Hangs up on so many connections, then leads to the server. Counts them all.
async fn dropping(server: &Server, first: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let (counted, to) = (Arc::clone(&seen), SocketAddr::from(([127, 0, 0, 1], server.port)));
    let known = format!("[127.0.0.1]:{port} {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path("known_hosts"), known).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if counted.fetch_add(1, Ordering::SeqCst) >= first {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    });
    (port, seen)
}

fn at(port: u16) -> Target {
    Target { user: "root".into(), host: "127.0.0.1".into(), port }
}

#[tokio::test]
async fn a_server_that_hangs_up_at_first_is_asked_again() {
    let Some(server) = Server::start("") else { return };
    let (port, seen) = dropping(&server, 3).await;
    connect(&at(port), &server.options()).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_server_that_always_hangs_up_is_given_up_in_time() {
    let Some(server) = Server::start("") else { return };
    let (port, seen) = dropping(&server, usize::MAX).await;
    let mut options = server.options();
    options.connect_timeout = Duration::from_millis(300);
    let error = connect(&at(port), &options).await.unwrap_err();
    assert!(matches!(error, SshError::Dropped { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("127.0.0.1:{port} hung up before the handshake"));
    assert!(error.help().unwrap().contains("MaxStartups"));
    // One on a busy machine, where the first one takes all the time there is.
    let tried = seen.load(Ordering::SeqCst);
    assert!((1..=3).contains(&tried), "{tried}");
}

#[tokio::test]
async fn refused_authentication_is_never_tried_again() {
    let Some(server) = Server::start("") else { return };
    let (port, seen) = dropping(&server, 0).await;
    keygen(&server.path("stranger"), "ed25519", "");
    let mut options = server.options();
    options.identities = vec![server.path("stranger")];
    let error = connect(&at(port), &options).await.unwrap_err();
    assert!(matches!(error, SshError::Authentication(_)), "{error:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_real_sshd_with_no_room_left_lets_us_in_once_there_is_some() {
    let Some(server) = Server::start("MaxStartups 1:100:1") else { return };
    // Somebody who does not say who he is takes all the room there is.
    let somebody = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    server.wait_for("Connection from 127.0.0.1");
    let (target, options) = (server.target(), server.options());
    let connecting = tokio::spawn(async move { connect(&target, &options).await });
    let log = || server.log();
    while !log().contains("drop connection") && !log().contains("past MaxStartups") {
        assert!(!connecting.is_finished(), "{}", log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(somebody);
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn many_at_once_stay_below_what_an_sshd_takes() {
    let Some(server) = Server::start("MaxStartups 10:100:10") else { return };
    let (target, options) = (server.target(), server.options());
    let connections = futures::future::join_all((0..40).map(|_| connect(&target, &options))).await;
    for connection in &connections {
        connection.as_ref().unwrap();
    }
    assert!(!server.log().contains("MaxStartups"), "{}", server.log());
}
