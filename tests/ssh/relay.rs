//! A TCP relay that delays each way, which stands in for a long link.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Returns the port to connect to. What is written at one end comes out of the other after `one_way`, however much
/// else is on the way. The TCP handshake is local, so the first round trip of a connection is not delayed.
pub(crate) async fn delaying(port: u16, one_way: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
            for socket in [&client, &server] {
                socket.set_nodelay(true).unwrap();
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            pass(from_client, to_server, one_way);
            pass(from_server, to_client, one_way);
        }
    });
    address.port()
}

/// As [`delaying`]; the function says how many messages of clients so far had to wait for each other: each that was sent after
/// an answer to the one before had been delivered. A delay keeps together what is sent together.
pub(crate) async fn counting(port: u16, one_way: Duration) -> (u16, impl Fn() -> u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let depth = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&depth);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
            for socket in [&client, &server] {
                socket.set_nodelay(true).unwrap();
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let answered = Arc::new(AtomicBool::new(true));
            let (depth, waited) = (Arc::clone(&counted), Arc::clone(&answered));
            pass_telling(
                from_client,
                to_server,
                one_way,
                move || {
                    // Its answer is still to come, whatever was delivered until now.
                    if waited.swap(false, SeqCst) {
                        depth.fetch_add(1, SeqCst);
                    }
                },
                || (),
            );
            pass_telling(from_server, to_client, one_way, || (), move || answered.store(true, SeqCst));
        }
    });
    (address.port(), move || depth.load(SeqCst))
}

/// Returns the port to connect to. Calling the function makes all connections so far go silent, and none of those to come.
pub(crate) async fn silenceable(port: u16) -> (u16, impl Fn()) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (silent, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (limit, counter) = (Arc::clone(&silent), Arc::clone(&made));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let number = counter.fetch_add(1, SeqCst);
            let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(count @ 1..) = from.read(&mut buffer).await {
                        let heard = number >= limit.load(SeqCst);
                        if heard && to.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (address.port(), move || silent.store(made.load(SeqCst), SeqCst))
}

/// Returns the port to connect to. Of each connection so many bytes are taken from the client, and then not one more, as by a
/// link that is gone: what the client sends stays with it once the system keeps no more.
pub(crate) async fn taking(port: u16, bytes: u64) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    // Sockets that are accepted have it from here.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move {
                let mut taken = from_client.take(bytes);
                let _ = tokio::io::copy(&mut taken, &mut to_server).await;
                // Open, and not read from.
                std::future::pending::<()>().await;
            });
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        }
    });
    address.port()
}

fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, one_way: Duration) {
    pass_telling(from, to, one_way, || (), || ());
}

/// Tells when something was sent, and when something is about to be delivered.
fn pass_telling(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    one_way: Duration,
    sent: impl Fn() + Send + 'static,
    delivering: impl Fn() + Send + 'static,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            sent();
            if sender.send((Instant::now() + one_way, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            delivering();
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
}
