//! A health check decides: what answers well is kept, what doesn't is taken back, and the last answer is shown.
use crate::harness::{Project, Ran};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions};

/// A service that answers every request over HTTP with `answer`, with what a minimal Debian has: perl.
fn server(port: u16, answer: &str) -> String {
    format!(
        "#!/usr/bin/perl\n\
         use IO::Socket::INET;\n\
         $| = 1;\n\
         my $l = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {port}, Listen => 20, ReuseAddr => 1)\n\
           or die \"no port: $!\";\n\
         print \"Listening on {port}\\n\";\n\
         while (my $c = $l->accept) {{\n\
           my $token = '';\n\
           while (<$c>) {{ $token = $1 if /^X-Token: (.*?)\\r/i; last if /^\\r?$/; }}\n\
           {answer}\n\
           close $c;\n\
         }}\n"
    )
}

const READY: &str = r#"print $c "HTTP/1.0 200 OK\r\n\r\nready $token\n";"#;
const BROKEN: &str = r#"print $c "HTTP/1.0 503 Busy\r\n\r\nno database\e[2J\nsecond line\n";"#;

/// A project with such a service, and this check.
fn project(user: &TestUser, answer: &str, check: &str) -> Project {
    let project = Project::quick(user);
    project.write("service.sh", &server(project.port, answer));
    set_check(&project, check);
    project
}

fn set_check(project: &Project, check: &str) {
    let text = std::fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("health:")).collect();
    let check = check.replace("PORT", &project.port.to_string());
    project.write("deploy.yaml", &format!("{}\nhealth: {check}\n", kept.join("\n")));
}

/// Changes the service, so that there is something to deploy.
fn again(project: &Project, answer: &str) -> Ran {
    project.write("service.sh", &server(project.port, answer));
    project.shipit(&["deploy", "prod"])
}

#[test]
fn an_http_answer_must_be_as_the_manifest_wants_it() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let check = "{ http: 'http://localhost:PORT/', status: 200, contains: ready 7, headers: { X-Token: 7 }, \
                 timeout: 3s, interval: 50ms, successes: 3 }";
    let project = project(&user, READY, check);
    project.deploy().says("answered 200 with \"ready 7\" 3 times in a row").never_says("X-Token");
    let before = project.current(&user);

    let ran = again(&project, BROKEN).exits(3);
    ran.says("the last was: 503 Busy").says("| no database[2J").says("| second line").says("Listening on");
    assert_eq!(project.current(&user), before);

    set_check(&project, "{ http: 'http://localhost:PORT/', contains: steady, timeout: 1s }");
    let ran = again(&project, &format!("{READY} # 2")).exits(3);
    ran.says("200 OK, without \"steady\" in its body").says("| ready");
}

#[test]
fn several_kinds_are_asked_one_after_the_other() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let check = "[{ tcp: 'localhost:PORT', timeout: 5s }, { journal: Listening on, timeout: 5s }, \
                 { command: [test, -x, bin/NAME], timeout: 5s }, { command: 'cd bin && ls | grep -q NAME', timeout: 5s }, \
                 { unit: NAME.service, timeout: 5s }]";
    let name = user.service_name("api");
    let project = project(&user, READY, &check.replace("NAME", &name));
    let ran = project.deploy();
    ran.says("takes connections").says("the journal has \"Listening on\"").says("succeeded on the host");
    ran.says(&format!("{name}.service is active"));
}

#[test]
fn each_kind_can_fail() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = project(&user, READY, "{ tcp: 'localhost:PORT' }");
    project.deploy();
    let before = project.current(&user);
    let cases = [
        ("{ tcp: 'localhost:1', timeout: 1s }", "connection refused"),
        ("{ journal: 'never said', timeout: 1s }", "no line of this start has it"),
        ("{ command: 'echo three; exit 3', timeout: 1s }", "exit status 3"),
        ("{ command: [/nonexistent, '$(touch pwned)'], timeout: 1s }", "no such program"),
        ("{ command: [sleep, '60'], timeout: 1s }", "it did not end in time, and was killed"),
        ("{ unit: nothing.service, timeout: 1s }", "inactive (dead)"),
    ];
    for (number, (check, said)) in cases.into_iter().enumerate() {
        set_check(&project, check);
        again(&project, &format!("{READY} # {number}")).exits(3).says(said);
        assert_eq!(project.current(&user), before, "{check}");
    }
    assert_eq!(user.run("ls ~/.local/share/shipit/*/pwned ~/pwned 2>/dev/null; true"), "");
}

#[test]
fn a_line_of_the_start_before_does_not_count() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = project(&user, READY, "{ journal: Listening on }");
    project.deploy();
    project.write("service.sh", "#!/bin/sh\necho silent\nexec sleep infinity\n");
    set_check(&project, "{ journal: Listening on, timeout: 1s }");
    project.shipit(&["deploy", "prod"]).exits(3).says("no line of this start has it");
}

#[test]
fn an_sshd_that_forbids_forwarding_is_no_obstacle() {
    // A host of its own: while sshd reads its configuration anew, it refuses others.
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let file = format!("/etc/ssh/sshd_config.d/{}.conf", user.user);
    let text = format!("Match User {}\\nAllowTcpForwarding no\\n", user.user);
    user.run(&format!("printf '{text}' | sudo tee {file} >/dev/null && sudo systemctl reload ssh"));
    let project = project(
        &user,
        READY,
        "[{ http: 'http://localhost:PORT/', contains: ready 7, headers: { X-Token: 7 } }, { tcp: 'localhost:PORT' }]",
    );
    let ran = project.shipit(&["deploy", "prod"]);
    set_check(&project, "{ http: 'http://localhost:PORT/', timeout: 1s }");
    let broken = again(&project, BROKEN);
    set_check(&project, "{ http: 'http://localhost:1/', timeout: 1s }");
    let refused = again(&project, &format!("{READY} # 2"));
    user.run(&format!("sudo rm {file} && sudo systemctl reload ssh"));
    ran.exits(0).says("takes connections");
    broken.exits(3).says("the last was: 503 Busy").says("| no database");
    let refused = refused.exits(3);
    assert!(
        ["onnection refused", "connect"].iter().any(|said| refused.stderr.contains(said)),
        "{}",
        refused.all()
    );
}

/// What was well when it was asked may not be by the time of the word.
#[test]
fn a_service_that_ends_while_others_are_asked_is_not_kept() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    // A hook may take as long as it wants; meanwhile the service ends, or is started again and again.
    let checks = "settle: 0s\nhooks: { after_activate: [ { run: 'until [ -e ~/ended ]; do sleep 0.1; done' } ] }\n\
                  health: { journal: all said }\n";
    project.edit("deploy.yaml", "settle: 0s\n", checks);
    project.write("service.sh", "#!/bin/sh\necho all said\nsleep 1\ntouch ~/ended\nexit 3\n");
    let unit = format!("{}.service", project.name);
    for restart in ["Restart=no", "Restart=always\nRestartSec=1h", "Restart=always\nRestartSec=50ms"] {
        project.edit(&unit, "Restart=always", restart);
        let ran = project.shipit(&["deploy", "prod"]).exits(3);
        ran.says(&format!("{unit} did not stay up")).says("FAILED (reverted)").says("]: all said");
        project.standing(&user).is_back_at(&before);
        user.run("rm ~/ended");
        project.edit(&unit, restart, "Restart=always");
    }
}
