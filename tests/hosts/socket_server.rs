//! A tiny HTTP server for tests that takes its listening socket from systemd, on standard input (`StandardInput=socket`,
//! systemd.exec(5)), and answers what it has taken before it ends.
use std::os::fd::AsFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let socket = std::net::TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            _ = terminated.recv() => break,
            Ok((stream, _)) = listener.accept() => {
                answers.spawn(answer(stream));
            }
        }
    }
    answers.join_all().await;
    Ok(())
}

async fn answer(mut stream: TcpStream) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let _ = stream.shutdown().await;
}
