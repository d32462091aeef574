//! P6: no value from the manifest, the operator, the host or a file's name is ever run as a program, whatever the login
//! shell is; and what may be hostile arrives as it was written.
//!
//! Every value here would make a file called `canary-...` if a shell, or systemd, read it as more than a value.
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Project, Ran};
use crate::hosts::{Server, Shell, TestUser, UserOptions};

/// The end of a home folder's name. There can be no slash in it, and no line break.
const HOME: &str = " '\"$(touch canary-a)`touch canary-b`;touch canary-c|touch canary-d&(touch canary-e)\\ %h !! *[a]?~{touch,canary-f}>canary-g #";

/// What every shell has ways to take for more than text.
fn hostile(field: &str) -> String {
    let x = format!("/tmp/canary-{field}-");
    format!(
        "-rf '; touch {x}1; ' \"; touch {x}2; \" `touch {x}3` $(touch {x}4) (touch {x}5) | touch {x}6 & touch {x}7 > {x}8 \
         {{touch,{x}9}} && ${{IFS}}touch {x}10 || \\$(touch {x}11) \\ %n %s %% !! !touch ~ * ? [a-z] <(touch {x}12) # é 家"
    )
}

/// The same for a header.
fn ascii(field: &str) -> String {
    hostile(field).replace(['é', '家'], "").trim().to_owned()
}

