//! A secret is in the env file and in the service, and nowhere else: not in an argument list, a log, an error, the
//! history, the lock; and not in what shipit shows of those who print it.
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{Project, Ran};
use crate::hosts::{TestUser, UserOptions};

/// The secrets of one test. The tests share a host, and its journal: a value has the test user's name in it.
struct Values {
    env: String,
    shell: String,
    words: String,
    file: String,
}

impl Values {
    fn of(user: &TestUser) -> Self {
        let tag = &user.user;
        Self {
            env: format!("{tag}.env-hunter2"),
            shell: format!("{tag}.shell \"hunter2\" $HOME `id` \\ 'x'"),
            words: format!("{tag}.words-hunter2"),
            file: format!("-----BEGIN {tag}.pem\nsecond {tag}.line\n-----END {tag}.end"),
        }
    }

    /// What must be found nowhere: parts of the values that all of their forms have.
    fn traces(&self) -> Vec<String> {
        let first = |text: &str, end: &str| text.split_inclusive(end).next().unwrap().to_owned();
        let lines = self.file.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned());
        [first(&self.env, "env"), first(&self.shell, "shell"), first(&self.words, "words")]
            .into_iter()
            .chain(lines)
            .collect()
    }

    /// That none of it is in a text, plain or in base64.
    #[track_caller]
    fn not_in(&self, what: &str, text: &str) {
        let encoded = STANDARD.encode(&self.env);
        for trace in self.traces().iter().map(String::as_str).chain([&encoded[..8]]) {
            let line = text.lines().find(|line| line.contains(trace));
            assert_eq!(line, None, "{what} has {trace:?}");
        }
    }
}

/// A project with a secret of each kind that needs nobody to ask.
fn project(user: &TestUser, values: &Values) -> Project {
    let project = Project::quick(user);
    let name = &project.name;
    std::fs::create_dir(project.path("store")).unwrap();
    project.write("store/shell", &format!("{}\n", values.shell));
    project.write("store/words", &values.words);
    project.write("store/file.pem", &format!("{}\n", values.file));
    project.edit("deploy.yaml", &format!("env_file: {name}.conf"), "env_file: api.conf.j2");
    project.edit(
        "deploy.yaml",
        "  prod:\n",
        "  prod:\n    secrets:\n      ENV: { env: SECRET_ENV }\n      SHELL: { command: 'cat store/shell' }\n      \
         WORDS: { command: [cat, store/words] }\n      PEM: { file: store/file.pem }\n",
    );
    project.write(
        "api.conf.j2",
        "DEV_LOCATION={{ host }}\nFROM_ENV={{ secrets.ENV }}\nFROM_SHELL={{ secrets.SHELL | env_quote }}\n\
         FROM_WORDS={{ secrets.WORDS }}\nFROM_FILE={{ secrets.PEM | env_quote }}\n",
    );
    project
}

/// That it was printed, to whichever stream.
#[track_caller]
fn printed(ran: &Ran, text: &str) {
    assert!(ran.all().contains(text), "{text:?} is missing from:\n{}", ran.all());
}

fn shipit(project: &Project, values: &Values, arguments: &[&str]) -> Ran {
    Ran::of(&project.command(arguments).env("SECRET_ENV", &values.env).output().unwrap())
}

/// What the service has in its environment.
fn environment(user: &TestUser, project: &Project) -> String {
    let pid = project.property(user, "MainPID");
    user.run(&format!("tr '\\0' '\\t' </proc/{}/environ", pid.trim()))
}

/// Every command line seen on this machine, which has the hosts' own, while `work` is done.
fn command_lines_during<T>(work: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
    let over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&over);
    let watcher = thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !flag.load(Ordering::SeqCst) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let read = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                seen.insert(String::from_utf8_lossy(&read).replace('\0', " "));
            }
        }
        seen
    });
    let result = work();
    over.store(true, Ordering::SeqCst);
    (result, watcher.join().unwrap())
}

