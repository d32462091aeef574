//! Several operators who deploy at the same moment.
use std::thread;

use crate::harness::{Project, Ran};
use crate::hosts::{TestUser, UserOptions};
use crate::tally::Tally;

const OPERATORS: usize = 4;
const ROUNDS: usize = 200;

/// The begin and the end of every run on the host, and its id: from the making of its program to its last state. One may
/// not begin before the one before has ended.
fn overlap(project: &Project, user: &TestUser) -> Option<String> {
    let root = project.root(user);
    let listed = user
        .run(&format!("cd {root}/runs && for run in *; do stat -c '%.Y %n' $run/program $run/state; done"));
    let mut spans: Vec<(f64, f64, String)> = Vec::new();
    for pair in listed.lines().collect::<Vec<_>>().chunks(2) {
        let parse = |line: &str| {
            line.split_once(' ').map(|(time, name)| (time.parse::<f64>().unwrap(), name.to_owned()))
        };
        let ((begin, name), (end, _)) = (parse(pair[0]).unwrap(), parse(pair[1]).unwrap());
        spans.push((begin, end, name));
    }
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let pair = spans.windows(2).find(|pair| pair[1].0 < pair[0].1)?;
    Some(format!("two activations together: {pair:?}"))
}

#[test]
#[ignore = "takes minutes: make torture"]
fn operators_who_deploy_at_once_never_activate_together_and_losers_learn_who_won() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let tally = Tally::new("races");
    let projects: Vec<Project> = (0..OPERATORS).map(|_| Project::quick(&user)).collect();
    projects[0].deploy();
    for round in 0..ROUNDS {
        let ends: Vec<Ran> = thread::scope(|scope| {
            let threads: Vec<_> = projects
                .iter()
                .enumerate()
                .map(|(number, project)| {
                    project.write(
                        &format!("{}.conf", project.name),
                        &format!("DEV_LOCATION='round {round} of operator{number}'\n"),
                    );
                    let mut command = project.command(&["deploy", "prod", "--no-wait"]);
                    command.env("USER", format!("operator{number}"));
                    scope.spawn(move || Ran::of(&command.output().unwrap()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let running = user.run(&format!("cat /etc/default/{}.conf", projects[0].name));
        let mut kinds = Vec::new();
        for (number, ran) in ends.iter().enumerate() {
            let kind = match ran.code {
                Some(0) => "deployed",
                Some(7) if ran.stderr.contains("the service is locked on this host by operator") => {
                    if ran.stderr.contains(&format!("on this host by operator{number}@")) {
                        tally.violation(format!("operator{number} is told it was itself: {}", ran.all()));
                    }
                    "locked"
                }
                Some(7) if ran.stderr.contains("is under way on this host (run ") => "under way",
                Some(1) if ran.stderr.contains("the host changed since the plan was made") => "moved",
                _ => {
                    tally.violation(format!("round {round}, operator{number}: {}", ran.all()));
                    "?"
                }
            };
            kinds.push(kind);
        }
        let winners: Vec<usize> = (0..OPERATORS).filter(|number| ends[*number].code == Some(0)).collect();
        let is_winners =
            winners.iter().any(|number| running.contains(&format!("'round {round} of operator{number}'")));
        if !is_winners {
            tally.violation(format!(
                "round {round}: {winners:?} say they deployed, and what runs is {running}"
            ));
        }
        if let Some(what) = overlap(&projects[0], &user) {
            tally.violation(format!("round {round}: {what}"));
        }
        kinds.sort_unstable();
        tally.saw(kinds.join(", "));
    }
    tally.conclude(ROUNDS);
}
