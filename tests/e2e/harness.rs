//! What an operator has: a project folder with a manifest, and `shipit` to run in it.
#![allow(dead_code)] // not every kind of project has its test yet

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::hosts::TestUser;

/// A folder with a service to deploy, and a home folder for the operator, whose own is never touched.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    /// The service's name, the test user's alone.
    pub name: String,
    /// Where the service answers on the host.
    pub port: u16,
    key: Option<PathBuf>,
}

impl Project {
    /// A project that deploys a small shell service, which logs and sleeps, as `user`.
    pub fn new(user: &TestUser) -> Self {
        let this = Self::empty(user);
        let name = &this.name;
        this.write("service.sh", "#!/bin/sh\necho \"started in $DEV_LOCATION\"\nexec sleep infinity\n");
        this.make_executable("service.sh");
        this.write(
            &format!("{name}.service"),
            &format!(
                "[Unit]\nDescription={name}\n\n[Service]\nEnvironmentFile=/etc/default/{name}.conf\n\
                 ExecStart=/usr/local/bin/{name}\nRestart=always\n\n[Install]\nWantedBy=default.target\n"
            ),
        );
        this.write(&format!("{name}.conf"), &format!("DEV_LOCATION='North Carolina'\nPORT={}\n", this.port));
        this.write(
            "deploy.yaml",
            &format!(
                "name: {name}\nbinary: service.sh\nunit: {name}.service\nenv_file: {name}.conf\nsettle: 1s\n\
                 environments:\n  prod:\n    hosts: [{}]\n",
                user.destination()
            ),
        );
        this
    }

    /// The same with `examples/simple_api` as the service, asked over HTTP. Its release build must be there.
    pub fn simple_api(user: &TestUser) -> Self {
        let this = Self::new(user);
        let built =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/simple_api/target/release/simple_api");
        fs::copy(&built, this.path("service.sh"))
            .unwrap_or_else(|e| panic!("{}: {e}; `make test` builds it", built.display()));
        let health = format!("health:\n  http: http://localhost:{}/\nsettle: 1s\n", this.port);
        this.edit("deploy.yaml", "settle: 1s\n", &health);
        this
    }

    fn empty(user: &TestUser) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/.ssh")).unwrap();
        fs::copy(&user.known_hosts, folder.path().join("home/.ssh/known_hosts")).unwrap();
        Self { folder, name: user.service_name("api"), port: user.unique_port(), key: user.key_path.clone() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Replaces `from`, which must be there, in a file.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    pub fn make_executable(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `shipit COMMAND...` in the project's folder, with nothing of the developer's environment but the agent, and
    /// that only where the developer's own machine is deployed to.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .stdin(Stdio::null());
        match &self.key {
            Some(key) => {
                command.arg("--identity").arg(key);
            }
            None => {
                command.envs(std::env::var_os("SSH_AUTH_SOCK").map(|socket| ("SSH_AUTH_SOCK", socket)));
            }
        }
        command
    }

    /// Runs `shipit COMMAND...` to its end.
    pub fn shipit(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}