#[test]
fn every_kind_of_secret_reaches_the_service_and_stays_nowhere_else() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = project(&user, &values);
    // Long enough on the way for whoever looks at processes.
    project.edit("deploy.yaml", "settle:", "hooks: { before_activate: [ { run: sleep 1 } ] }\nsettle:");
    project.edit("deploy.yaml", "cat store/shell", "sleep 0.5; cat store/shell");
    let since = user.run("date +%s");
    let poll = "while [ ! -e polled ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo; done | sort -u >polling; mv polling seen";
    user.run(&format!("rm -f polled seen; ({poll}) >/dev/null 2>&1 &"));
    let (ran, local) = command_lines_during(|| {
        let ran = shipit(&project, &values, &["deploy", "prod", "-vvv", "--format", "json"]).exits(0);
        values.not_in("the plan", &shipit(&project, &values, &["plan", "prod", "-vvv"]).exits(0).all());
        ran
    });
    let remote = user.run("touch polled; until [ -e seen ]; do sleep 0.1; done; cat seen");
    values.not_in("what shipit prints", &ran.all());
    let local = local.into_iter().collect::<Vec<_>>().join("\n");
    assert!(local.contains("sleep 0.5") && remote.contains("sleep 1"), "somebody looked: {local}\n{remote}");
    values.not_in("an argument list here", &local);
    values.not_in("an argument list there", &remote);

    let has = environment(&user, &project);
    for (name, value) in [
        ("FROM_ENV", &values.env),
        ("FROM_SHELL", &values.shell),
        ("FROM_WORDS", &values.words),
        ("FROM_FILE", &values.file),
    ] {
        assert!(has.contains(&format!("{name}={value}\t")), "{name} in {has}");
    }

    project.wait_until_left(&user);
    // All that the host has on its disk, but for journals, which are read below.
    let env_file = format!("{}/{}/env/{}.conf", project.root(&user), project.current(&user), project.name);
    for trace in values.traces() {
        let found = user.run_as_root(&format!(
            "grep -rlF -e '{trace}' {} /etc /run /tmp /var/log /var/tmp --exclude-dir=journal 2>/dev/null; true",
            user.home
        ));
        assert_eq!(found, format!("{env_file}\n"), "{trace}");
    }
    assert_eq!(user.run(&format!("stat -c %a:%U {env_file}")), format!("600:{}\n", user.user));
    let history = user.run(&format!(
        "cd {}; cat history.jsonl; find lock* runs -type f -exec cat {{}} +",
        project.root(&user)
    ));
    assert!(history.contains("\"verdict\":\"deployed\""), "{history}");
    values.not_in("the records of the run", &history);
    let journal = user.journal(&format!("--since=@{} --output=export --all", since.trim()));
    assert!(journal.contains(&project.name), "it is the journal of the deploy");
    values.not_in("the journal", &journal);
}

#[test]
fn a_changed_secret_is_a_changed_env_file_and_the_plan_names_the_variable_only() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = project(&user, &values);
    shipit(&project, &values, &["deploy", "prod"]).exits(0);
    shipit(&project, &values, &["deploy", "prod"]).exits(0).says("nothing to do");
    project.write("store/words", "another-hunter2\n");
    let plan = shipit(&project, &values, &["plan", "prod"]).exits(0);
    printed(&plan, "FROM_WORDS");
    plan.never_says("FROM_SHELL");
    values.not_in("the plan", &plan.all());
    shipit(&project, &values, &["deploy", "prod"]).exits(0).says("env file changed");
    assert!(environment(&user, &project).contains("FROM_WORDS=another-hunter2\t"));
    // Going back brings the old one back, and reads no command.
    project.write("store/shell", "");
    shipit(&project, &values, &["rollback", "prod"]).exits(0);
    assert!(environment(&user, &project).contains(&format!("FROM_WORDS={}\t", values.words)));
}

#[test]
fn who_prints_a_secret_is_masked_in_every_output() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = project(&user, &values);
    project.write(
        "service.sh",
        "#!/bin/sh\nprintf 'service: %s|%s|%s\\n' \"$FROM_ENV\" \"$FROM_SHELL\" \"$FROM_WORDS\"\n\
         printf 'pem: %s\\n' \"$FROM_FILE\"\nprintf %s \"$FROM_ENV\" | base64\necho all said\nexec sleep infinity\n",
    );
    let conf = format!("/etc/default/{}.conf", project.name);
    project.edit(
        "deploy.yaml",
        "settle:",
        &format!(
            "hooks:\n  before_deploy: [ {{ local: 'echo \"local: $(cat store/*)\"' }} ]\n  after_activate: [ {{ run: 'echo hook:; cat {conf}; echo \
             \"$(head -c 4080 /dev/zero | tr \"\\0\" x)\"$(sed -n s/FROM_ENV=//p {conf})' }} ]\nhealth: {{ journal: all said }}\nsettle:"
        ),
    );
    let every_way = [
        ["deploy", "prod", "-vv"],
        ["deploy", "prod", "--format=json"],
        ["deploy", "prod", "--color=always"],
    ];
    for (number, arguments) in every_way.iter().enumerate() {
        project.edit("api.conf.j2", "DEV_LOCATION=", &format!("NUMBER_{number}=1\nDEV_LOCATION="));
        let ran = shipit(&project, &values, arguments).exits(0);
        for said in ["service: ***|", "pem: ***", "local: ***", "FROM_ENV=***"] {
            printed(&ran, said);
        }
        values.not_in(&arguments.join(" "), &ran.all());
    }

    // The terminal has moving lines; the secrets that it can have without the environment.
    project.edit("deploy.yaml", "{ env: SECRET_ENV }", "{ file: store/env }");
    project.write("store/env", &values.env);
    project.edit("api.conf.j2", "DEV_LOCATION=", "TERMINAL=1\nDEV_LOCATION=");
    let mut child = project.spawn_on_a_drawing_terminal(&["deploy", "prod", "-v"]);
    child.wait_for_output("service: ***|");
    let ran = child.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    values.not_in("the terminal", &ran.all());

    // A release that fails shows what the service wrote last.
    project.edit("service.sh", "exec sleep infinity", "exit 3");
    let ran = shipit(&project, &values, &["deploy", "prod"]).exits(3);
    ran.says("service: ***|");
    values.not_in("a failure", &ran.all());
}

