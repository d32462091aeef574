//! One user of the shared host with a service, the relay on the way to it, and an eye on `current` that looks past the
//! relay all the while.
use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Child, Project};
use crate::hosts::relay::{Direction, Link, Relay};
use crate::hosts::{TestUser, UserOptions};

/// The `confirm_timeout` of all manifests.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// How much later a host may settle (promise P3).
pub const GRACE: Duration = Duration::from_secs(5);

/// How long after a silent cut the lock is free: the silence that the host bears, and what a busy machine adds.
pub const LOCK_FREE: Duration = Duration::from_secs(20 + 4);

pub struct Site {
    pub user: TestUser,
    pub project: Project,
    pub relay: Relay,
    watcher: Option<Child>,
    place: u32,
    binary: Vec<u8>,
}

/// Says VIOLATION as soon as `current` does not lead to a release with every file of its record, each with its hash.
/// Nothing at all is as good where nothing was deployed before.
const WATCH: &str = r#"
root=$1 first=$2 last= count=0
complete() {
    (cd "$root/$1" && tr '{' '\n' <release.json |
        sed -n 's/.*"path":"\([^"]*\)".*"sha256":"\([^"]*\)".*/\2  \1/p' >"$HOME/.sums.$$" &&
        if [ "$(grep -c . "$HOME/.sums.$$")" -ge 3 ]; then
            sha256sum --check --quiet --strict "$HOME/.sums.$$"
        else
            cat release.json; false
        fi)
}
# What is current no more may be gone.
still() {
    [ "$(readlink "$root/current")" = "$1" ]
}
echo watching
while :; do
    count=$((count + 1))
    if now=$(readlink "$root/current"); then
        if [ ! -f "$root/current/release.json" ]; then
            still "$now" && echo "VIOLATION current leads to $now, which has no record"
        elif [ "$now" != "$last" ] || [ $((count % 40)) = 0 ]; then
            said=$(complete "$now" 2>&1) || ! still "$now" || echo "VIOLATION $now is not complete: $said"
        fi
        last=$now
    elif [ "$first" != yes ]; then
        echo "VIOLATION there is no current"
    fi
    sleep 0.03
done
"#;

impl Site {
    /// A user whose service runs, unless `first`.
    pub fn new(first: bool) -> Option<Self> {
        let user = TestUser::new(UserOptions::default())?;
        let relay = Relay::start(user.address(), Link::default()).unwrap();
        let project = Project::simple_api(&user);
        project.edit("deploy.yaml", "settle: 1s", "settle: 0s\nconfirm_timeout: 3s");
        let health = format!("health:\n  http: http://localhost:{}/\n", project.port);
        let quick = format!("health: {{ http: 'http://localhost:{}/', timeout: 2s }}\n", project.port);
        project.edit("deploy.yaml", &health, &quick);
        let known = fs::read_to_string(&user.known_hosts).unwrap();
        let at = relay.address();
        let through =
            |line: &str| format!("[{}]:{} {}\n", at.ip(), at.port(), line.split_once(' ').unwrap().1);
        project.write("home/.ssh/known_hosts", &known.lines().map(through).collect::<String>());
        project.edit("deploy.yaml", &user.destination(), &format!("{}@{at}", user.user));
        let binary = fs::read(project.path("service.sh")).unwrap();
        let mut site = Self { user, project, relay, watcher: None, place: 0, binary };
        site.change();
        if !first {
            site.project.deploy();
        }
        let mut watcher = Child::spawn(site.user.ssh_command().arg("exec /bin/sh -s"));
        let arguments =
            format!("set -- {} {}\n", site.project.root(&site.user), if first { "yes" } else { "no" });
        // A compound command is read to its end before it runs.
        watcher.write(&format!("{{ {arguments}{WATCH}\n}}\n"));
        watcher.wait_for_output("watching");
        site.watcher = Some(watcher);
        Some(site)
    }

