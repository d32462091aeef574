//! From a name to a TCP connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::config::AddressFamily;
use super::error::SshError;
use super::eyeballs::{interleave, race};
use super::options::ConnectOptions;
use super::peer::with_port;
use super::target::Target;

/// Between two rounds of `ConnectionAttempts`, as ssh_config(5) has it.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// The addresses of a host, of the family that is wanted.
pub(super) async fn addresses(
    target: &Target,
    options: &ConnectOptions,
) -> Result<Vec<SocketAddr>, SshError> {
    if let Some(address) = options.address {
        return Ok(vec![address]);
    }
    let failed = |source| SshError::Resolve { host: target.host.clone(), source };
    let lookup = lookup_host((target.host.as_str(), target.port));
    let found: Vec<SocketAddr> = match timeout(options.connect_timeout, lookup).await {
        Ok(found) => found.map_err(failed)?.collect(),
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    let (what, wanted): (_, fn(&SocketAddr) -> bool) = match options.address_family {
        AddressFamily::Any => ("address", |_| true),
        AddressFamily::Inet => ("IPv4 address, and AddressFamily is inet", SocketAddr::is_ipv4),
        AddressFamily::Inet6 => ("IPv6 address, and AddressFamily is inet6", SocketAddr::is_ipv6),
    };
    let found = interleave(found.into_iter().filter(wanted).collect());
    if found.is_empty() {
        let why = format!("the name has no {what}");
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    Ok(found)
}

/// Connects to whichever address answers first. What is left in `addresses` may still be tried.
pub(super) async fn first_to_answer(
    addresses: &mut Vec<SocketAddr>,
    target: &Target,
    options: &ConnectOptions,
) -> Result<(SocketAddr, TcpStream), SshError> {
    let mut rounds = 1..=options.connection_attempts.max(1);
    loop {
        rounds.next();
        let outcome = race(addresses.clone(), |address| dial(address, options)).await;
        if let Some(winner) = outcome.winner {
            *addresses = outcome.open;
            return Ok(winner);
        }
        if rounds.is_empty() {
            addresses.clear();
            return Err(unreachable(target, options, outcome.lost));
        }
        tracing::debug!("{target}: no address answers; once more");
        sleep(BETWEEN_ROUNDS).await;
    }
}

/// Connects to one address, in time.
pub(super) async fn dial(address: SocketAddr, options: &ConnectOptions) -> io::Result<TcpStream> {
    tracing::debug!("connecting to {address}");
    let connecting = async {
        let stream = match &options.bind_address {
            None => TcpStream::connect(address).await?,
            Some(from) => {
                let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
                socket.bind(own_address(from, address).await?)?;
                socket.connect(address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let after = options.connect_timeout;
    timeout(after, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// `BindAddress`: an address of this machine, of the family of the one that is connected to.
async fn own_address(from: &str, to: SocketAddr) -> io::Result<SocketAddr> {
    let mut found = lookup_host((from, 0)).await?.filter(|own| own.is_ipv6() == to.is_ipv6());
    found.next().ok_or_else(|| {
        let why = format!("BindAddress {from} is not an address of that family");
        io::Error::new(io::ErrorKind::AddrNotAvailable, why)
    })
}

fn unreachable(target: &Target, options: &ConnectOptions, lost: Vec<(SocketAddr, io::Error)>) -> SshError {
    let after = options.connect_timeout;
    match <[_; 1]>::try_from(lost) {
        Ok([(address, source)]) => one_unreachable(address, source, after),
        Err(several) => SshError::Connect {
            to: with_port(&target.host, target.port),
            source: io::Error::other(format!("none of its {} addresses answers", several.len())),
            tried: several.into_iter().map(|(address, error)| (address, in_words(&error, after))).collect(),
        },
    }
}

/// For a single address, or the only one that is of interest.
pub(super) fn one_unreachable(address: SocketAddr, source: io::Error, after: Duration) -> SshError {
    let to = address.to_string();
    match source.kind() {
        io::ErrorKind::TimedOut => SshError::ConnectTimeout { to, after },
        _ => SshError::Connect { to, tried: Vec::new(), source },
    }
}

fn in_words(error: &io::Error, after: Duration) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("no answer within {} s", after.as_secs_f32()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::super::prompt::Nobody;
    use super::*;

    fn options() -> ConnectOptions {
        ConnectOptions::new(Path::new("/nonexistent"), Arc::new(Nobody))
    }

    fn target() -> Target {
        Target { user: "deploy".into(), host: "web1.example.com".into(), port: 22 }
    }

    /// Taken, so that nobody else takes it; and nobody listens.
    fn closed(address: &str) -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken_and_the_rest_is_left_for_later() {
        let (_taken, refused) = closed("127.0.0.2");
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let answers = listener.local_addr().unwrap();
        let (_also, spare) = closed("127.0.0.4");
        let mut left = vec![refused, answers, spare];
        let (address, _stream) = first_to_answer(&mut left, &target(), &options()).await.unwrap();
        assert_eq!((address, left), (answers, vec![spare]));
    }

    #[tokio::test]
    async fn when_none_answers_every_address_is_named_with_what_came_of_it() {
        let ((_a, one), (_b, two)) = (closed("127.0.0.2"), closed("127.0.0.3"));
        let error = first_to_answer(&mut vec![one, two], &target(), &options()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot connect to web1.example.com:22");
        let refused = "Connection refused (os error 111)";
        assert_eq!(error.details(), [format!("{one}: {refused}"), format!("{two}: {refused}")]);
        let SshError::Connect { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.to_string(), "none of its 2 addresses answers");

        let lost = vec![(one, io::ErrorKind::TimedOut.into()), (two, io::ErrorKind::TimedOut.into())];
        let details = unreachable(&target(), &options(), lost).details();
        assert_eq!(details[0], format!("{one}: no answer within 10 s"));
        let only = unreachable(&target(), &options(), vec![(one, io::ErrorKind::TimedOut.into())]);
        assert_eq!(only.to_string(), format!("{one} did not answer within 10 s"));
    }
}
