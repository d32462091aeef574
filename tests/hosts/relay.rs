//! A TCP relay that stands in for a network: slow, narrow, cut, or silent.
//!
//! ```text
//! client  <-- 127.0.0.1:port -->  relay  <-- delay, bandwidth, faults -->  target
//! ```
//!
//! Each direction of a connection is a queue of chunks with the time at which each is due, so a delay does not cap
//! the throughput. What a TCP handshake costs on a network with that delay is charged to the first bytes of each
//! connection, since the client's connect to the relay itself takes no time.
//!
//! # Round trips
//!
//! A round trip is counted for each burst of client data that may depend on something the target has answered:
//! data that the client sends after receiving target data which left the relay at least 1.5 delays after the last
//! counted burst. (Data that came sooner was under way already and cannot be an answer to that burst, which takes
//! two delays.) So the bursts counted in one exchange are those that had to wait for each other, acknowledgements
//! in the middle of a stream add no more than its time divided by the round-trip time, and the count is the same
//! in each run. Without a delay any target data counts as an answer; use a delay when the figure matters. The
//! first data of a connection counts as one, a last farewell that nobody waits for as well; the TCP handshake is not
//! counted. Read the figure with [`Relay::final_counts`]: a program may end before its last bytes have passed.
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes that one direction of a connection may have under way when no bandwidth is set.
const QUEUE_LIMIT: usize = 64 << 20;
const CHUNK: usize = 64 << 10;

/// The way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToTarget,
    ToClient,
}

use Direction::{ToClient, ToTarget};

/// What kind of network the relay is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// How long each byte is under way, each way. A round trip takes twice that.
    pub delay: Duration,
    /// Bytes a second, each way and for each connection; `None` is as fast as it goes.
    pub bandwidth: Option<u64>,
}

impl Link {
    /// A link with this round-trip time.
    pub fn round_trip(time: Duration) -> Self {
        Self { delay: time / 2, bandwidth: None }
    }
}

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub bytes_to_target: u64,
    pub bytes_to_client: u64,
    pub round_trips: u64,
}

impl Counts {
    pub fn to_json(self) -> String {
        format!(
            r#"{{"connections":{},"bytes_to_target":{},"bytes_to_client":{},"round_trips":{}}}"#,
            self.connections, self.bytes_to_target, self.bytes_to_client, self.round_trips
        )
    }
}

/// A running relay. It ends, with all its connections, when dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    target: SocketAddr,
    link: Link,
    faults: Mutex<Faults>,
    faults_changed: Condvar,
    listening: AtomicBool,
    connections: AtomicU64,
    open: AtomicU64,
    round_trips: AtomicU64,
    bytes: [AtomicU64; 2],
}

/// Counts as an open connection while it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, SeqCst);
        shared.open.fetch_add(1, SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// What is broken now or will break. A limit counts the bytes of one direction over the life of the relay.
#[derive(Default)]
struct Faults {
    silent: bool,
    cut_after: [Option<u64>; 2],
    silent_after: [Option<u64>; 2],
    open: Vec<Arc<Connection>>,
}

struct Connection {
    client: TcpStream,
    target: TcpStream,
    closed: AtomicBool,
    established: Instant,
    exchange: Mutex<Exchange>,
}

/// The state behind the count of round trips.
struct Exchange {
    answered: bool,
    last_burst: Instant,
}

impl Relay {
    /// Listens on a free port of 127.0.0.1 and relays to `target`.
    pub fn start(target: SocketAddr, link: Link) -> io::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), target, link)
    }

    /// Listens on `address`.
    pub fn listen(address: SocketAddr, target: SocketAddr, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            link,
            faults: Mutex::default(),
            faults_changed: Condvar::new(),
            listening: AtomicBool::new(true),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            bytes: Default::default(),
        });
        let accepting = spawn_listener(listener, &shared);
        Ok(Self { address, shared, listener: Mutex::new(Some(accepting)) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has passed so far. A client that is done may have bytes under way: see [`Self::final_counts`].
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.shared.connections.load(SeqCst),
            bytes_to_target: self.shared.bytes[ToTarget as usize].load(SeqCst),
            bytes_to_client: self.shared.bytes[ToClient as usize].load(SeqCst),
            round_trips: self.shared.round_trips.load(SeqCst),
        }
    }

    /// What has passed once all connections have ended. The caller sees to it that they do.
    pub fn final_counts(&self) -> Counts {
        let start = Instant::now();
        while self.shared.open.load(SeqCst) > 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "a connection through the relay does not end");
            thread::sleep(Duration::from_millis(1));
        }
        self.counts()
    }

    /// Closes all connections that are open now. New ones are taken.
    pub fn cut(&self) {
        let open = std::mem::take(&mut self.shared.faults().open);
        open.iter().for_each(|connection| connection.close());
        self.shared.faults_changed.notify_all();
    }

    /// Delivers exactly `bytes` more bytes that way, then closes all connections. Later ones are relayed.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        let limit = self.shared.bytes[direction as usize].load(SeqCst) + bytes;
        self.shared.faults().cut_after[direction as usize] = Some(limit);
    }

    /// Passes nothing from now on, in either direction; connections stay open, and new ones are taken.
    pub fn go_silent(&self) {
        self.shared.faults().silent = true;
    }

    /// Delivers exactly `bytes` more bytes that way, then goes silent.
    pub fn go_silent_after(&self, direction: Direction, bytes: u64) {
        let limit = self.shared.bytes[direction as usize].load(SeqCst) + bytes;
        self.shared.faults().silent_after[direction as usize] = Some(limit);
    }

    /// Ends a silence: what was under way arrives.
    pub fn resume(&self) {
        let mut faults = self.shared.faults();
        faults.silent = false;
        faults.silent_after = [None; 2];
        self.shared.faults_changed.notify_all();
    }

    /// Whether the relay is silent.
    pub fn is_silent(&self) -> bool {
        self.shared.faults().silent
    }

    /// From now on connecting fails with "connection refused". Open connections go on.
    pub fn refuse(&self) {
        let mut listener = self.listener.lock().expect("no listener thread panics");
        if let Some(accepting) = listener.take() {
            self.shared.listening.store(false, SeqCst);
            drop(TcpStream::connect(self.address)); // wakes the thread up
            let _ = accepting.join();
        }
    }

    /// Takes new connections again, on the same port.
    pub fn accept(&self) -> io::Result<()> {
        let mut listener = self.listener.lock().expect("no listener thread panics");
        if listener.is_none() {
            let socket = TcpListener::bind(self.address)?;
            self.shared.listening.store(true, SeqCst);
            *listener = Some(spawn_listener(socket, &self.shared));
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.refuse();
        self.resume();
        self.cut();
    }
}

