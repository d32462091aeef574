//! Several addresses of one host: tried in turn, each a little after the one before, until one answers (RFC 8305, "Happy
//! Eyeballs"). So a host whose IPv6 leads nowhere costs a quarter of a second and no time-out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::sleep;

/// How long an address has before the next one is tried as well (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// What came of it.
pub(super) struct Race<T> {
    pub(super) winner: Option<(SocketAddr, T)>,
    /// Those that failed, in that order.
    pub(super) lost: Vec<(SocketAddr, io::Error)>,
    /// Those that nothing is known of.
    pub(super) open: Vec<SocketAddr>,
}

/// The families take turns, beginning with that of the first address: the resolver has put the better ones in front.
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let first_is_v6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// Dials the addresses until one answers, or none is left.
pub(super) async fn race<T, F>(addresses: Vec<SocketAddr>, dial: impl Fn(SocketAddr) -> F) -> Race<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting: VecDeque<_> = addresses.into();
    let mut under_way = Vec::new();
    let mut dialling = FuturesUnordered::new();
    let mut lost = Vec::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            let attempt = dial(address);
            under_way.push(address);
            dialling.push(async move { (address, attempt.await) });
        }
        if dialling.is_empty() {
            return Race { winner: None, lost, open: Vec::new() };
        }
        tokio::select! {
            Some((address, result)) = dialling.next() => {
                under_way.retain(|other| *other != address);
                match result {
                    Ok(stream) => {
                        let open = under_way.into_iter().chain(waiting).collect();
                        return Race { winner: Some((address, stream)), lost, open };
                    }
                    Err(error) => lost.push((address, error)),
                }
            }
            () = sleep(HEAD_START), if !waiting.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        format!("{text}:22").parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| address(text)).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = interleave(addresses(&["[::1]", "[::2]", "[::1]", "10.0.0.1", "[::3]", "10.0.0.2"]));
        assert_eq!(mixed, addresses(&["[::1]", "10.0.0.1", "[::2]", "10.0.0.2", "[::3]"]));
        assert_eq!(interleave(addresses(&["10.0.0.1", "[::1]"])), addresses(&["10.0.0.1", "[::1]"]));
        assert_eq!(interleave(Vec::new()), []);
    }

    /// Answers `Ok` after so many milliseconds, or `Err`; `None` for never.
    async fn run(plan: &[(&str, Option<u64>, bool)]) -> (Race<()>, Vec<(SocketAddr, u64)>, u64) {
        let begun = Instant::now();
        let dialled = RefCell::new(Vec::new());
        let race = race(plan.iter().map(|(text, ..)| address(text)).collect(), |at| {
            dialled.borrow_mut().push((at, begun.elapsed().as_millis() as u64));
            let (_, after, good) = *plan.iter().find(|(text, ..)| address(text) == at).unwrap();
            async move {
                match after {
                    Some(after) => sleep(Duration::from_millis(after)).await,
                    None => std::future::pending().await,
                }
                if good { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        })
        .await;
        (race, dialled.into_inner(), begun.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_its_head_start_and_no_more() {
        let (race, dialled, took) =
            run(&[("[::1]", None, false), ("10.0.0.1", Some(20), true), ("10.0.0.2", Some(1), true)]).await;
        assert_eq!(race.winner.unwrap().0, address("10.0.0.1"));
        assert_eq!(dialled, [(address("[::1]"), 0), (address("10.0.0.1"), 250)]);
        assert_eq!(took, 270);
        assert_eq!(race.open, addresses(&["[::1]", "10.0.0.2"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_makes_room_for_the_next_at_once() {
        let (race, dialled, took) =
            run(&[("[::1]", Some(10), false), ("10.0.0.1", Some(10), false), ("10.0.0.2", Some(10), true)])
                .await;
        assert_eq!(race.winner.unwrap().0, address("10.0.0.2"));
        assert_eq!(dialled.last().unwrap().1, 20);
        assert_eq!(took, 30);
        assert_eq!(race.lost.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_late_can_still_win() {
        let (race, ..) = run(&[("[::1]", Some(400), true), ("10.0.0.1", Some(900), true)]).await;
        assert_eq!(race.winner.unwrap().0, address("[::1]"));
    }

    #[tokio::test(start_paused = true)]
    async fn when_none_answers_all_are_named() {
        let (race, ..) = run(&[("[::1]", Some(300), false), ("10.0.0.1", Some(10), false)]).await;
        assert!(race.winner.is_none());
        let lost: Vec<_> = race.lost.iter().map(|(address, _)| *address).collect();
        assert_eq!(lost, addresses(&["10.0.0.1", "[::1]"]));
        assert!(run(&[]).await.0.winner.is_none());
    }
}