    /// What was seen of `current` that must not be.
    pub fn seen_broken(&self) -> Option<String> {
        let output = self.watcher.as_ref()?.output();
        let lines: Vec<&str> = output.lines().filter(|line| line.contains("VIOLATION")).take(3).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// A new release: another env file, and a binary with other bytes behind its end.
    pub fn change(&mut self) {
        self.place += 1;
        self.project.write(
            &format!("{}.conf", self.project.name),
            &format!("DEV_LOCATION='{}'\nPORT={}\n", self.name_of(self.place), self.project.port),
        );
        let mut binary = self.binary.clone();
        binary
            .extend((0..40_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) ^ self.place).to_le_bytes()));
        fs::write(self.project.path("service.sh"), binary).unwrap();
    }

    fn name_of(&self, place: u32) -> String {
        format!("place {place}.")
    }

    /// The bytes of one whole deploy, to the target and to the client.
    pub fn measure(&mut self) -> (u64, u64) {
        self.change();
        let before = self.relay.final_counts();
        self.project.deploy();
        let after = self.relay.final_counts();
        (after.bytes_to_target - before.bytes_to_target, after.bytes_to_client - before.bytes_to_client)
    }

    /// Waits until no run is under way, and says how long that took since `since`.
    pub fn wait_until_settled(&self, since: Instant, limit: Duration) -> Result<Duration, String> {
        let root = self.project.root(&self.user);
        loop {
            let pending = self.user.run(&format!(
                "readlink {root}/pending && {{ cat {root}/pending/state; cat {root}/pending/log; \
                 systemctl --user list-units --no-legend 'shipit-*'; }}; true"
            ));
            let took = since.elapsed();
            if pending.is_empty() {
                return Ok(took);
            }
            if took > limit {
                return Err(format!("not settled {:.1} s after the cut: {pending}", took.as_secs_f64()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the service's lock is free.
    pub fn wait_for_lock(&self, since: Instant, limit: Duration) -> Result<(), String> {
        while !self.project.lock_is_free(&self.user) {
            if since.elapsed() > limit {
                return Err(format!("the lock is still held after {:.1} s", since.elapsed().as_secs_f64()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Which release the host runs: "old", "new" or "none"; what else it may be is an error.
    pub fn state(&self) -> Result<&'static str, String> {
        let (root, name) = (self.project.root(&self.user), &self.project.name);
        let found = self.user.run(&format!(
            "readlink {root}/current || echo -
             systemctl --user show -p ActiveState --value {name}.service
             grep -h DEV_LOCATION {root}/current/env/{name}.conf
             bash -c 'exec 3<>/dev/tcp/127.0.0.1/{} && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3' 2>/dev/null
             true",
            self.project.port
        ));
        let at = |place: u32| found.matches(&self.name_of(place)).count() == 2;
        let up = found.contains("\nactive\n");
        if found.starts_with("-\ninactive\n") && !found.contains("place") {
            Ok("none")
        } else if up && at(self.place) {
            Ok("new")
        } else if up && at(self.place - 1) {
            Ok("old")
        } else {
            Err(format!("neither release {} nor the one before is whole: {found}", self.place))
        }
    }

    /// Which start of the service this is; empty where nothing runs.
    pub fn invocation(&self) -> String {
        self.project.property(&self.user, "InvocationID")
    }

    /// What the last run on the host says of itself.
    pub fn last_run(&self) -> String {
        let root = self.project.root(&self.user);
        let said = self.user.run(&format!(
            "last=$(ls -d {root}/runs/* 2>/dev/null | tail -n 1); [ -n \"$last\" ] && {{ cat \"$last/state\"; grep ^reverting \"$last/log\"; }}; true"
        ));
        said.lines().collect::<Vec<_>>().join(", ")
    }

    /// From now on the network is whole; what a silence held back is gone.
    pub fn disarm(&self) {
        const NEVER: u64 = 1 << 50;
        self.relay.cut();
        self.relay.resume();
        self.relay.cut_after(Direction::ToTarget, NEVER);
        self.relay.cut_after(Direction::ToClient, NEVER);
    }

    /// What an upload left behind.
    pub fn incoming(&self) -> String {
        self.user
            .run(&format!("find {}/incoming -mindepth 1 2>/dev/null; true", self.project.root(&self.user)))
    }

    /// As if nothing had ever been deployed.
    pub fn wipe(&self) {
        let (root, name) = (self.project.root(&self.user), &self.project.name);
        self.user.run(&format!(
            "systemctl --user stop {name}.service 2>/dev/null
             rm -rf {root}/current {root}/releases {root}/incoming ~/.config/systemd/user/*{name}* \\
                 ~/.config/systemd/user/*/*{name}*
             sudo rm -f /usr/local/bin/{name} /etc/default/{name}.conf
             systemctl --user daemon-reload"
        ));
    }
}