fn spawn_listener(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for client in listener.incoming() {
            if !shared.listening.load(SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let open = Open::new(&shared);
            let shared = Arc::clone(&shared);
            let accepted = Instant::now();
            thread::spawn(move || shared.connect(client, accepted, open));
        }
    })
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no relay thread panics")
    }

    /// Connects to the target and starts both directions. A target that cannot be reached closes the client.
    fn connect(self: Arc<Self>, client: TcpStream, accepted: Instant, open: Open) {
        let established = accepted + self.link.delay * 2;
        // The handshake's last part reaches the target one delay after the client has it.
        wait_until(established + self.link.delay);
        let Ok(target) = TcpStream::connect(self.target) else { return };
        let _ = (client.set_nodelay(true), target.set_nodelay(true));
        let connection = Arc::new(Connection {
            client,
            target,
            closed: AtomicBool::new(false),
            established,
            exchange: Mutex::new(Exchange { answered: true, last_burst: established }),
        });
        {
            let mut faults = self.faults();
            faults.open.retain(|other| !other.closed.load(SeqCst));
            faults.open.push(Arc::clone(&connection));
        }
        let open = Arc::new(open);
        for direction in [ToTarget, ToClient] {
            let open = Arc::clone(&open);
            let queue = Arc::new(Queue::new(self.link));
            let (from, to) = (Arc::clone(&queue), queue);
            let (reading, writing) = (Arc::clone(&connection), Arc::clone(&connection));
            let (reader, writer) = (Arc::clone(&self), Arc::clone(&self));
            thread::spawn(move || reader.read(&reading, direction, &to));
            thread::spawn(move || {
                writer.write(&writing, direction, &from);
                drop(open);
            });
        }
    }

    /// Takes what one side sends and puts it on its way.
    fn read(&self, connection: &Connection, direction: Direction, queue: &Queue) {
        let mut source = match direction {
            ToTarget => &connection.client,
            ToClient => &connection.target,
        };
        let mut buffer =
            vec![0; self.link.bandwidth.map_or(CHUNK, |rate| (rate as usize / 200).clamp(512, CHUNK))];
        loop {
            let length = source.read(&mut buffer).unwrap_or(0);
            let mut now = Instant::now();
            if direction == ToTarget {
                now = now.max(connection.established);
                if length > 0 {
                    self.note_client_data(connection, now);
                }
            }
            queue.push(now, buffer[..length].to_vec());
            if length == 0 {
                return;
            }
        }
    }

    /// Delivers what is due.
    fn write(&self, connection: &Connection, direction: Direction, queue: &Queue) {
        let mut sink = match direction {
            ToTarget => &connection.target,
            ToClient => &connection.client,
        };
        loop {
            let chunk = queue.pop();
            wait_until(chunk.due);
            let mut rest = &chunk.bytes[..];
            loop {
                let (allowed, cut) = self.allowance(connection, direction, rest.len());
                if connection.closed.load(SeqCst) {
                    queue.close();
                    return;
                }
                let (now, later) = rest.split_at(allowed);
                if !now.is_empty() {
                    if direction == ToClient {
                        self.note_target_data(connection);
                    }
                    if sink.write_all(now).is_err() {
                        queue.close();
                        connection.close();
                        return;
                    }
                }
                rest = later;
                if cut {
                    self.cut_all();
                }
                if rest.is_empty() {
                    break;
                }
            }
            if chunk.bytes.is_empty() {
                let _ = sink.shutdown(Shutdown::Write);
                return;
            }
        }
    }

    /// How many of `length` bytes may be delivered now, and whether all is cut after them. Waits out a silence.
    /// The bytes are counted here: a limit is never passed, however many connections there are.
    fn allowance(&self, connection: &Connection, direction: Direction, length: usize) -> (usize, bool) {
        let way = direction as usize;
        let mut faults = self.faults();
        loop {
            if connection.closed.load(SeqCst) {
                return (0, false);
            }
            let passed = self.bytes[way].load(SeqCst);
            if faults.silent_after[way].is_some_and(|limit| passed >= limit) {
                faults.silent = true;
            }
            if !faults.silent {
                let left = [faults.cut_after[way], faults.silent_after[way]].into_iter().flatten().min();
                let allowed = left.map_or(length, |limit| length.min((limit - passed) as usize));
                let total = self.bytes[way].fetch_add(allowed as u64, SeqCst) + allowed as u64;
                if faults.silent_after[way].is_some_and(|limit| total >= limit) {
                    faults.silent = true;
                }
                let cut = faults.cut_after[way].is_some_and(|limit| total >= limit);
                if cut {
                    faults.cut_after[way] = None;
                }
                return (allowed, cut);
            }
            faults = self.faults_changed.wait(faults).expect("no relay thread panics");
        }
    }

    fn cut_all(&self) {
        let open = std::mem::take(&mut self.faults().open);
        open.iter().for_each(|connection| connection.close());
        self.faults_changed.notify_all();
    }

    fn note_client_data(&self, connection: &Connection, now: Instant) {
        let mut exchange = connection.exchange.lock().expect("no relay thread panics");
        if std::mem::take(&mut exchange.answered) {
            exchange.last_burst = now;
            self.round_trips.fetch_add(1, SeqCst);
        }
    }

    fn note_target_data(&self, connection: &Connection) {
        let mut exchange = connection.exchange.lock().expect("no relay thread panics");
        exchange.answered |= exchange.last_burst.elapsed() >= self.link.delay * 3 / 2;
    }
}

