//! P4: no secret of the operator's, of any kind, is seen by anybody but who it is for, in a real deploy from its beginning
//! to its end: by no other process on either side, in no log, in nothing that is printed, in no file that stays.
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Child, Project, Ran};
use crate::hosts::{TestUser, wait_for};
use crate::second_factor::{self, SecondDoor};

const PASSPHRASE: &str = "passphrase-ZcX7-of-the-key";
const CODE: &str = "code-918273-once";
/// In the env file. It is for the service, and for nobody else.
const VALUE: &str = "value-Kq2w-of-the-env-file";

/// What is planted.
struct Secrets {
    /// The operator's: for shipit, and for who asks for them.
    own: Vec<String>,
    /// The service's.
    service: &'static str,
}

impl Secrets {
    fn new(key: &str, password: &str) -> Self {
        let mut own = vec![PASSPHRASE.to_owned(), CODE.to_owned(), password.to_owned()];
        // Each line of the key, but for the first of the body, which is the same in all of them, and the last, which is short.
        own.extend(key.lines().skip(2).filter(|line| line.len() > 60).map(str::to_owned));
        // As bytes are in debug prints.
        let bytes = |word: &&str| format!("{:?}", word.as_bytes()).trim_matches(['[', ']']).to_owned();
        own.extend([PASSPHRASE, CODE, password].iter().map(bytes));
        Self { own, service: VALUE }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(String::as_str).chain([self.service])
    }

    /// Nothing that was printed holds one.
    #[track_caller]
    fn are_not_in(&self, ran: &Ran) {
        self.all().for_each(|secret| {
            ran.never_says(secret);
        });
    }
}

/// Somebody who looks at all processes of this machine, those of the test hosts on it included.
struct Watcher {
    over: Arc<AtomicBool>,
    leaks: Arc<Mutex<Vec<String>>>,
    /// How often it has looked.
    thread: JoinHandle<usize>,
}

impl Watcher {
    fn start(secrets: &Secrets) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let leaks = Arc::<Mutex<Vec<String>>>::default();
        let found = Arc::clone(&leaks);
        let (until, own, service) = (Arc::clone(&over), secrets.own.clone(), secrets.service);
        let shipit = fs::canonicalize(env!("CARGO_BIN_EXE_shipit")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !until.load(Ordering::SeqCst) {
                for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
                    let text = |name: &str| {
                        String::from_utf8_lossy(&fs::read(process.join(name)).unwrap_or_default())
                            .into_owned()
                    };
                    let is_shipit = || fs::read_link(process.join("exe")).is_ok_and(|exe| exe == shipit);
                    let line = text("cmdline");
                    if own.iter().any(|secret| line.contains(&**secret)) || line.contains(service) {
                        found.lock().unwrap().push(format!("arguments: {line}"));
                    }
                    // The key was given to shipit in its environment. Before and after, since a process may become another.
                    let (before, inherited) = (is_shipit(), text("environ"));
                    if own.iter().any(|secret| inherited.contains(&**secret)) && !before && !is_shipit() {
                        found.lock().unwrap().push(format!("environment of {line}"));
                    }
                }
                looks += 1;
            }
            looks
        });
        Self { over, leaks, thread }
    }

    /// Whether it has seen something that begins with this.
    fn has_seen(&self, what: &str) -> bool {
        self.leaks.lock().unwrap().iter().any(|leak| leak.starts_with(what))
    }

    /// What was seen.
    #[track_caller]
    fn seen(self) -> Vec<String> {
        self.over.store(true, Ordering::SeqCst);
        let looks = self.thread.join().unwrap();
        assert!(looks > 3, "it looked {looks} times only");
        let leaks = self.leaks.lock().unwrap();
        leaks.clone()
    }
}

/// The same on the host, by somebody who is root there.
struct HostWatcher<'a> {
    user: &'a TestUser,
    unit: String,
}

