//! A socket that stays up over every deploy, and a service that is reloaded instead of stopped.
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

const DEPLOYS: usize = 20;

/// A project with a socket, and a service that takes it.
fn with_a_socket(user: &TestUser) -> Project {
    let project = Project::quick(user);
    let name = &project.name;
    let built = Path::new(env!("CARGO_BIN_EXE_shipit")).with_file_name("examples/socket_server");
    fs::copy(&built, project.path("service.sh")).unwrap_or_else(|e| {
        panic!("{}: {e}; `cargo test` builds it, or `cargo build --examples`", built.display())
    });
    project.write(
        &format!("{name}.socket"),
        &format!("[Socket]\nListenStream=0.0.0.0:{}\n\n[Install]\nWantedBy=sockets.target\n", project.port),
    );
    project.edit(
        &format!("{name}.service"),
        "Restart=always",
        "Restart=always\nStandardInput=socket\nStandardOutput=journal",
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{name}.service, {name}.socket]"),
    );
    project
}

fn ask(address: (&str, u16)) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let whole = answer.starts_with("HTTP/1.0 200") && answer.ends_with("ok");
    if whole { Ok(()) } else { Err(std::io::Error::other(format!("{answer:?}"))) }
}

#[test]
fn no_request_fails_while_a_service_with_a_socket_is_deployed_again_and_again() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_socket(&user);
    project.deploy();
    let socket =
        |key: &str| user.run(&format!("systemctl --user show -p {key} --value {}.socket", project.name));
    let begun = socket("InvocationID");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut failures = Vec::new();
                    while !over.load(Ordering::SeqCst) {
                        if let Err(error) = ask((&user.host, project.port)) {
                            failures.push(error.to_string());
                        }
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                    failures
                })
            })
            .collect();
        let mut starts = vec![project.property(&user, "InvocationID")];
        for number in 0..DEPLOYS {
            let mut binary = OpenOptions::new().append(true).open(project.path("service.sh")).unwrap();
            writeln!(binary, "{number}").unwrap();
            let ran = project.shipit(&["deploy", "prod"]);
            if ran.code != Some(0) {
                over.store(true, Ordering::SeqCst);
            }
            ran.exits(0).says("binary changed");
            starts.push(project.property(&user, "InvocationID"));
        }
        over.store(true, Ordering::SeqCst);
        starts.dedup();
        assert_eq!(starts.len(), DEPLOYS + 1, "each deploy restarted the service");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let asked = asked.load(Ordering::SeqCst);
    println!("{asked} requests over {DEPLOYS} deploys, {} failed", failures.len());
    assert!(asked > 20 * DEPLOYS, "only {asked} requests were made");
    assert_eq!(failures, Vec::<String>::new());
    assert_eq!(socket("InvocationID"), begun, "the socket was never restarted");
}

#[test]
fn a_socket_whose_own_text_changed_is_restarted_and_its_service_with_it() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_socket(&user);
    project.deploy();
    ask((&user.host, project.port)).unwrap();
    project.edit(&format!("{}.socket", project.name), "[Socket]", "[Socket]\nBacklog=50");
    project.deploy().says(&format!("restarted {}.socket (unit file changed)", project.name));
    ask((&user.host, project.port)).unwrap();
}

#[test]
fn a_unit_that_can_be_reloaded_goes_on_running() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = project.name.clone();
    project.write(
        "service.sh",
        "#!/bin/sh\ntrap 'echo reloaded' HUP\necho up\nwhile :; do sleep 1000 & wait $!; done\n",
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{{ path: {name}.service, on_change: reload }}]"),
    );
    project.shipit(&["deploy", "prod"]).exits(2).says("shipit::unit::no_reload");
    project.edit(
        &format!("{name}.service"),
        "Restart=always",
        "Restart=always\nExecReload=/bin/kill -HUP $MAINPID",
    );
    project.deploy();
    let begun = project.property(&user, "InvocationID");
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    project.deploy().says(&format!("reloaded {name}.service, which goes on running (env file changed)"));
    assert_eq!(project.property(&user, "InvocationID"), begun);
    assert!(user.journal(&format!("-o cat _SYSTEMD_USER_UNIT={name}.service")).contains("reloaded"));
    project.deploy().says("unchanged");

    // A reload that fails takes the release back, and the service is still the same start.
    let before = project.current(&user);
    project.edit(&format!("{name}.conf"), "Virginia", "Ohio");
    project.edit("deploy.yaml", "settle: 0s", "settle: 0s\nhealth: { tcp: 'localhost:1', timeout: 1s }");
    project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)");
    assert_eq!(project.current(&user), before);
    assert_eq!(project.property(&user, "InvocationID"), begun);
}

#[test]
fn after_a_reload_only_what_was_said_since_counts() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = project.name.clone();
    project.write(
        "service.sh",
        "#!/bin/sh\ntrap 'echo reloaded' HUP\necho ready to serve\nwhile :; do sleep 1000 & wait $!; done\n",
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{{ path: {name}.service, on_change: reload }}]\nhealth: {{ journal: ready to serve, timeout: 5s }}"),
    );
    project.edit(
        &format!("{name}.service"),
        "Restart=always",
        "Restart=always\nExecReload=/bin/kill -HUP $MAINPID",
    );
    project.deploy();
    let before = project.current(&user);
    // The same start has said it, long ago.
    project.edit("deploy.yaml", "timeout: 5s", "timeout: 1s");
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    project.shipit(&["deploy", "prod"]).exits(3).says("no line since the reload has it");
    assert_eq!(project.current(&user), before);
    // What it says of the reload does count, however soon.
    project.edit("deploy.yaml", "journal: ready to serve, timeout: 1s", "journal: reloaded, timeout: 10s");
    project.deploy().says("the journal has \"reloaded\"");
}
