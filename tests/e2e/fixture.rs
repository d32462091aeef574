//! The fixture keeps its own promises: what the other tests build on.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::Project;
use crate::hosts::relay::{Direction, Link, Relay};
use crate::hosts::{
    HostOptions, Lingering, OwnHost, SharedHost, Sudo, TestUser, UserOptions, skip, wait_for,
};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn users_made_at_the_same_time_share_nothing() {
    let made: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| TestUser::new(UserOptions::default()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let Some(users) = made.into_iter().collect::<Option<Vec<_>>>() else { return };
    if users[0].key_path.is_none() {
        return skip("SHIPIT_TEST_HOST has one user for all");
    }
    for user in &users {
        assert_eq!(user.run("id -un; cd; pwd"), format!("{}\n{}\n", user.user, user.home));
        assert_eq!(user.run("sudo -n id -u"), "0\n");
    }
    let [a, b, ..] = &users[..] else { unreachable!() };
    assert_ne!(a.unique_port(), b.unique_port());
    assert_ne!(a.unique_port(), a.unique_port());
    assert_ne!(a.service_name("api"), b.service_name("api"));
    let stranger = Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", b.known_hosts.display()))
        .arg("-i")
        .args([a.key_path.as_ref().unwrap()])
        .args([&format!("{}@{}", b.user, b.host), "true"])
        .output()
        .unwrap();
    assert!(!stranger.status.success(), "one user's key must not open another's account");
}

#[test]
fn a_service_runs_under_the_users_systemd_and_the_user_reads_its_journal() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let unit = user.service_name("fixture");
    user.run(&format!("systemd-run --user --quiet --unit={unit} sh -c 'echo it says hello; exec sleep 100'"));
    wait_for("the service's line in the journal", LIMIT, || {
        user.run(&format!("journalctl --user --unit={unit} --no-pager --output=cat"))
            .contains("it says hello")
    });
    assert_eq!(user.run(&format!("systemctl --user is-active {unit}")), "active\n");
    user.run(&format!("systemctl --user stop {unit}"));
}

#[test]
fn lingering_and_sudo_are_as_asked_for() {
    let options = UserOptions { sudo: Sudo::Password, lingering: Lingering::Off, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    assert_eq!(user.run("loginctl show-user $(id -un) --property=Linger --value"), "no\n");
    assert!(!user.ssh("sudo -n true").status.success(), "sudo must ask for the password");
    let password = user.password.as_deref().unwrap();
    assert_eq!(user.run(&format!("echo {password} | sudo -S -p '' id -u")), "0\n");

    let options = UserOptions { sudo: Sudo::None, lingering: Lingering::On, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    assert!(!user.ssh("sudo -n true").status.success());
    assert_eq!(user.run("loginctl show-user $(id -un) --property=Linger --value"), "yes\n");
}

#[test]
fn a_dropped_user_leaves_nothing_on_the_host() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    if user.key_path.is_none() {
        return skip("the user in SHIPIT_TEST_HOST stays");
    }
    let (name, link) = (user.user.clone(), format!("/usr/local/bin/{}", user.service_name("left")));
    user.run(&format!("systemd-run --user --quiet sleep 1000; sudo ln -s ~/bin/x {link}"));
    let id = user.run("id -u").trim().to_owned();
    drop(user);
    let left = SharedHost::get().run(&format!(
        "pgrep -u {id}; ls -d /home/{name} /etc/sudoers.d/{name} /var/lib/systemd/linger/{name} 2>/dev/null; \
         find {link} 2>/dev/null; getent passwd {name}; true"
    ));
    assert_eq!(left, "");
}

#[test]
fn a_small_disk_is_small_and_a_power_cut_loses_no_user() {
    let options =
        HostOptions { home_size: Some("4m".into()), home_inodes: Some(200), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let full = user.ssh("head -c 8000000 /dev/zero >large; ls -l large");
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left on device"), "{full:?}");
    user.run("rm large");
    let full = user.ssh("for i in $(seq 300); do : >f$i || exit 1; done");
    assert!(String::from_utf8_lossy(&full.stderr).contains("No space left on device"), "{full:?}");

    host.machine.cut_power();
    assert!(!user.ssh("true").status.success());
    host.machine.power_on();
    assert_eq!(user.run("id -un"), format!("{}\n", user.user));
}

#[test]
fn a_relayed_login_takes_the_links_time_and_the_same_round_trips_each_time() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let target = user.address();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let relay = Relay::start(target, Link::round_trip(Duration::from_millis(50))).unwrap();
        user.go_through(&relay);
        let start = Instant::now();
        user.run("true");
        let took = start.elapsed();
        let counts = relay.final_counts();
        // The handshake is not counted, and nobody waits for an answer to the farewell.
        let least = Duration::from_millis(50) * u32::try_from(counts.round_trips).unwrap();
        assert!(took >= least, "{counts:?} cannot take only {took:?}");
        assert_eq!(counts.connections, 1);
        assert!(counts.bytes_to_target > 1000 && counts.bytes_to_client > 1000, "{counts:?}");
        seen.push(counts.round_trips);
    }
    assert_eq!(seen[0], seen[1]);
    assert!((6..=12).contains(&seen[0]), "OpenSSH needs about nine round trips, not {}", seen[0]);
}

