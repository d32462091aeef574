use std::time::Duration;

use shipit::ssh::{ChannelRefusal, ExitStatus, LostCause, Output, SshError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::server::Server;

const SHELL: &str = "exec /bin/sh -s";

#[tokio::test]
async fn a_program_has_input_output_and_an_end() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    assert!(connection.server_version().starts_with("SSH-2.0-OpenSSH"), "{}", connection.server_version());
    assert_eq!(connection.peer().to_string(), format!("127.0.0.1:{}", server.port));
    let program = b"echo out; echo err >&2; read line; echo \"$line\"; exit 7\n".to_vec();
    let mut process = connection.start_with_input(SHELL, program).await.unwrap();
    // A shell that gets both at once takes the line for program and reads an empty one.
    assert_eq!(process.next().await.unwrap(), Some(Output::Stdout(b"out\n".to_vec())));
    process.write("more\n").await.unwrap();
    let end = process.output(1 << 20).await.unwrap();
    assert_eq!(String::from_utf8(end.stdout).unwrap(), "more\n");
    assert_eq!(end.stderr, b"err\n");
    assert_eq!(end.exit, Some(ExitStatus::Code(7)));
    let killed = connection.start_with_input(SHELL, b"kill -TERM $$\n".to_vec()).await.unwrap();
    let end = killed.output(1 << 20).await.unwrap();
    assert!(matches!(end.exit, Some(ExitStatus::Signal { name, .. }) if name == "TERM"));
}

#[tokio::test]
async fn output_that_nobody_reads_stops_neither_its_neighbours_nor_memory() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    // How long it takes until more has come than is kept depends on the machine; what came in time can be read.
    for milliseconds in [200, 1000, 5000] {
        let mut flood = connection.start("exec head -c 64M /dev/zero").await.unwrap();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        let neighbour = connection.start_with_input(SHELL, b"echo here\n".to_vec()).await.unwrap();
        let end = timeout(Duration::from_secs(5), neighbour.output(1 << 20)).await.unwrap().unwrap();
        assert_eq!(end.stdout, b"here\n");
        loop {
            match flood.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    let full = matches!(error, SshError::BacklogExceeded { limit } if limit == 16 << 20);
                    assert!(full, "{error:?}");
                    return;
                }
            }
        }
    }
    panic!("it should not fit");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_waits() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let mut stream = connection.start_stream("exec head -c 64M /dev/zero", Vec::new()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut total = 0;
    while let Some(output) = stream.next().await.unwrap() {
        if let Output::Stdout(bytes) = output {
            total += bytes.len();
        }
    }
    assert_eq!(total, 64 << 20);
}

#[tokio::test]
async fn writing_to_a_program_that_has_ended_does_not_hang() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let mut process = connection.start("exec true").await.unwrap();
    let write = async {
        loop {
            if let Err(error) = process.write(vec![0; 1 << 20]).await {
                break error;
            }
        }
    };
    let error = timeout(Duration::from_secs(5), write).await.unwrap();
    assert!(matches!(error, SshError::InputClosed), "{error:?}");
}

/// `MaxSessions`: what does not fit on a connection goes over further ones, which are used again.
#[tokio::test]
async fn what_sshd_does_not_start_on_one_connection_is_started_on_another() {
    let Some(server) = Server::start("MaxSessions 1") else { return };
    let connection = server.connect().await;
    let logins = || server.log().matches("Accepted publickey").count();
    let program = b"echo here; cat >/dev/null\n";
    let start = || async {
        let mut process = connection.start_with_input(SHELL, program.to_vec()).await.unwrap();
        assert_eq!(process.next().await.unwrap(), Some(Output::Stdout(b"here\n".to_vec())));
        process
    };
    let first = start().await;
    assert_eq!(logins(), 1);
    // Side by side, as a deploy opens them.
    let (second, pool) = tokio::join!(start(), connection.sftp_pool(4));
    let pool = pool.unwrap();
    server.wait_for_count("Accepted publickey", 3);
    assert_eq!((pool.channels(), logins()), (1, 3));
    let file = server.path("file");
    std::fs::write(&file, "text").unwrap();
    let read = pool.first().read_small(file.to_str().unwrap(), 100).await.unwrap();
    assert_eq!(read, b"text");
    second.output(1 << 20).await.unwrap();
    server.wait_for_count("session_close_by_channel: channel 0", 1);
    let third = start().await;
    assert_eq!(logins(), 3, "the place that became free was not used");
    drop((first, third, pool));
    connection.close().await;
    server.wait_for_count("Received disconnect from 127.0.0.1", 3);
}

