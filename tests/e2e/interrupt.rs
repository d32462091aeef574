//! Ctrl-C ends a deploy with the host on its old release or on the new one, and says which.
use std::fs;

use crate::harness::{Child, Project};
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{TestUser, UserOptions, wait_for};

#[test]
fn an_interrupted_upload_changes_nothing_and_is_swept() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let link = Link { bandwidth: Some(400_000), ..Link::default() };
    let relay = Relay::start(user.address(), link).unwrap();
    let direct = Project::quick(&user);
    direct.deploy();
    let (current, invocation) = (direct.current(&user), direct.property(&user, "InvocationID"));
    let before = user.destination();

    let mut binary = fs::read(direct.path("service.sh")).unwrap();
    binary.resize(8 << 20, b'\n');
    fs::write(direct.path("service.sh"), &binary).unwrap();
    for signal in ["INT", "TERM"] {
        // Through the narrow link; the test itself looks past it.
        let known = fs::read_to_string(&user.known_hosts).unwrap();
        let at = relay.address();
        let line = |line: &str| format!("[{}]:{} {}\n", at.ip(), at.port(), line.split_once(' ').unwrap().1);
        direct.write("home/.ssh/known_hosts", &known.lines().map(line).collect::<String>());
        let manifest = fs::read_to_string(direct.path("deploy.yaml")).unwrap();
        direct.write("deploy.yaml", &manifest.replace(&before, &format!("{}@{at}", user.user)));

        let mut deploy = Child::spawn(&mut direct.command(&["deploy", "prod"]));
        deploy.wait_for_output("uploading");
        let sent = relay.counts().bytes_to_target;
        wait_for("some of the upload", std::time::Duration::from_secs(20), || {
            relay.counts().bytes_to_target > sent + 100_000
        });
        deploy.signal(signal);
        let ran = deploy.wait().exits(130);
        ran.says("interrupted").says("stopped by the operator").says("the service was not touched");
        let left = || user.run(&format!("find {}/incoming -type f 2>/dev/null; true", direct.root(&user)));
        assert_eq!(left(), "");
        assert_eq!(direct.current(&user), current);
        assert_eq!(direct.property(&user, "InvocationID"), invocation);
    }
    user.go_through(&relay);
}
