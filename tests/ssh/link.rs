//! What the link does to a connection, and what a connection asks of the link.

use std::time::{Duration, Instant};

use shipit::ssh::{LostCause, SftpErrorKind, Source, SshError, Target, Upload, connect};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::relay::{counting, delaying, taking};
use crate::server::Server;

fn at(port: u16) -> Target {
    Target { user: "root".into(), host: "127.0.0.1".into(), port }
}

#[tokio::test]
async fn a_closed_port_a_silent_one_and_one_that_speaks_something_else() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options();
    options.connect_timeout = Duration::from_millis(200);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = connect(&at(port), &options).await.unwrap_err();
    assert!(matches!(error, SshError::ConnectTimeout { .. }), "{error:?}");
    drop(listener);
    let error = connect(&at(port), &options).await.unwrap_err();
    assert!(matches!(error, SshError::Connect { .. }), "{error:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(socket);
        }
    });
    let error = connect(&at(port), &options).await.unwrap_err();
    assert!(matches!(error, SshError::Dropped { .. }), "{error:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = connect(&at(port), &options).await.unwrap_err();
    let SshError::Handshake { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "what is there does not speak SSH: it says \"HTTP/1.1 400 Bad Request\"");
    let nowhere = Target { host: "no-such-host.invalid".into(), ..at(22) };
    options.connect_timeout = Duration::from_secs(10);
    let error = connect(&nowhere, &options).await.unwrap_err();
    assert!(matches!(error, SshError::Resolve { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_that_stops_answering_is_noticed() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options();
    options.keepalive_interval = Duration::from_millis(100);
    options.keepalive_max = 2;
    let connection = connect(&server.target(), &options).await.unwrap();
    // Stops the sshd that serves this connection, and starts it again so that it can be ended.
    let script = b"kill -STOP $PPID; sleep 2; kill -CONT $PPID\n".to_vec();
    let mut process = connection.start_with_input("exec /bin/sh -s", script).await.unwrap();
    let error = loop {
        match process.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the silence was not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SshError::ConnectionLost { source: LostCause::KeepaliveTimeout }), "{error:?}");
}

/// russh asks no questions while it waits to get rid of something, and the system would try for a quarter of an hour.
#[tokio::test]
async fn a_link_that_dies_in_an_upload_is_noticed_and_holds_nobody() {
    let Some(server) = Server::start("") else { return };
    let port = taking(server.port, 1 << 20).await;
    let known = format!("[127.0.0.1]:{port} {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path("known_hosts"), known).unwrap();
    let content: std::sync::Arc<[u8]> = vec![7; 64 << 20].into();
    let upload = |name| {
        let path = server.path(name).to_str().unwrap().to_owned();
        [Upload { path, mode: 0o644, source: Source::Bytes(content.clone()), reuse: None }]
    };

    let mut options = server.options();
    options.keepalive_interval = Duration::from_millis(200);
    options.keepalive_max = 2;
    let connection = connect(&at(port), &options).await.unwrap();
    let pool = connection.sftp_pool(8).await.unwrap();
    let ended =
        tokio::time::timeout(Duration::from_secs(60), pool.write_files(&upload("one"), &|_| ())).await;
    let error = ended.expect("the silence was not noticed").unwrap_err();
    let lost = SftpErrorKind::ConnectionLost { source: LostCause::KeepaliveTimeout };
    assert_eq!(format!("{:?}", error.kind), format!("{lost:?}"));

    // One who gives up before that is let go at once, though not even a goodbye leaves.
    options.keepalive_interval = Duration::from_secs(3600);
    let connection = connect(&at(port), &options).await.unwrap();
    let pool = connection.sftp_pool(8).await.unwrap();
    let stuck = tokio::time::timeout(Duration::from_secs(3), pool.write_files(&upload("two"), &|_| ())).await;
    assert!(stuck.is_err(), "{stuck:?}");
    tokio::time::timeout(Duration::from_secs(30), connection.close())
        .await
        .expect("a goodbye waits for ever");
}

/// Counted as how deep the messages depend on each other: what is sent after an answer has come in is one deeper than that.
/// How long anything takes does not matter.
#[tokio::test]
async fn round_trips_are_few() {
    let Some(server) = Server::start("") else { return };
    let (port, depth) = counting(server.port, Duration::from_millis(20)).await;
    let known = format!("[127.0.0.1]:{port} {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path("known_hosts"), known).unwrap();
    let options = server.options();

    // Of each the best of several: where the machine is busy, what is sent at once may come apart, and look as if one part had
    // waited for the answer to the other. It never looks like less than it is.
    let mut best = [u64::MAX; 5];
    // Of the first, one is for what the server says unasked, which takes half the time.
    let limits = [6, 2, 3, 3, 2];
    for attempt in 0..40 {
        let mut before = depth();
        let mut taken = || {
            let now = depth();
            now - std::mem::replace(&mut before, now)
        };
        let connection = connect(&at(port), &options).await.unwrap();
        let connected = taken();
        let end = connection.start("echo done").await.unwrap().output(100).await.unwrap();
        assert_eq!(end.stdout, b"done\n");
        let constant = taken();
        let process = connection.start_with_input("exec /bin/sh -s", b"echo done\n".to_vec()).await.unwrap();
        let end = process.output(100).await.unwrap();
        assert_eq!(end.stdout, b"done\n");
        let program = taken();
        let sftp = connection.sftp().await.unwrap();
        let opened = taken();
        let path = server.path(&format!("file{attempt}")).to_str().unwrap().to_owned();
        let upload = Upload { path, mode: 0o644, source: Source::Bytes(vec![1; 1000].into()), reuse: None };
        sftp.write_file(&upload, &|_| ()).await.unwrap();
        let seen = [connected, constant, program, opened, taken()];
        for (best, seen) in best.iter_mut().zip(seen) {
            *best = seen.min(*best);
        }
        if best.iter().zip(limits).all(|(best, limit)| *best <= limit) {
            break;
        }
    }
    eprintln!("connect, constant, program, SFTP, small file: {best:?} round trips");
    for (best, limit) in best.into_iter().zip(limits) {
        assert!(best <= limit, "{best}, and {limit} at most");
    }
}

/// A measurement: `cargo test --release --test ssh -- --ignored --nocapture throughput`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn throughput() {
    let Some(server) = Server::start("") else { return };
    let content: std::sync::Arc<[u8]> = vec![7; 21_000_000].into();
    for one_way in [Duration::ZERO, Duration::from_millis(25)] {
        let port = if one_way.is_zero() { server.port } else { delaying(server.port, one_way).await };
        let known = format!("[127.0.0.1]:{port} {}\n", server.public_key("host_ed25519"));
        std::fs::write(server.path("known_hosts"), known).unwrap();
        for channels in [1, 2, 4, 8] {
            let connection = connect(&at(port), &server.options()).await.unwrap();
            let pool = connection.sftp_pool(channels).await.unwrap();
            let path = server.path(&format!("file{port}-{channels}")).to_str().unwrap().to_owned();
            let upload = Upload { path, mode: 0o755, source: Source::Bytes(content.clone()), reuse: None };
            let start = Instant::now();
            pool.write_files(&[upload], &|_| ()).await.unwrap();
            let elapsed = start.elapsed();
            let rate = content.len() as f64 / elapsed.as_secs_f64() / 1e6;
            eprintln!("{one_way:?} each way, {channels} channels: {elapsed:.0?}, {rate:.0} MB/s");
        }
    }
}