/// The same on several lines, 4 KiB of it.
fn long(field: &str) -> String {
    let line = hostile(field);
    let mut text = format!("{line}\ntouch /tmp/canary-{field}-13\n'\n\"\ntouch /tmp/canary-{field}-14\n");
    while text.len() < 4096 {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A YAML text in double quotes.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A value of an env file in double quotes (systemd.exec(5), EnvironmentFile=).
fn env_value(text: &str) -> String {
    let escaped: String =
        text.chars().flat_map(|c| if "\"\\`$".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
    format!("\"{escaped}\"")
}

/// A service whose every field that takes any text has a hostile one, in folders with hostile names.
struct Site {
    project: Project,
    /// The folder to be in: its name is not UTF-8.
    folder: PathBuf,
    unit: String,
}

impl Site {
    fn new(user: &TestUser) -> Self {
        let project = Project::quick(user);
        let (name, port) = (project.name.clone(), project.port);
        let folder =
            project.path("").join(OsString::from_vec(b"no \xff\xfe\n$(touch canary-h) UTF-8".to_vec()));
        let inner = "-rf it's \"$(touch canary-i)`touch canary-j`; touch canary-k *";
        fs::create_dir_all(folder.join(inner)).unwrap();
        // systemd's own way to write a slash, a space or a dollar sign in a name.
        let unit = format!(r"{name}\x24\x28touch\x20canary\x29.service");
        let write = |name: &str, text: &str| fs::write(folder.join(inner).join(name), text).unwrap();
        write("the $(touch canary-l) binary", &server(port, "one"));
        fs::set_permissions(
            folder.join(inner).join("the $(touch canary-l) binary"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        write(
            &unit,
            &format!(
                "[Unit]\nDescription={name}\n\n[Service]\nEnvironmentFile=/etc/default/{name}.conf\n\
                 ExecStart=/usr/local/bin/{name}\n\n[Install]\nWantedBy=default.target\n"
            ),
        );
        let value = env_value(&long("env"));
        // In double quotes, all but these two stand for themselves.
        write("env $(touch canary-m).conf.j2", &format!("A={value}\nB=\"{{{{ B }}}}\"\n"));
        let var = hostile("var").replace(['"', '\\'], "");
        let path = |file: &str| yaml(&format!("{inner}/{file}"));
        let manifest = format!(
            "name: {name}\nbinary: {}\nunits: [{}]\nenv_file: {}\nsettle: 200ms\n\
             health:\n  - journal: {}\n    timeout: 10s\n  - http: 'http://localhost:{port}/$(touch)%60;'\n    contains: {}\n    \
             headers: {{ X-Token: {}, X-Other: {} }}\n    timeout: 10s\n  - command: [test, {}, '=', {}]\n  \
             - command: [printf, '%s', {}, $(touch canary-n), '*', '-n', '']\n\
             hooks:\n  before_deploy: [ {{ local: 'test \"$SHIPIT_SERVICE\" = {name}' }} ]\n  \
             before_activate: [ {{ run: 'echo \"root is $SHIPIT_ROOT\"; test -d \"$SHIPIT_RELEASE_DIR\"' }} ]\n  \
             after_activate: [ {{ run: 'echo \"here is $PWD\"' }} ]\n\
             environments:\n  prod:\n    hosts: [ {{ host: '{}', vars: {{ B: {}, UNUSED: {} }} }} ]\n",
            path("the $(touch canary-l) binary"),
            path(&unit),
            path("env $(touch canary-m).conf.j2"),
            yaml(&format!("B is {var}")),
            yaml(&format!("token {}", ascii("header"))),
            yaml(&ascii("header")),
            yaml(&ascii("other")),
            yaml(&long("command")),
            yaml(&long("command")),
            yaml(&long("printf")),
            user.destination(),
            yaml(&var),
            yaml(&long("unused")),
        );
        fs::write(folder.join("deploy.yaml"), manifest).unwrap();
        Self { project, folder, unit }
    }

    /// `shipit`, run by someone whose environment is hostile as well.
    fn shipit(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command(arguments);
        command.current_dir(&self.folder).env("USER", hostile("user")).env("BUILD_URL", long("job"));
        Ran::of(&command.output().unwrap())
    }

    fn write_binary(&self, word: &str) {
        let folder = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let folder = folder.into_iter().find(|path| path.is_dir()).unwrap();
        fs::write(folder.join("the $(touch canary-l) binary"), server(self.project.port, word)).unwrap();
    }
}

/// Prints its environment, and answers with the header that it got.
fn server(port: u16, word: &str) -> String {
    format!(
        r#"#!/usr/bin/perl
use IO::Socket::INET;
$| = 1;
my $l = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {port}, Listen => 20, ReuseAddr => 1) or die $!;
print "word is {word}\nB is $ENV{{B}}\nA is $ENV{{A}}\nend of A\n";
while (my $c = $l->accept) {{
  my $token = '';
  while (<$c>) {{ $token = $1 if /^X-Token: (.*?)\r/i; last if /^\r?$/; }}
  print $c "HTTP/1.0 200 OK\r\n\r\ntoken $token\n";
  close $c;
}}
"#
    )
}

/// Every file on the host, and here, that was made by what should have been a value.
#[track_caller]
fn no_canary(user: &TestUser, site: &Site, after: &str) {
    let there = user.run_as_root(
        "find / -xdev -name 'canary-*' 2>/dev/null; find /tmp /run /home -name 'canary-*' 2>/dev/null; true",
    );
    assert_eq!(there, "", "on the host, after {after}");
    let find = |folder: PathBuf| {
        let found = Command::new("find").arg(folder).args(["-name", "canary-*"]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).into_owned()
    };
    let temporary = Command::new("sh").args(["-c", "ls -d /tmp/canary-*"]).output().unwrap();
    assert_eq!(
        (find(site.project.path("")), temporary.stdout),
        (String::new(), Vec::new()),
        "here, after {after}"
    );
}

fn deploys(shell: Shell) {
    let Some(mut user) = TestUser::new(UserOptions { shell, home: HOME, ..UserOptions::default() }) else {
        return;
    };
    // Questions over HTTP are asked by programs on the host then.
    if shell == Shell::Tcsh && !user.behind(Server::Sshd("AllowTcpForwarding no")) {
        return;
    }
    let site = Site::new(&user);
    let name = &site.project.name;
    let root = format!("{}/.local/share/shipit/{name}", user.home);

    let check =
        Command::new(env!("CARGO_BIN_EXE_shipit")).arg("check").current_dir(&site.folder).output().unwrap();
    Ran::of(&check).exits(0);
    no_canary(&user, &site, "check");
    let ran = site.shipit(&["deploy", "prod"]);
    no_canary(&user, &site, "deploy");
    let ran = ran.exits(0);
    // What arrived is what was written.
    ran.says(&format!("| root is {root}")).says(&format!("| here is {root}/releases/"));
    let journal = user.journal(&format!("-o cat _SYSTEMD_USER_UNIT='{}'", site.unit));
    assert!(journal.contains(&format!("A is {}\nend of A\n", long("env").trim_end())), "{journal}");
    assert!(journal.contains(&format!("B is {}\n", hostile("var").replace(['"', '\\'], ""))), "{journal}");
    site.shipit(&["deploy", "prod"]).exits(0).says("nothing to do");

    for (arguments, code) in [
        (&["lock", "prod", &format!("--message={}", long("message"))][..], 0),
        (&["deploy", "prod"], 0),
        (&["status", "prod", "--format", "json"], 0),
        (&["unlock", "prod"], 0),
        (&["logs", "prod", "--since", &hostile("since")], 1),
        (&["rollback", "prod", &format!("--to={}", hostile("to"))], 8),
        (&["deploy", "prod", &format!("--host={}", hostile("pattern"))], 2),
        (&["deploy", &hostile("environment")[4..]], 2),
        (&["history", "prod", "--format", "json"], 0),
        (&["releases", "prod"], 0),
    ] {
        let ran = site.shipit(arguments);
        no_canary(&user, &site, arguments[0]);
        let ran = ran.exits(code);
        if let ["status", ..] = arguments {
            let said: serde_json::Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
            assert!(said.to_string().contains(&yaml(&long("message"))), "{said}");
        }
    }

    site.write_binary("two");
    site.shipit(&["deploy", "prod"]).exits(0).says("word is two");
    site.shipit(&["rollback", "prod"]).exits(0);
    no_canary(&user, &site, "rollback");
    site.write_binary("three\"; die; \"");
    site.shipit(&["deploy", "prod"]).exits(3);
    no_canary(&user, &site, "a deploy that went back");
}

#[test]
fn no_value_is_run_under_bash() {
    deploys(Shell::Bash);
}

#[test]
fn no_value_is_run_under_dash() {
    deploys(Shell::Dash);
}

#[test]
fn no_value_is_run_under_fish() {
    deploys(Shell::Fish);
}

#[test]
fn no_value_is_run_under_tcsh() {
    deploys(Shell::Tcsh);
}
