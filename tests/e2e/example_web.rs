//! `examples/unitwise`: Falcon in uWSGI behind nginx, asked from outside as its users would.
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::examples::{A_WHILE, Life, live, python_host};
use crate::harness::Project;
use crate::hosts::{OwnHost, TestUser, UserOptions, skip, wait_for};

const NAME: &str = "unitwise.example.com";
const MARATHON: &str = "/convert?value=26.2&from=mi&to=km";

/// The wheels that the README has one fetch, fetched once; `None` where there is no pip, or no network.
fn wheels() -> Option<&'static Path> {
    static WHEELS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let fetched = WHEELS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unitwise-wheels");
        // Those of another run first: the network is nothing to depend on.
        fetch(&folder, &["--no-index", "--find-links", &folder.to_string_lossy()])
            .or_else(|_| fetch(&folder, &[]))
            .map(|()| folder)
    });
    match fetched {
        Ok(folder) => Some(folder),
        Err(said) => {
            skip(&format!("the wheels of examples/unitwise can't be had: {}", said.trim()));
            None
        }
    }
}

/// What the README says, with options beside; or what pip said.
fn fetch(folder: &Path, options: &[&str]) -> Result<(), String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--platform", "any"]);
    pip.args(["--requirement", "requirements.txt", "--dest"]).arg(folder).args(options);
    pip.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/unitwise"));
    let output = pip.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// A host with nginx, a user on it, and the example.
fn site() -> Option<(OwnHost, TestUser, Project)> {
    let wheels = wheels()?;
    let host = python_host()?;
    host.machine.run("systemctl enable --now nginx 2>/dev/null");
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "unitwise", "deploy.yaml");
    let copied = Command::new("cp").arg("-RT").arg(wheels).arg(project.path("wheels")).status();
    assert!(copied.is_ok_and(|status| status.success()));
    Some((host, user, project))
}