impl Connection {
    fn close(&self) {
        self.closed.store(true, SeqCst);
        let _ = (self.client.shutdown(Shutdown::Both), self.target.shutdown(Shutdown::Both));
    }
}

/// Bytes under way, oldest first. An empty chunk is the end of the stream.
struct Queue {
    link: Link,
    limit: usize,
    state: Mutex<QueueState>,
    changed: Condvar,
}

struct QueueState {
    chunks: VecDeque<Chunk>,
    length: usize,
    /// When the line is free for the next byte.
    line_free: Instant,
    closed: bool,
}

struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

impl Queue {
    fn new(link: Link) -> Self {
        // A narrow line holds what is on it, and a router's buffer of a tenth of a second.
        let limit = link.bandwidth.map_or(QUEUE_LIMIT, |rate| {
            ((rate as f64 * (link.delay.as_secs_f64() + 0.1)) as usize).clamp(CHUNK, QUEUE_LIMIT)
        });
        let state =
            QueueState { chunks: VecDeque::new(), length: 0, line_free: Instant::now(), closed: false };
        Self { link, limit, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn push(&self, sent: Instant, bytes: Vec<u8>) {
        let mut state = self.state.lock().expect("no relay thread panics");
        while state.length >= self.limit && !state.closed {
            state = self.changed.wait(state).expect("no relay thread panics");
        }
        let taken = self
            .link
            .bandwidth
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes.len() as f64 / rate as f64));
        state.line_free = state.line_free.max(sent) + taken;
        let due = state.line_free + self.link.delay;
        state.length += bytes.len();
        state.chunks.push_back(Chunk { due, bytes });
        self.changed.notify_all();
    }

    fn pop(&self) -> Chunk {
        let mut state = self.state.lock().expect("no relay thread panics");
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                state.length -= chunk.bytes.len();
                self.changed.notify_all();
                return chunk;
            }
            state = self.changed.wait(state).expect("no relay thread panics");
        }
    }

    /// Nobody takes anything from here any more: a waiting reader goes on and ends.
    fn close(&self) {
        self.state.lock().expect("no relay thread panics").closed = true;
        self.changed.notify_all();
    }
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}