impl<'a> HostWatcher<'a> {
    fn start(user: &'a TestUser, service: &str, secrets: &Secrets) -> Self {
        let unit = user.service_name("watch");
        let folder = format!("/run/{unit}");
        let all = secrets.all().collect::<Vec<_>>().join("\n");
        // The environment of the service is what its value is for.
        user.run_as_root(&format!(
            "set -e; umask 077; mkdir {folder}; : >{folder}/seen; : >{folder}/looks
             cat >{folder}/secrets <<'SECRETS'\n{all}\nSECRETS
             cat >{folder}/watch <<'PROGRAM'
until [ -e {folder}/over ]; do
    grep -laFf {folder}/secrets /proc/[0-9]*/cmdline /proc/[0-9]*/environ | while read -r found; do
        process=${{found%/*}}
        case $found in
        # A process that has ended and was not waited for may be all that is left of its group (cgroups(7), /proc/PID/cgroup).
        *environ) grep -q -e '{service}.service$' -e '{service}.service (deleted)$' $process/cgroup && continue ;;
        esac
        [ -e $process ] && echo \"$found: $(tr '\\0' ' ' <$process/cmdline) $(cat $process/comm $process/cgroup)\" >>{folder}/seen
    done
    echo >>{folder}/looks
done 2>/dev/null
: >{folder}/done
PROGRAM
             systemd-run --quiet --collect --unit={unit} sh {folder}/watch"
        ));
        Self { user, unit }
    }

    fn looks(&self) -> usize {
        self.user.run_as_root(&format!("cat /run/{}/looks", self.unit)).len()
    }

    #[track_caller]
    fn saw_nothing(&self) {
        let folder = format!("/run/{}", self.unit);
        assert!(self.looks() > 3, "it looked {} times only", self.looks());
        self.user.run_as_root(&format!(": >{folder}/over; until [ -e {folder}/done ]; do sleep 0.02; done"));
        assert_eq!(self.user.run_as_root(&format!("cat {folder}/seen")), "");
    }
}

impl Drop for HostWatcher<'_> {
    fn drop(&mut self) {
        let unit = &self.unit;
        let _ = self.user.root(&format!("systemctl stop {unit}; rm -rf /run/{unit}"));
    }
}

/// An operator with a key in a variable, and a program that answers questions.
struct Operator {
    project: Project,
    key: String,
}

impl Operator {
    fn new(user: &TestUser, door: &SecondDoor<'_>, password: &str) -> Self {
        let mut project = door.project();
        project.key = None;
        fs::create_dir(project.path("planted")).unwrap();
        fs::create_dir(project.path("tmp")).unwrap();
        let key = project.path("planted/key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", "ci", "-N", PASSPHRASE, "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
        let public = fs::read_to_string(project.path("planted/key.pub")).unwrap();
        user.run(&format!("echo '{}' >>~/.ssh/authorized_keys", public.trim()));
        for (name, text) in [("passphrase", PASSPHRASE), ("code", CODE), ("password", password)] {
            project.write(&format!("planted/{name}"), text);
        }
        let folder = project.path("planted").display().to_string();
        project.write(
            "planted/askpass",
            &format!(
                "#!/bin/sh\ncase $1 in\n*assphrase*) cat {folder}/passphrase ;;\n*required*) cat {folder}/code ;;\n\
                 *) cat {folder}/password ;;\nesac\n"
            ),
        );
        project.make_executable("planted/askpass");
        let text = fs::read_to_string(&key).unwrap();
        Self { project, key: text }
    }

    /// A run with no terminal; what is asked is asked by SSH_ASKPASS, the passphrase too.
    fn shipit(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        command
            .env("SHIPIT_SSH_KEY", &self.key)
            .env("SSH_ASKPASS", self.project.path("planted/askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("TMPDIR", self.project.path("tmp"));
        Ran::of(&command.output().unwrap())
    }

    /// A run on a terminal, for sudo asks nowhere else. The passphrase is in a variable.
    fn shipit_on_a_terminal(&self, arguments: &str, password: &str) -> Ran {
        let line = format!(
            "stty columns 200; key=$(cat planted/key); passphrase=$(cat planted/passphrase)
             export SHIPIT_SSH_KEY=\"$key\" SHIPIT_SSH_KEY_PASSPHRASE=\"$passphrase\"; exec {} {arguments}",
            env!("CARGO_BIN_EXE_shipit")
        );
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
            .current_dir(self.project.path("."))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.project.path("home"))
            .env("USER", "ada")
            .env("TERM", "dumb")
            .env("SHELL", "/bin/sh")
            .env("SSH_ASKPASS", self.project.path("planted/askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("TMPDIR", self.project.path("tmp"));
        let mut child = Child::spawn(&mut command);
        child.wait_for_output("sudo password on");
        child.write(&format!("{password}\n"));
        child.wait()
    }

    /// All files of the operator's folders with one of these in them, but for those that they were planted in.
    fn files_with(&self, secrets: &Secrets) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.project.path(".")];
        let planted =
            [self.project.path("./planted"), self.project.path(&format!("./{}.conf", self.project.name))];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                if planted.contains(&path) {
                    continue;
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                    found.extend(
                        secrets
                            .all()
                            .filter(|secret| text.contains(secret))
                            .map(|_| path.display().to_string()),
                    );
                }
            }
        }
        found
    }
}

/// What the test below relies on.
#[test]
fn the_watchers_see_what_there_is_to_see() {
    let Some(user) = second_factor::user() else { return };
    let (argument, variable) = (format!("argument-{}", user.user), format!("variable-{}", user.user));
    let secrets = Secrets { own: vec![argument.clone(), variable.clone()], service: VALUE };
    let here = Watcher::start(&secrets);
    let there = HostWatcher::start(&user, "nothing", &secrets);
    let seen = || user.run_as_root(&format!("cat /run/{}/seen", there.unit));
    user.run_as_root(&format!(
        "SECRET={variable} sh -c 'sleep 60; : {argument}' >/dev/null 2>&1 & echo $! >/run/{}/child",
        there.unit
    ));
    wait_for("both to be seen on the host", Duration::from_secs(20), || {
        seen().contains("cmdline: sh -c") && seen().contains("environ: sleep")
    });
    // The host's processes are this machine's, too.
    wait_for("both to be seen here", Duration::from_secs(20), || {
        here.has_seen("arguments: sh") && here.has_seen("environment of sleep")
    });
    user.run_as_root(&format!("kill $(cat /run/{}/child)", there.unit));
    here.seen();
}

#[test]
fn no_secret_of_any_kind_is_seen_by_anybody_else_in_a_deploy_and_a_revert() {
    let Some(user) = second_factor::user() else { return };
    let password = user.password.clone().unwrap();
    let door = SecondDoor::with_a_code(&user, CODE);
    let operator = Operator::new(&user, &door, &password);
    let project = &operator.project;
    let conf = format!("{}.conf", project.name);
    project.edit(&conf, "PORT=", &format!("TOKEN={VALUE}\nPORT="));
    let secrets = Secrets::new(&operator.key, &password);
    let since = user.run_as_root("date +%s");

    let here = Watcher::start(&secrets);
    let there = HostWatcher::start(&user, &project.name, &secrets);

    // Everything is needed for this one: the key, its passphrase, the password, the code, sudo's password.
    let ran = operator.shipit_on_a_terminal("deploy prod -vvv", &password);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("1 host deployed") && ran.stdout.contains("DEBUG russh"), "{}", ran.all());
    secrets.are_not_in(&ran);

    project.edit(&conf, VALUE, &format!("{VALUE}-2"));
    for arguments in [
        &["plan", "prod", "-vvv"][..],
        &["deploy", "prod", "-vvv", "--format", "json"],
        &["status", "prod", "-vvv", "--format", "json"],
        &["history", "prod", "--format", "json"],
        &["releases", "prod", "--format", "json"],
        &["hosts", "prod", "--format", "json"],
    ] {
        let ran = operator.shipit(arguments).exits(0);
        secrets.are_not_in(&ran);
    }

    // A release that fails: its account has more in it than that of one that works.
    project.edit(&conf, VALUE, &format!("{VALUE}-3-"));
    project.edit("service.sh", "exec sleep infinity", "exit 7");
    project.edit("deploy.yaml", "settle: 0s", "settle: 3s");
    let ran = operator.shipit(&["deploy", "prod", "-vvv"]).exits(3);
    secrets.are_not_in(&ran);

    assert_eq!(here.seen(), Vec::<String>::new());
    there.saw_nothing();

    // What stays: nothing on this side; on the host, the env file of each release, which only its user can read.
    assert_eq!(operator.files_with(&secrets), Vec::<String>::new());
    let list = secrets.all().collect::<Vec<_>>().join("\n");
    user.await_journal();
    let left = user.run_as_root(&format!(
        "umask 077; cat >/run/{0}.secrets <<'SECRETS'\n{list}\nSECRETS
         grep -rlaFf /run/{0}.secrets {1} /tmp /var/tmp /var/log /var/lib/systemd /run/user /run/systemd /etc 2>/dev/null
         journalctl -q --no-pager -o export --since=@{2} | grep -aFf /run/{0}.secrets
         rm /run/{0}.secrets",
        project.name,
        user.home,
        since.trim()
    ));
    let releases = format!("{}/releases/", project.root(&user));
    for line in left.lines() {
        let is_env_file =
            line.starts_with(&releases) && line.ends_with(&format!("/env/{}.conf", project.name));
        assert!(is_env_file, "it is left on the host: {left}");
        assert_eq!(user.run_as_root(&format!("stat -c '%a %U' {line}")), format!("600 {}\n", user.user));
    }
    assert!(left.lines().count() >= 2, "the values are where they belong: {left}");
    let history = user.run(&format!("cat {}/history.jsonl", project.root(&user)));
    assert_eq!(history.lines().count(), 3, "{history}");
}