#[test]
fn a_cut_delivers_exactly_the_bytes_it_was_asked_for() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    relay.cut_after(Direction::ToClient, 500_000);
    let output = user.ssh("head -c 5000000 /dev/zero");
    assert!(!output.status.success(), "the connection must have been cut");
    assert_eq!(relay.counts().bytes_to_client, 500_000);
    assert!(output.stdout.len() < 500_000);
    assert_eq!(user.run("echo again"), "again\n", "one cut is one cut");
}

#[test]
fn a_silent_relay_keeps_connections_open_and_passes_nothing_until_it_resumes() {
    let echo = Echo::start();
    let relay = Relay::start(echo.address, Link::default()).unwrap();
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    assert_eq!(exchange(&mut stream, b"before"), b"before");
    relay.go_silent_after(Direction::ToClient, 3);
    stream.write_all(b"during").unwrap();
    let mut part = [0; 3];
    stream.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"dur");
    wait_for("silence", LIMIT, || relay.is_silent());
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = stream.read(&mut part).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "still open, and nothing comes");
    relay.resume();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"ing");
}

#[test]
fn a_refusing_relay_refuses_and_takes_connections_again_on_the_same_port() {
    let echo = Echo::start();
    let relay = Relay::start(echo.address, Link::default()).unwrap();
    let mut open = TcpStream::connect(relay.address()).unwrap();
    assert_eq!(exchange(&mut open, b"x"), b"x");
    relay.refuse();
    let error = TcpStream::connect(relay.address()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(exchange(&mut open, b"y"), b"y", "what is open goes on");
    relay.accept().unwrap();
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    assert_eq!(exchange(&mut stream, b"z"), b"z");
    relay.cut();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_delay_is_exact_and_counts_one_round_trip_an_exchange() {
    let echo = Echo::start();
    let relay = Relay::start(echo.address, Link::round_trip(Duration::from_millis(40))).unwrap();
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    exchange(&mut stream, b"the handshake is charged to this one");
    let mut best = Duration::MAX;
    let mut exchanges = 1;
    // The best of several: a busy machine makes single exchanges late, but none early.
    while exchanges < 6 || (best >= Duration::from_millis(43) && exchanges < 60) {
        exchanges += 1;
        let start = Instant::now();
        exchange(&mut stream, b"ping");
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(40), "{took:?}");
        best = best.min(took);
    }
    assert!(best < Duration::from_millis(43), "{best:?}");
    assert_eq!(relay.counts().round_trips, exchanges);
}

#[test]
fn a_delay_does_not_cap_the_throughput_but_a_bandwidth_does() {
    const LENGTH: usize = 32 << 20;
    let echo = Echo::start();
    let relay = Relay::start(echo.address, Link::round_trip(Duration::from_millis(100))).unwrap();
    let took = send_and_receive(relay.address(), LENGTH);
    // With one 64 KiB chunk under way at a time it would be 25 seconds and more.
    assert!(took < Duration::from_secs(5), "{took:?}");

    let link = Link { delay: Duration::ZERO, bandwidth: Some(1_000_000) };
    let relay = Relay::start(echo.address, link).unwrap();
    let took = send_and_receive(relay.address(), 300_000);
    assert!((300..900).contains(&took.as_millis()), "{took:?} for 300 kB at 1 MB/s");
}

#[test]
fn sweeping_takes_what_a_killed_run_left_and_leaves_foreign_names_alone() {
    if std::env::var_os("SHIPIT_TEST_HOST").is_some() {
        return skip("SHIPIT_TEST_HOST is set: no hosts are booted, and none are swept");
    }
    let sudo = if am_root() { "" } else { "sudo -n " };
    let own = SharedHost::get().name.rsplit_once('-').unwrap().0.to_owned();
    let left = format!("{own}-9001");
    let foreign = ["shipit-00000000-9001".to_owned(), format!("x{left}"), format!("{left}x")];
    let sweep = format!("{}/tests/hosts/hosts.sh sweep", env!("CARGO_MANIFEST_DIR"));
    let shell = |script: &str| Command::new("sh").args(["-c", script]).output().unwrap();
    for name in foreign.iter().chain([&left]) {
        assert!(shell(&format!("{sudo}ip netns add {name}")).status.success());
    }
    let swept = shell(&sweep);
    let namespaces = String::from_utf8(shell("ip netns list").stdout).unwrap();
    for name in &foreign {
        shell(&format!("{sudo}ip netns del {name}"));
    }
    assert!(swept.status.success(), "{swept:?}");
    let namespaces: Vec<_> = namespaces.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(!namespaces.contains(&&*left), "{namespaces:?}");
    for name in &foreign {
        assert!(namespaces.contains(&&**name), "{name} is not ours: {namespaces:?}");
    }
    assert!(namespaces.contains(&&*SharedHost::get().name), "a host in use stays");
}

#[test]
fn a_project_of_a_test_never_sees_the_developers_home() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    let command = project.command(&["--version"]);
    let home = command.get_envs().find(|(name, _)| *name == "HOME").unwrap().1.unwrap();
    assert!(std::path::Path::new(home).join(".ssh/known_hosts").is_file());
    assert!(home.to_str().unwrap().starts_with(std::env::temp_dir().to_str().unwrap()));
}

fn am_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// A server that sends back what it gets.
struct Echo {
    address: SocketAddr,
    ended: &'static AtomicBool,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended: &'static AtomicBool = Box::leak(Box::default());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        Self { address, ended }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// How long it takes to get `length` bytes to an echo server and back.
fn send_and_receive(address: SocketAddr, length: usize) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let sender = thread::spawn(move || sending.write_all(&vec![7; length]).unwrap());
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    sender.join().unwrap();
    start.elapsed()
}