/// What an answer is made of.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Asks the host's web server from outside. Half an answer is an error.
fn get(user: &TestUser, name: &str, path: &str) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let address = (&*user.host, 80).to_socket_addrs()?.next().ok_or_else(|| broken("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, A_WHILE)?;
    stream.set_read_timeout(Some(A_WHILE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {name}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| broken(&text))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| broken(head))?;
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return Err(broken(&text));
    }
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// What the service says a marathon is, in km.
#[track_caller]
fn marathon(user: &TestUser, name: &str) -> String {
    let answer = get(user, name, MARATHON).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// nginx's own default page, whoever is asked for.
#[track_caller]
fn answers_with_its_default(user: &TestUser) {
    let answer = get(user, NAME, "/").unwrap();
    assert!(answer.status == 200 && answer.body.contains("Welcome to nginx!"), "{answer:?}");
}

/// The processes that answer for nginx: others after every reload.
fn nginx_workers(user: &TestUser) -> String {
    user.run_as_root("pgrep -f '^nginx: worker process$' | sort")
}

/// Article: Falcon with uWSGI and nginx. All that may happen to it, and nginx is as it was in the end.
#[test]
fn unitwise_through_its_life() {
    let Some((host, user, project)) = site() else { return };
    let life = Life {
        says: "answers have 3 digits",
        code: ("unitwise/wsgi.py", "answers have", "numbers have"),
        says_then: "numbers have 3 digits",
        env: ("unitwise.conf", "DIGITS=3", "DIGITS=4"),
        says_with_env: "numbers have 4 digits",
        breaks: ("unitwise/wsgi.py", "import falcon", "import falcom"),
        ..Life::default()
    };
    live(&host, &user, &project, &life);
    answers_with_its_default(&user);
    // It reads its configuration anew, and starts.
    user.run_as_root("nginx -t && systemctl restart nginx");
    answers_with_its_default(&user);
    assert_eq!(user.run_as_root("ls /run | grep unitwise; ls /etc/nginx/sites-enabled"), "default\n");
}

#[test]
fn unitwise_answers_through_nginx_for_each_environment_and_after_a_boot() {
    let Some((host, user, project)) = site() else { return };
    // What each becomes is known without a host.
    for (environment, lines) in [
        (
            "prod",
            [
                "server_name unitwise.example.com ",
                "uwsgi_pass unix:/run/unitwise/prod.sock;",
                "processes = 4\n",
            ],
        ),
        (
            "staging",
            [
                "server_name staging.unitwise.example.com ",
                "uwsgi_pass unix:/run/unitwise/staging.sock;",
                "processes = 1\n",
            ],
        ),
    ] {
        let ran = project.shipit(&["render", environment]).exits(0);
        lines.iter().for_each(|line| assert!(ran.stdout.contains(line), "{line:?} in {}", ran.all()));
    }
    project.deploy().says("built venv").says("http://127.0.0.1/health answered 200");
    assert_eq!(marathon(&user, NAME), r#"{"value": 42.165, "unit": "km"}"#);
    let refused = get(&user, NAME, "/convert?value=1&from=kg&to=km").unwrap();
    assert!(refused.status == 400 && refused.body.contains("kg can't be had in km"), "{refused:?}");
    // uWSGI says itself when it is ready.
    assert_eq!(project.property(&user, "StatusText"), "uWSGI is ready");
    let ran = project.shipit(&["logs", "prod", "--files"]).exits(0);
    assert!(ran.stdout.contains(&format!("GET {MARATHON}")), "{}", ran.all());

    // Only the env file: nginx is not told, nothing is built.
    let workers = nginx_workers(&user);
    project.edit("unitwise.conf", "DIGITS=3", "DIGITS=1");
    project
        .deploy()
        .says("env file changed")
        .says("1 of 9 files")
        .never_says("nginx -t")
        .never_says("building venv");
    assert_eq!(marathon(&user, NAME), r#"{"value": 42.2, "unit": "km"}"#);
    assert_eq!(nginx_workers(&user), workers);

    host.machine.reboot();
    let answers = || get(&user, NAME, MARATHON).is_ok_and(|answer| answer.status == 200);
    wait_for("an answer after a boot", A_WHILE, answers);
    project.deploy().says("nothing to do");

    // Another environment on the same host: another name, another socket, fewer processes.
    project.edit("deploy.yaml", "deploy@staging.example.com", &user.destination());
    project.shipit(&["deploy", "staging"]).exits(0);
    assert_eq!(marathon(&user, "staging.unitwise.example.com"), r#"{"value": 42.2, "unit": "km"}"#);
    assert_eq!(user.run_as_root("ls /run/unitwise; pgrep -c -u unitwise uwsgi"), "staging.sock\n2\n");
    let answer = get(&user, NAME, "/").unwrap();
    assert!(answer.body.contains("Welcome to nginx!"), "that name is nobody's now: {answer:?}");
}

/// The article's reason for two users: whoever gets hold of the service can't write what it will run.
#[test]
fn unitwise_runs_as_a_user_who_can_not_write_its_source() {
    let Some((_host, user, project)) = site() else { return };
    project.deploy().says("made the system user unitwise");
    let facts = user.run_as_root(
        "cd /opt/unitwise/current/
         stat -L -c '%U:%G %a %n' app/unitwise app/unitwise/wsgi.py uwsgi.ini venv venv/bin/python env/unitwise.conf
         ps -o user=,group= -p $(systemctl show -p MainPID --value unitwise.service)
         stat -c '%U:%G %a' /run/unitwise /run/unitwise/prod.sock",
    );
    assert_eq!(
        facts,
        "root:root 755 app/unitwise\nroot:root 644 app/unitwise/wsgi.py\nroot:root 644 uwsgi.ini\n\
         root:root 755 venv\nroot:root 755 venv/bin/python\nroot:root 600 env/unitwise.conf\n\
         unitwise www-data\nunitwise:www-data 750\nunitwise:www-data 660\n"
    );
    // With the rights of the process: its user and its group.
    let as_service = |command: &str| {
        user.run_as_root(&format!(
            "cd /; setpriv --reuid unitwise --regid www-data --clear-groups {command} 2>&1; true"
        ))
    };
    assert_eq!(as_service("cat /opt/unitwise/current/requirements.txt"), "falcon==4.4.0\n");
    assert_eq!(as_service("find -L /opt/unitwise -writable | grep -v 'Permission denied'"), "");
    let denied = as_service("touch /opt/unitwise/current/app/unitwise/more.py");
    assert!(denied.contains("Permission denied"), "{denied}");
    let denied = as_service("cat /etc/default/unitwise.conf");
    assert!(denied.contains("Permission denied"), "{denied}");
    // The search finds what there is to be found.
    user.run_as_root("chmod o+w /opt/unitwise/current/app/unitwise/wsgi.py");
    let found = as_service("find -L /opt/unitwise/current/app -writable");
    assert_eq!(found, "/opt/unitwise/current/app/unitwise/wsgi.py\n");
    // And the next deploy does not leave it so.
    project.deploy();
    assert_eq!(as_service("find -L /opt/unitwise/current/app -writable"), "");
}

#[test]
fn unitwise_a_site_that_nginx_refuses_is_told_to_nobody() {
    let Some((_host, user, project)) = site() else { return };
    let (right, wrong) = ("uwsgi_pass unix:{{ SOCKET }};", "uwsgi_passes unix:{{ SOCKET }};");
    let says = r#"unknown directive "uwsgi_passes" in /etc/nginx/sites-enabled/unitwise"#;
    project.edit("nginx.conf.j2", right, wrong);
    let workers = nginx_workers(&user);
    project.shipit(&["deploy", "prod"]).exits(3).says(says).says("`shipit render` shows");
    let ran = project.shipit(&["render", "prod", "nginx.conf.j2"]).exits(0);
    assert!(ran.stdout.contains("uwsgi_passes unix:/run/unitwise/prod.sock;"), "{}", ran.all());
    project.standing(&user).is_not_deployed();
    user.run_as_root("nginx -t && ! [ -L /etc/nginx/sites-enabled/unitwise ]");
    answers_with_its_default(&user);
    assert_eq!(nginx_workers(&user), workers, "it was not reloaded");

    project.edit("nginx.conf.j2", wrong, right);
    project.deploy();
    let (before, workers) = (project.standing(&user), nginx_workers(&user));
    project.edit("nginx.conf.j2", right, wrong);
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(says).never_says("telling of the changed files");
    let after = project.standing(&user);
    after.is_as(&before);
    assert_eq!(after.invocation, before.invocation, "the service was not touched");
    assert_eq!(nginx_workers(&user), workers, "nginx was not reloaded");
    marathon(&user, NAME);
    // Nor is it a trap for the next who reloads it.
    user.run_as_root("nginx -t && systemctl reload nginx");
    wait_for("the reload", A_WHILE, || nginx_workers(&user) != workers);
    marathon(&user, NAME);
}

/// What many answers were.
#[derive(Debug, Default)]
struct Tally {
    by_the_old_site: usize,
    by_the_new_site: usize,
    /// Not the answer, or none.
    lost: Vec<String>,
}

/// Asks without a break, by three clients, until told to stop.
fn ask_all_the_time(user: &TestUser, stop: &AtomicBool) -> Tally {
    let tally = Mutex::new(Tally::default());
    let ask = || {
        while !stop.load(Ordering::SeqCst) {
            let answer = get(user, NAME, MARATHON);
            let mut tally = tally.lock().unwrap();
            match answer {
                Ok(answer) if answer.status != 200 => tally.lost.push(answer.head),
                Ok(answer) if is_by_the_new_site(&answer) => tally.by_the_new_site += 1,
                Ok(_) => tally.by_the_old_site += 1,
                Err(error) => tally.lost.push(error.to_string()),
            }
        }
    };
    thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(ask))));
    tally.into_inner().unwrap()
}

/// By a header that only the new site has.
fn is_by_the_new_site(answer: &Answer) -> bool {
    answer.head.contains("X-Site: two")
}

#[test]
fn unitwise_loses_no_request_when_only_its_site_changes() {
    let Some((_host, user, project)) = site() else { return };
    project.deploy();
    let start = project.property(&user, "InvocationID");
    project.edit("nginx.conf.j2", "location / {", "add_header X-Site two;\n    location / {");
    let serves_the_new_site = || is_by_the_new_site(&get(&user, NAME, MARATHON).unwrap());
    let stop = AtomicBool::new(false);
    let (changed, tally) = thread::scope(|scope| {
        let asking = scope.spawn(|| ask_all_the_time(&user, &stop));
        let changed = catch_unwind(AssertUnwindSafe(|| {
            project.deploy().says("told of the changed files").never_says("restart");
            wait_for("the new site", A_WHILE, serves_the_new_site);
            let ran = project.shipit(&["rollback", "prod"]).exits(0);
            ran.says("told of the changed files").never_says("restart");
            wait_for("the old site", A_WHILE, || !serves_the_new_site());
        }));
        stop.store(true, Ordering::SeqCst);
        (changed, asking.join().unwrap())
    });
    changed.unwrap();
    assert!(tally.lost.is_empty(), "{} were lost, the first with {}", tally.lost.len(), tally.lost[0]);
    // They were asked before, between and after.
    assert!(tally.by_the_old_site > 0 && tally.by_the_new_site > 0, "{tally:?}");
    assert_eq!(project.property(&user, "InvocationID"), start);
}