#[test]
fn logs_hide_the_secrets_that_can_be_had_without_asking() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "env_file: ", "env_file: api.conf.j2 #");
    project.edit(
        "deploy.yaml",
        "  prod:\n",
        "  prod:\n    secrets:\n      A: { env: SECRET_ENV }\n      B: { file: b.txt }\n      C: { command: 'touch asked; echo c' }\n",
    );
    project.write("b.txt", &values.words);
    project.write("api.conf.j2", "A={{ secrets.A }}\nB={{ secrets.B }}\nC={{ secrets.C }}\nDEV_LOCATION=x\n");
    project.write("service.sh", "#!/bin/sh\necho \"has $A and $B and $C\"\nexec sleep infinity\n");
    shipit(&project, &values, &["deploy", "prod"]).exits(0);
    std::fs::remove_file(project.path("asked")).unwrap();
    for format in ["text", "json"] {
        let logs = shipit(&project, &values, &["logs", "prod", "--format", format]).exits(0);
        printed(&logs, "has *** and *** and c");
        assert!(!project.path("asked").exists(), "logs ask nobody");
    }
    // What can't be had is no reason to show no logs.
    printed(&project.shipit(&["logs", "prod"]).exits(0), &format!("has {} and *** and c", values.env));
}

#[test]
fn a_prompt_is_asked_once_on_a_terminal_and_what_is_typed_is_not_shown() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "env_file: ", "env_file: api.conf.j2 #");
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    secrets: { PIN: { prompt: 'The PIN' } }\n");
    project.write("api.conf.j2", "PIN={{ secrets.PIN }}\nDEV_LOCATION=x\n");
    project.write("service.sh", "#!/bin/sh\necho \"typed $PIN\"\nexec sleep infinity\n");

    let refused = project.shipit(&["deploy", "prod"]).exits(2);
    refused.says("no terminal to ask on").says("`--no-input`");
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[("The PIN: ", &values.words)]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    printed(&ran, "typed ***");
    values.not_in("the terminal", &ran.all());
    assert!(environment(&user, &project).contains(&format!("PIN={}\t", values.words)));

    // The same host under another name: for both, one question.
    let (name, address) = (&user.user, &user.host);
    project.write("home/.ssh/config", &format!("Host other\n  HostName {address}\n  User {name}\n"));
    project.edit("deploy.yaml", "hosts: [", "hosts: [other, ");
    let ran = project.shipit_on_a_terminal(&["plan", "prod"], &[("The PIN: ", &values.words)]);
    assert_eq!(ran.all().matches("The PIN: ").count(), 1, "{}", ran.all());
    printed(&ran, &format!("on other, {}: nothing to do", user.destination()));
}

