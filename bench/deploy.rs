//! How long a deploy takes, and what it sends: shipit, the article's procedure, and the best shell script
//! (`article.sh`, `deploy.sh`), side by side on one host. What is measured and why: docs/performance.md.
//!
//! `make bench`, or with a host of `make hosts` up: `cargo bench --bench deploy -- [--folder] [--quick] [--runs N] [--link NAME]`.
//! A Markdown table goes to standard output, JSON lines to `target/bench/deploy.json`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

#[path = "../tests/hosts/mod.rs"]
mod hosts;

mod contender;
mod measurement;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use contender::{Contender, Tool};
use hosts::relay::{Link as RelayLink, Relay};
use hosts::{TestUser, UserOptions};
use measurement::{Cell, Measurements};

/// No round begins after this; the last one takes half a minute at most.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What is new about a deploy. In the order of a round: each begins where the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    First,
    Unchanged,
    Block,
    EnvFile,
    OneFile,
}

/// What is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// One large program.
    Program,
    /// A small one, and a folder of thousands of small files.
    Folder,
}

impl Work {
    fn cases(self) -> &'static [Case] {
        match self {
            Self::Program => &[Case::First, Case::Unchanged, Case::Block, Case::EnvFile],
            Self::Folder => &[Case::First, Case::Unchanged, Case::OneFile],
        }
    }

    fn tools(self) -> &'static [Tool] {
        match self {
            Self::Program => &Tool::ALL,
            // Nobody would copy thousands of files with scp.
            Self::Folder => &[Tool::Shipit, Tool::Script],
        }
    }
}

impl Case {
    const ALL: [Self; 5] = [Self::First, Self::Unchanged, Self::Block, Self::EnvFile, Self::OneFile];

    fn name(self) -> &'static str {
        match self {
            Self::First => "first deploy",
            Self::Unchanged => "nothing changed",
            Self::Block => "64 KiB of the binary changed",
            Self::EnvFile => "env file changed",
            Self::OneFile => "one of 5,000 files changed",
        }
    }
}

/// The network between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// None; a relay without a delay counts bytes in a run of its own, which is not timed.
    Direct,
    /// A relay that delays.
    Slow,
}

impl Link {
    const ALL: [Self; 2] = [Self::Direct, Self::Slow];

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Slow => "50 ms round trip",
        }
    }

    fn round_trip(self) -> Duration {
        match self {
            Self::Direct => Duration::ZERO,
            Self::Slow => Duration::from_millis(50),
        }
    }
}

struct Options {
    runs: usize,
    links: Vec<Link>,
    work: Work,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { runs: 7, links: Link::ALL.to_vec(), work: Work::Program };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // What cargo gives every benchmark.
                "--bench" => {}
                "--quick" => options.runs = 3,
                "--folder" => options.work = Work::Folder,
                "--runs" => {
                    let runs = arguments.next().and_then(|n| n.parse().ok());
                    options.runs = runs.expect("--runs takes a number");
                }
                "--link" => {
                    let name = arguments.next().unwrap_or_default();
                    options.links.retain(|link| link.name().starts_with(&name));
                    assert!(!options.links.is_empty(), "--link is direct or 50");
                }
                other => panic!("{other}? usage: deploy [--folder] [--quick] [--runs N] [--link direct|50]"),
            }
        }
        options
    }
}

fn main() -> io::Result<()> {
    let options = Options::read(std::env::args().skip(1));
    let tools = options.work.tools();
    let contenders: Option<Vec<_>> = tools.iter().map(|tool| set_up(*tool, options.work)).collect();
    let Some(mut contenders) = contenders else {
        eprintln!("The benchmark needs a test host: unset SHIPIT_TEST_HOST.");
        return Ok(());
    };
    let target = contenders[0].host();
    let relays: Vec<_> = options
        .links
        .iter()
        .map(|link| Ok((*link, Relay::start(target, RelayLink::round_trip(link.round_trip()))?)))
        .collect::<io::Result<_>>()?;

    let begun = Instant::now();
    let mut measurements = Measurements::default();
    for round in 0..options.runs {
        if begun.elapsed() > TIME_LIMIT {
            eprintln!("{round} of {} rounds: the time is up", options.runs);
            break;
        }
        for (link, relay) in &relays {
            if *link == Link::Direct {
                if round == 0 {
                    one_round(&mut contenders, round, Some(relay), |cell, time, counts| {
                        let _ = time; // the relay's own time is in it
                        measurements.count(Cell { link: *link, ..cell }, counts);
                    });
                }
                one_round(&mut contenders, round, None, |cell, time, _| {
                    measurements.time(Cell { link: *link, ..cell }, time);
                });
            } else {
                one_round(&mut contenders, round, Some(relay), |cell, time, counts| {
                    let cell = Cell { link: *link, ..cell };
                    measurements.time(cell, time);
                    measurements.count(cell, counts);
                });
            }
        }
        eprintln!("round {} of {}: {:.0} s", round + 1, options.runs, begun.elapsed().as_secs_f64());
    }

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is target/tmp").join("bench");
    fs::create_dir_all(&folder)?;
    measurements.write_json(&mut File::create(folder.join(match options.work {
        Work::Program => "deploy.json",
        Work::Folder => "folder.json",
    }))?)?;
    measurements.write_markdown(&mut io::stdout().lock())?;
    io::stdout().flush()
}

fn set_up(tool: Tool, work: Work) -> Option<Contender> {
    let user = TestUser::new(UserOptions::default())?;
    user.key_path.is_some().then(|| Contender::new(tool, user, work))
}

/// All cases, each with all contenders in turn, so that what else the machine does hits all alike. Who begins changes
/// from round to round.
fn one_round(
    contenders: &mut [Contender],
    round: usize,
    relay: Option<&Relay>,
    mut note: impl FnMut(Cell, Duration, hosts::relay::Counts),
) {
    for contender in &mut *contenders {
        contender.clean();
    }
    for &case in contenders[0].work.cases() {
        for number in 0..contenders.len() {
            let turn = (number + round) % contenders.len();
            let contender = &mut contenders[turn];
            contender.change(case);
            let before = relay.map(Relay::final_counts).unwrap_or_default();
            let time = contender.run(relay);
            let after = relay.map(Relay::final_counts).unwrap_or_default();
            contender.settle();
            if round == 0 {
                contender.check(case);
            }
            let counts = hosts::relay::Counts {
                connections: after.connections - before.connections,
                bytes_to_target: after.bytes_to_target - before.bytes_to_target,
                bytes_to_client: after.bytes_to_client - before.bytes_to_client,
                round_trips: after.round_trips - before.round_trips,
            };
            note(Cell { case, link: Link::Direct, tool: contender.tool }, time, counts);
        }
    }
}
