//! `examples/simple_api_python`: a FastAPI service with its libraries and Python itself in one executable.
use std::fs;

use crate::examples::{Life, Seen, live, python_host};
use crate::harness::Project;
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{UserOptions, python_program};

const URL: &str = "http://localhost:8000/";

/// Makes `dist/simple_api`, as `build.sh` does.
fn build(project: &Project) {
    let program = python_program(&project.path(""));
    fs::create_dir_all(project.path("dist")).unwrap();
    fs::copy(program, project.path("dist/simple_api")).unwrap();
}

/// Article: Python in production. The health check asks over HTTP, and so does the test after each change.
#[test]
fn simple_api_in_one_executable() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "simple_api_python", "deploy.yaml");
    let life = Life {
        says: r#"{"Message":"Hello, World! From North Carolina"}"#,
        code: ("simple_api.py", "Hello, World!", "Good day, World!"),
        says_then: r#"{"Message":"Good day, World! From North Carolina"}"#,
        env: ("deploy/simple_api.conf", "North Carolina", "Virginia"),
        says_with_env: r#"{"Message":"Good day, World! From Virginia"}"#,
        breaks: ("simple_api.py", "import fastapi", "import fastapy"),
        seen: Seen::Http(URL),
        make: Some(build),
    };
    live(&host, &user, &project, &life);
}

/// The service moves to Virginia: a line of text goes to the host, and the executable of 15 MB stays where it is.
#[test]
fn simple_api_moves_without_a_new_executable() {
    let Some(host) = python_host() else { return };
    let mut user = host.user(UserOptions::default());
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    let project = Project::example(&user, "simple_api_python", "deploy.yaml");
    build(&project);
    let ran = project.deploy();
    // uvicorn says so, in the journal.
    ran.says("http://localhost:8000/ answered well")
        .says("Application startup complete")
        .says("Uvicorn running on http://127.0.0.1:8000");
    assert_eq!(user.run(&format!("curl -sS {URL}")), r#"{"Message":"Hello, World! From North Carolina"}"#);
    let before = relay.final_counts().bytes_to_target;

    project.edit("deploy/simple_api.conf", "North Carolina", "Virginia");
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(plan.stdout.contains("files: 1 of 3 to send, 24 B"), "{}", plan.all());
    project.deploy().says("uploaded 1 of 3 files (24 B)").says("(env file changed)");
    assert_eq!(user.run(&format!("curl -sS {URL}")), r#"{"Message":"Hello, World! From Virginia"}"#);
    let sent = relay.final_counts().bytes_to_target - before;
    assert!(sent < 200_000, "{sent} bytes went to the host");
}