#[test]
fn templates_see_the_host_they_are_for_with_no_round_trip_more() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let git = "git init -q . && git -c user.name=a -c user.email=a@b add deploy.yaml && git -c user.name=a -c user.email=a@b commit -qm x && git rev-parse HEAD";
    let commit = Command::new("sh").args(["-c", git]).current_dir(project.path(".")).output().unwrap();
    let commit = String::from_utf8(commit.stdout).unwrap();
    // Each is a round trip of its own, and there are as many however busy the machine is.
    let programs =
        || project.shipit(&["plan", "prod", "-v"]).exits(0).all().matches(": a program of ").count();
    let without = programs();
    assert_ne!(without, 0);
    project.edit("deploy.yaml", "env_file: ", "env_file: api.conf.j2 #");
    project.write(
        "api.conf.j2",
        "DEV_LOCATION={{ facts.hostname }}:{{ facts.user }}:{{ facts.home }}:{{ facts.uid }}:{{ facts.machine }}:{{ facts.systemd }}\n\
         ROOT={{ release.root }}\nREVISION={{ release.revision }}\nDIRTY={{ release.dirty }}\n",
    );
    assert_eq!(programs(), without);

    project.deploy();
    let expected = user.run("printf %s: \"$(uname -n)\" \"$(id -un)\" ~ \"$(id -u)\" \"$(uname -m)\"; systemctl --version | sed -n 's/^systemd \\([0-9]*\\).*/\\1/p'");
    let has = environment(&user, &project);
    assert!(has.contains(&format!("DEV_LOCATION={}\t", expected.trim())), "{expected} in {has}");
    assert!(has.contains(&format!("ROOT={}/current\t", project.root(&user))), "{has}");
    assert!(
        has.contains(&format!("REVISION={}\t", commit.trim())) && has.contains("DIRTY=True\t"),
        "{commit} in {has}"
    );
    let rendered = project.shipit(&["render", "prod", "api.conf.j2"]).exits(0);
    printed(&rendered, &format!("DEV_LOCATION={}\n", expected.trim()));
    project.deploy().says("nothing to do");
}

#[test]
fn a_template_that_fails_with_the_facts_of_a_host_changes_nothing() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "env_file: ", "env_file: api.conf.j2 #");
    project.write("api.conf.j2", "DEV_LOCATION={{ {'elsewhere': 1}[facts.hostname] }}\n");
    let check =
        Command::new(env!("CARGO_BIN_EXE_shipit")).arg("check").current_dir(project.path(".")).output();
    assert!(check.unwrap().status.success(), "the facts are not known here");
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("a template does not work for this host")
        .says("api.conf.j2:1")
        .says("shipit::template::undefined");
    assert_eq!(user.run(&format!("ls -d {}/releases 2>/dev/null; true", project.root(&user))), "");
}

#[test]
fn the_env_file_of_a_system_service_is_roots_alone() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let values = Values::of(&user);
    let project = project(&user, &values).into_system();
    let ran = shipit(&project, &values, &["deploy", "prod", "-v"]);
    let found = user.run_as_root(&format!(
        "stat -c %a:%U {}/current/env/*.conf; grep -rlF -e {} {}; true",
        project.root(&user),
        values.traces()[0],
        user.home
    ));
    project.remove_from_system(&user);
    values.not_in("a deploy to the system", &ran.all());
    ran.exits(0);
    assert_eq!(found, "600:root\n", "and nothing of it is left with the login user");
}

#[test]
fn a_service_reads_a_secret_as_a_credential_of_systemds() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    for in_system in [false, true] {
        let values = Values::of(&user);
        let project = Project::quick(&user);
        let project = if in_system { project.into_system() } else { project };
        project.edit("deploy.yaml", "  prod:\n", "  prod:\n    secrets: { TOKEN: { env: SECRET_ENV } }\n");
        project.edit(
            "deploy.yaml",
            "settle:",
            "files: [ { source: token.j2, path: credentials/token, mode: \"0600\" } ]\nhealth: { journal: token is }\nsettle:",
        );
        project.write("token.j2", "{{ secrets.TOKEN }}");
        let below = if in_system {
            format!("/opt/{}", project.name)
        } else {
            format!("%h/.local/share/shipit/{}", project.name)
        };
        let unit = format!("{}.service", project.name);
        let load = format!("Restart=always\nLoadCredential=token:{below}/current/credentials/token");
        project.edit(&unit, "Restart=always", &load);
        project.write(
            "service.sh",
            "#!/bin/sh\necho \"in $CREDENTIALS_DIRECTORY\"\necho \"the token is $(cat \"$CREDENTIALS_DIRECTORY/token\")\"\nexec sleep infinity\n",
        );
        let first = shipit(&project, &values, &["deploy", "prod"]);
        let mode = user.run_as_root(&format!("stat -c %a {}/current/credentials/token", project.root(&user)));
        // A changed secret is a changed file, and the service has to have it.
        let other = Values { env: format!("other.{}", values.env), ..Values::of(&user) };
        let second = shipit(&project, &other, &["deploy", "prod"]);
        let pid = project.property(&user, "MainPID");
        let has = user.run_as_root(&format!(
            "nsenter --mount --target {0} cat \"$(tr '\\0' '\\n' </proc/{0}/environ | sed -n s/^CREDENTIALS_DIRECTORY=//p)/token\"",
            pid.trim()
        ));
        if in_system {
            project.remove_from_system(&user);
        }
        printed(&first.exits(0), "the token is ***");
        printed(&second.exits(0), "the token is ***");
        assert_eq!((mode.as_str(), has), ("600\n", other.env));
    }
}
