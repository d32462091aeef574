//! Whatever the network does, the service that runs is untouched until its release is complete, and each failure says
//! which it was.
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::Project;
use crate::hosts::relay::{Direction, Link, Relay};
use crate::hosts::{TestUser, UserOptions};

/// Points the project to another place, with the same keys known for it.
fn point_to(project: &Project, user: &TestUser, destination: &str) {
    project.edit("deploy.yaml", &user.destination(), destination);
}

/// What a failure of the connection leaves behind: a service that runs as before, and nothing half done.
#[track_caller]
fn untouched(user: &TestUser, project: &Project, current: &str, invocation: &str) {
    assert_eq!(project.current(user), current);
    assert_eq!(project.property(user, "InvocationID"), invocation);
    assert_eq!(project.property(user, "ActiveState"), "active");
}

#[test]
fn a_refused_port_a_name_that_is_none_and_a_host_that_is_silent() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };

    let project = Project::quick(&user);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    point_to(&project, &user, &format!("{}@127.0.0.1:{port}", user.user));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says(&format!("127.0.0.1:{port}")).says("refused").says("is sshd running there");
    ran.says("nothing was changed on the host");

    let project = Project::quick(&user);
    point_to(&project, &user, &format!("{}@web1.invalid", user.user));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("web1.invalid").says("check the spelling");

    let project = Project::quick(&user);
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    point_to(&project, &user, &format!("{}@{}", user.user, silent.local_addr().unwrap()));
    let start = Instant::now();
    let ran = project.shipit(&["deploy", "prod", "--connect-timeout", "1"]).exits(5);
    ran.says("1 s").says("nothing was changed on the host");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn something_that_does_not_speak_ssh_is_said_to_be_that() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    point_to(&project, &user, &format!("{}@{}", user.user, listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let ran = project.shipit(&["deploy", "prod", "--connect-timeout", "2"]).exits(5);
    ran.says("handshake");
}

#[test]
fn a_connection_cut_during_the_upload_leaves_the_service_alone_and_the_next_deploy_sweeps() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    let project = Project::simple_api(&user);
    project.deploy();
    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.resize(binary.len() + 3_000_000, 7);
    fs::write(project.path("service.sh"), &binary).unwrap();

    relay.cut_after(Direction::ToTarget, 1_000_000);
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("the connection was lost").says("the service was not touched");
    untouched(&user, &project, &current, &invocation);
    let left = user.run(&format!("find {}/incoming -type f | wc -l", project.root(&user)));
    assert_ne!(left, "0\n", "the cut came too early for this test to mean anything");

    project.deploy().says("1 host deployed");
    assert_ne!(project.current(&user), current);
    assert_eq!(user.run(&format!("find {}/incoming -mindepth 1", project.root(&user))), "");
}

#[test]
fn a_connection_cut_anywhere_ends_in_a_complete_release() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    let project = Project::quick(&user);
    project.deploy();
    let before = relay.final_counts().bytes_to_client;
    project.edit(&format!("{}.conf", project.name), "North Carolina", "place 0");
    project.deploy();
    let whole = relay.final_counts().bytes_to_client - before;
    let read = format!("cat /etc/default/{}.conf", project.name);
    for place in 1..=8 {
        project.edit(
            &format!("{}.conf", project.name),
            &format!("place {}", place - 1),
            &format!("place {place}"),
        );
        let before = project.standing(&user);
        relay.cut_after(Direction::ToClient, whole * place / 9);
        let ran = project.shipit(&["deploy", "prod"]);
        let said = |text: &str| ran.stderr.contains(text);
        match ran.code {
            // The cut came behind the last thing that was waited for.
            Some(0) => assert!(user.run(&read).contains(&format!("place {place}")), "{}", ran.all()),
            Some(3) => {
                assert!(said("the host went back from release"), "{}", ran.all());
                project.standing(&user).is_back_at(&before);
            }
            Some(5) => assert!(
                said("nothing was changed on the host") || said("the service was not touched"),
                "{}",
                ran.all()
            ),
            _ => panic!("{}", ran.all()),
        }
        project.assert_current_is_complete(&user);
    }
    project.deploy();
    assert_eq!(project.property(&user, "ActiveState"), "active");
    assert!(user.run(&format!("cat /etc/default/{}.conf", project.name)).contains("place 8"));
}

#[test]
fn a_host_that_falls_silent_is_given_up_in_time() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    let project = Project::quick(&user);
    relay.go_silent_after(Direction::ToClient, 500);
    let start = Instant::now();
    let ran = project.shipit(&["deploy", "prod", "--connect-timeout", "1"]).exits(5);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    ran.says("nothing was changed on the host");
}

#[test]
fn a_deploy_with_nothing_changed_takes_no_more_than_twelve_round_trips() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::round_trip(Duration::from_millis(50))).unwrap();
    user.go_through(&relay);
    let project = Project::quick(&user);
    project.deploy();
    let before = relay.final_counts().round_trips;
    project.deploy().says("nothing to do");
    let counts = relay.final_counts();
    assert_eq!(counts.connections, 2);
    let round_trips = counts.round_trips - before;
    assert!(round_trips <= 12, "{round_trips} round trips");
}