#[tokio::test]
async fn an_sshd_that_starts_nothing_is_asked_twice_and_no_more() {
    let Some(server) = Server::start("MaxSessions 0") else { return };
    let connection = server.connect().await;
    let error = connection.start("true").await.unwrap_err();
    assert_eq!(error.to_string(), "the host refused to open a channel for a program");
    assert!(error.help().unwrap().contains("MaxSessions"), "{error:?}");
    server.wait_for_count("Accepted publickey", 2);
    assert_eq!(server.log().matches("Accepted publickey").count(), 2);
}

/// What is made later must lead to the same machine, and is checked like the first.
#[tokio::test]
async fn a_further_connection_to_another_machine_is_not_used() {
    let Some(server) = Server::start("MaxSessions 1") else { return };
    server.trust_all(&["host_ed25519", "host_ecdsa"]);
    let connection = server.connect().await;
    let _first = connection.start("exec sleep 60").await.unwrap();
    // Known as the host's as well, but not the key that this connection has seen.
    server.trust_all(&["host_ecdsa"]);
    let error = connection.start("true").await.unwrap_err();
    let SshError::NoFurtherConnection { source } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, SshError::Handshake { .. }), "{error:?}");
    std::fs::write(server.path("known_hosts"), "").unwrap();
    let error = connection.start("true").await.unwrap_err();
    let SshError::NoFurtherConnection { source } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, SshError::HostKey(_)), "{error:?}");
}

#[tokio::test]
async fn a_dropped_program_loses_its_input() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let marker = server.path("ended");
    let program = format!("cat >/dev/null; echo > {}\n", marker.display());
    let mut process =
        connection.start_with_input(SHELL, b"echo ready; read f; eval \"$f\"\n".to_vec()).await.unwrap();
    assert_eq!(process.next().await.unwrap(), Some(Output::Stdout(b"ready\n".to_vec())));
    process.write(program).await.unwrap();
    drop(process);
    let appeared = async {
        while !marker.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), appeared).await.unwrap();
}

#[tokio::test]
async fn a_forwarded_stream_goes_both_ways() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut question = [0; 4];
        socket.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"ping");
        socket.write_all(b"pong").await.unwrap();
    });
    let mut stream = connection.forward("127.0.0.1", port).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "pong");
    let error = connection.forward("127.0.0.1", 1).await.unwrap_err();
    let SshError::ChannelRefused { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*reason, ChannelRefusal::ConnectFailed);
    assert_eq!(error.to_string(), "the host refused to open a connection to 127.0.0.1:1: connect failed");
}

#[tokio::test]
async fn forbidden_forwarding_is_told_apart() {
    let Some(server) = Server::start("AllowTcpForwarding no") else { return };
    let error = server.connect().await.forward("127.0.0.1", 1).await.unwrap_err();
    let SshError::ChannelRefused { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*reason, ChannelRefusal::AdministrativelyProhibited);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_for_everything_on_it() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    // The parent of the login shell is the sshd that serves this connection.
    let mut process = connection.start_with_input(SHELL, b"kill -9 $PPID; sleep 5\n".to_vec()).await.unwrap();
    let error = loop {
        match process.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end was not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, SshError::ConnectionLost { source: LostCause::Closed }), "{error:?}");
    for error in [
        connection.start("true").await.map(drop).unwrap_err(),
        connection.sftp().await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, SshError::ConnectionLost { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_closed_connection_says_so_on_both_ends() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let mut process = connection.start("exec sleep 5").await.unwrap();
    connection.clone().close().await;
    let error = process.next().await.unwrap_err();
    assert!(matches!(error, SshError::ConnectionLost { source: LostCause::ClosedHere }), "{error:?}");
    server.wait_for("Received disconnect from 127.0.0.1");
}
