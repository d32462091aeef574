//! The traps in unit files: what systemd would refuse, ignore, or do at the wrong time.
//!
//! Only what can be told without the host. Each rule says what will happen and how to write it instead.
use super::exec::{ExecCommand, ExecError, resolve_specifiers, words};
use super::lint_user::idle_user;
use super::model::{Manifest, OnChange, Scope, UnitSource};
use super::name::UnitName;
use super::nearest::nearest;
use super::problem::Problem;
use super::unit_file::{Entry, UnitFile};
use super::unit_files::UnitFiles;
use super::unit_kind::UnitKind;
pub use super::unit_problem::UnitProblem;

/// Looks at all units of a release together: one may start another, or read the env file for it.
#[must_use]
pub fn lint(manifest: &Manifest, units: &UnitFiles) -> Vec<Problem> {
    let mut lint = Lint { manifest, problems: Vec::new(), reads_env_file: false, other_env_file: false };
    for (name, file) in &units.files {
        lint.unit(name, file, units);
    }
    for (unit, _, file) in &units.drop_ins {
        lint.drop_in(unit, file);
    }
    lint.order(units);
    lint.problems.extend(idle_user(manifest, units));
    let link = manifest.env_file_link();
    if manifest.env_file.is_some() && !lint.reads_env_file && !lint.other_env_file {
        let kind = UnitProblem::EnvFileUnread { link: link.clone() };
        let problem = Problem::new(kind, &manifest.source).at_maybe(manifest.spans.get("env_file"));
        lint.problems.push(problem.help(format!("add `EnvironmentFile={link}` to the `[Service]` section")));
    }
    lint.problems
}

struct Lint<'a> {
    manifest: &'a Manifest,
    problems: Vec<Problem>,
    reads_env_file: bool,
    /// Whether a unit names an env file that nothing provides: likely the release's own, misspelt.
    other_env_file: bool,
}

impl Lint<'_> {
    fn at_value(
        &mut self,
        file: &UnitFile,
        entry: &Entry,
        kind: UnitProblem,
        help: impl Into<Option<String>>,
    ) {
        let problem = Problem::new(kind, &file.source).at(entry.value_span.clone());
        self.problems.push(problem.help(help));
    }

    fn unit(&mut self, name: &UnitName, file: &UnitFile, units: &UnitFiles) {
        if file.sections.is_empty() {
            let kind = UnitProblem::Empty { unit: name.to_string() };
            self.problems.push(Problem::new(kind, &file.source));
            return;
        }
        self.sections(name, file);
        self.reload(name, file);
        if name.kind() == UnitKind::Service {
            self.commands(name, file, units);
            self.env_files(name, file);
        }
        if self.manifest.scope_of(name) == Scope::User {
            self.user_unit(file);
        }
        self.install(name, file, units);
    }

    /// What it adds must be right; that something is missing in it is no mistake.
    fn drop_in(&mut self, unit: &UnitName, file: &UnitFile) {
        self.sections(unit, file);
        if unit.kind() == UnitKind::Service {
            self.env_files(unit, file);
        }
        if self.manifest.scope_of(unit) == Scope::User {
            self.user_unit(file);
        }
    }

    /// The first place of a circle is marked; the others are told of.
    fn order(&mut self, units: &UnitFiles) {
        let Some(circle) = units.circle(self.manifest) else { return };
        let [first, rest @ ..] = circle.as_slice() else { return };
        let names = circle.iter().map(|waits| waits.unit.as_str()).chain([first.unit.as_str()]);
        let kind = UnitProblem::OrderCircle { circle: names.collect::<Vec<_>>().join(" after ") };
        let mut help = "take one of these away:".to_owned();
        for waits in &circle {
            let (line, text) = (waits.source.line(waits.span.start), &waits.source.text);
            let setting = text.get(waits.span.clone()).unwrap_or_default();
            help.push_str(&format!("\n{}:{line}: {setting}", waits.source.path.display()));
        }
        let mut problem = Problem::new(kind, &first.source)
            .at(first.span.clone())
            .label(format!("{} waits for {}", first.unit, first.for_unit))
            .help(help);
        if let Some(second) = rest.iter().find(|waits| waits.source == first.source) {
            let text = format!("and {} for {}", second.unit, second.for_unit);
            problem = problem.also(second.span.clone(), text);
        }
        self.problems.push(problem);
    }

    fn reload(&mut self, name: &UnitName, file: &UnitFile) {
        let reloads = |unit: &&UnitSource| unit.name == *name && unit.on_change == OnChange::Reload;
        if !self.manifest.units.iter().any(|unit| reloads(&unit)) {
            return;
        }
        // systemd.service(5): such a service is reloaded by a signal.
        let by_signal = file.value("Service", "Type").is_some_and(|entry| entry.value == "notify-reload");
        if !by_signal && file.value("Service", "ExecReload").is_none() {
            let kind = UnitProblem::NoReload { unit: name.to_string() };
            let span = file.sections.iter().find(|s| s.name == "Service").map(|s| s.span.clone());
            let help = "add `ExecReload=` to `[Service]`, or write `on_change: restart` in the manifest";
            self.problems.push(Problem::new(kind, &file.source).at_maybe(span).help(help.to_owned()));
        }
    }

    fn sections(&mut self, name: &UnitName, file: &UnitFile) {
        let known: Vec<&str> = ["Unit", "Install"].into_iter().chain(name.kind().section()).collect();
        for section in &file.sections {
            // `X-` is for others to use (systemd.unit(5)).
            if known.contains(&section.name.as_str()) || section.name.starts_with("X-") {
                continue;
            }
            let kind =
                UnitProblem::UnknownSection { section: section.name.clone(), kind: name.kind().suffix() };
            let help =
                nearest(&section.name, known.iter().copied()).map(|near| format!("did you mean `[{near}]`?"));
            self.problems.push(Problem::new(kind, &file.source).at(section.span.clone()).help(help));
        }
    }

    fn commands(&mut self, name: &UnitName, file: &UnitFile, units: &UnitFiles) {
        let commands = file.values("Service", "ExecStart");
        let oneshot = file.value("Service", "Type").is_some_and(|entry| entry.value == "oneshot");
        if let (false, [.., last]) = (oneshot, commands.as_slice())
            && commands.len() > 1
        {
            let kind = UnitProblem::ManyExecStart { count: commands.len() };
            let help = "keep one; what runs before it goes into `ExecStartPre=`";
            self.at_value(file, last, kind, help.to_owned());
        }
        let stops = ["ExecStop", "SuccessAction"];
        let other = |key: &&str| file.value("Service", key).or_else(|| file.value("Unit", key)).is_some();
        let added = units.of(name).any(|text| text.value("Service", "ExecStart").is_some());
        if commands.is_empty() && !added && !stops.iter().any(other) {
            let kind = UnitProblem::NoExecStart { unit: name.to_string() };
            let span = file.sections.iter().find(|s| s.name == "Service").map(|s| s.span.clone());
            let help = match &self.manifest.binary {
                Some(_) => format!("add `ExecStart={}` to `[Service]`", self.manifest.binary_link()),
                None => "add `ExecStart=` to `[Service]`".to_owned(),
            };
            self.problems.push(Problem::new(kind, &file.source).at_maybe(span).help(help));
        }
        let example = self.example(name);
        let mut runs_binary = false;
        let mut strangers = Vec::new();
        for entry in commands {
            match ExecCommand::parse(&entry.value, &example, self.manifest.scope_of(name)) {
                Ok(command) => {
                    let found = self.problems.len();
                    self.program(file, entry, &command.program);
                    // One thing at a time: the help of the other problem names the binary, too.
                    if self.is_the_binary(&command) || self.problems.len() > found {
                        runs_binary = true;
                    } else {
                        strangers.push((entry, command.program));
                    }
                }
                Err(error) => {
                    let reason = match error {
                        ExecError::Empty => "names no program",
                        ExecError::OpenQuote => "has a quote that never ends",
                    };
                    self.at_value(file, entry, UnitProblem::BadCommand { reason }, None);
                    runs_binary = true;
                }
            }
        }
        // A release may bring several services; only when it brings one must that one run the binary.
        let services =
            self.manifest.units.iter().filter(|unit| unit.name.kind() == UnitKind::Service).count();
        if self.manifest.binary.is_none() || runs_binary || services > 1 {
            return;
        }
        if let Some((entry, program)) = strangers.pop() {
            let link = self.manifest.binary_link();
            let help =
                format!("write `ExecStart={link}`, which leads to the binary of the release that runs");
            self.at_value(file, entry, UnitProblem::NotTheBinary { program, link }, help);
        }
    }

    /// The unit itself; of a template, one of its instances, so that `%i` stands for something.
    fn example(&self, name: &UnitName) -> UnitName {
        let source = self.manifest.units.iter().find(|unit| unit.name == *name);
        source.and_then(|source| source.started().first()).unwrap_or(name).clone()
    }

    fn program(&mut self, file: &UnitFile, entry: &Entry, program: &str) {
        // A specifier that only the host can fill in may begin a path: %h, %t.
        if program.starts_with('/') || program.starts_with('%') {
            return;
        }
        let help = match &self.manifest.binary {
            Some(_) => format!("the binary of this release is `{}`", self.manifest.binary_link()),
            None => "write the whole path".to_owned(),
        };
        let program = program.to_owned();
        if program.contains('/') {
            self.at_value(file, entry, UnitProblem::NotAbsolute { program }, help);
        } else {
            self.at_value(file, entry, UnitProblem::NoPath { program }, help);
        }
    }

    /// Whether the command runs the binary: directly, by its place in the release, by its bare name, or through
    /// another program such as `env`.
    fn is_the_binary(&self, command: &ExecCommand) -> bool {
        let link = self.manifest.binary_link();
        let in_release = format!("/current/bin/{}", self.manifest.name);
        let runs = |word: &str| word.contains(&link) || word.ends_with(&in_release);
        command.program == self.manifest.name.as_str()
            || runs(&command.program)
            || command.arguments.iter().any(|word| runs(word))
    }

    fn env_files(&mut self, name: &UnitName, file: &UnitFile) {
        let link = self.manifest.env_file_link();
        let example = self.example(name);
        for entry in file.values("Service", "EnvironmentFile") {
            let resolved = resolve_specifiers(&entry.value, &example, self.manifest.scope_of(name));
            let path = resolved.strip_prefix('-').unwrap_or(&resolved);
            let optional = path.len() < resolved.len();
            let in_release = path.ends_with(&format!("/current/env/{}.conf", self.manifest.name));
            if path == link || in_release {
                self.reads_env_file = true;
                if self.manifest.scope_of(name) != self.manifest.scope && !optional {
                    let kind = UnitProblem::EnvFileIsRoots { path: path.to_owned() };
                    let help = "give the unit a file of its own by `files`, which are for all to read, or write \
                                `Environment=`";
                    self.at_value(file, entry, kind, help.to_owned());
                    continue;
                }
                if self.manifest.env_file.is_some() || optional {
                    continue;
                }
            }
            if !path.starts_with('/') && !path.starts_with('%') {
                let kind = UnitProblem::EnvFileNotAbsolute { path: path.to_owned() };
                self.at_value(file, entry, kind, format!("the env file of this release is `{link}`"));
                continue;
            }
            if optional {
                continue;
            }
            self.other_env_file = true;
            let help = match &self.manifest.env_file {
                Some(_) => format!(
                    "the env file of this release is `{link}`; if the host has `{path}` anyway, or may be without \
                     it, write `EnvironmentFile=-{path}`"
                ),
                None if path == link => "add `env_file:` to the manifest".to_owned(),
                None => format!("add `env_file:` to the manifest and read it as `{link}`"),
            };
            self.at_value(file, entry, UnitProblem::EnvFileNotProvided { path: path.to_owned() }, help);
        }
    }

    fn user_unit(&mut self, file: &UnitFile) {
        for key in ["User", "Group"] {
            if let Some(entry) = file.value("Service", key) {
                let problem = Problem::new(UnitProblem::UserSetting { key }, &file.source);
                let span = entry.key_span.start..entry.value_span.end;
                self.problems.push(problem.at(span).help(
                    "take it away: the service runs as the user you log in as. A machine-wide service that \
                     becomes another user is `scope: system`"
                        .to_owned(),
                ));
            }
        }
        for key in ["WantedBy", "RequiredBy"] {
            for entry in file.values("Install", key) {
                let targets = words(&entry.value).unwrap_or_default();
                let Some(target) =
                    targets.into_iter().find(|target| SYSTEM_TARGETS.contains(&target.as_str()))
                else {
                    continue;
                };
                let help = format!(
                    "write `{key}=default.target`: `{target}` belongs to the system's manager, and the user's, \
                     which runs this unit, never reaches a target of that name"
                );
                self.at_value(file, entry, UnitProblem::SystemTarget { target }, help);
            }
        }
    }

    fn install(&mut self, name: &UnitName, file: &UnitFile, units: &UnitFiles) {
        let startable =
            matches!(name.kind(), UnitKind::Service | UnitKind::Socket | UnitKind::Timer | UnitKind::Path);
        let keys = ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"];
        let installed = keys.iter().any(|key| file.value("Install", key).is_some());
        let started = units.files.iter().any(|(other, text)| other != name && starts(other, text, name));
        // A template without instances is there for others to use, such as a socket with Accept=yes.
        let unused = name.is_template()
            && self.manifest.units.iter().any(|unit| unit.name == *name && unit.instances.is_empty());
        if !startable || installed || started || unused {
            return;
        }
        let target = match (self.manifest.scope_of(name), name.kind()) {
            (_, UnitKind::Timer) => "timers.target",
            (_, UnitKind::Socket) => "sockets.target",
            (Scope::User, _) => "default.target",
            (Scope::System, _) => "multi-user.target",
        };
        let kind = UnitProblem::NoInstall { unit: name.to_string() };
        let section = file.sections.iter().find(|section| section.name == "Install");
        let problem = Problem::new(kind, &file.source).at_maybe(section.map(|section| section.span.clone()));
        self.problems.push(problem.help(format!("add `[Install]` and below it `WantedBy={target}`")));
    }
}

/// Targets of the system's manager that a user's doesn't have (systemd.special(7)).
const SYSTEM_TARGETS: &[&str] = &[
    "multi-user.target",
    "graphical.target",
    "network.target",
    "network-online.target",
    "sysinit.target",
    "local-fs.target",
    "remote-fs.target",
    "rescue.target",
    "emergency.target",
    "getty.target",
    "runlevel2.target",
    "runlevel3.target",
    "runlevel4.target",
    "runlevel5.target",
];

/// Whether `other` starts `unit`: a timer, socket or path does by its name or its setting, and any unit by wanting it.
fn starts(other: &UnitName, file: &UnitFile, unit: &UnitName) -> bool {
    let setting = match other.kind() {
        UnitKind::Timer => Some(("Timer", "Unit")),
        UnitKind::Path => Some(("Path", "Unit")),
        UnitKind::Socket => Some(("Socket", "Service")),
        _ => None,
    };
    let triggers = setting.is_some_and(|(section, key)| match file.value(section, key) {
        Some(entry) => entry.value == unit.as_str(),
        None => unit.kind() == UnitKind::Service && other.stem() == unit.stem(),
    });
    let lists = [("Unit", "Wants"), ("Unit", "Requires"), ("Unit", "BindsTo"), ("Install", "Also")];
    let names = |entry: &&Entry| entry.value.split_whitespace().any(|word| word == unit.as_str());
    triggers || lists.iter().any(|(section, key)| file.values(section, key).iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::super::source::SourceText;
    use super::*;

    const MANIFEST: &str = "{name: api, binary: api, unit: api.service, env_file: api.conf, \
         environments: {prod: {hosts: [web1]}}}";

    /// Every problem of these units, as `file:line: message`.
    fn problems(manifest: &str, units: &[(&str, &str)]) -> Vec<String> {
        let manifest = parse(&SourceText::new("deploy.yaml", manifest)).unwrap().manifest;
        let mut problems = Vec::new();
        let units: Vec<_> = units
            .iter()
            .map(|(name, text)| {
                let (file, found) = UnitFile::parse(&SourceText::new(*name, *text));
                problems.extend(found);
                (name.parse().unwrap(), file)
            })
            .collect();
        let units = UnitFiles { files: units, drop_ins: Vec::new() };
        problems.extend(lint(&manifest, &units));
        problems.iter().map(ToString::to_string).collect()
    }

    const INSTALL: &str = "[Install]\nWantedBy=default.target\n";
    const ENV: &str = "EnvironmentFile=/etc/default/api.conf\n";

    fn service(lines: &str) -> Vec<String> {
        problems(MANIFEST, &[("api.service", &format!("[Service]\n{ENV}{lines}\n{INSTALL}"))])
    }

    #[test]
    fn good_units_have_no_problems() {
        for line in [
            "ExecStart=/usr/local/bin/api",
            "ExecStart=-/usr/local/bin/api --port 8000",
            "ExecStart=\"/usr/local/bin/%p\"",
            "ExecStart=/usr/bin/env A=b /usr/local/bin/api",
            "ExecStart=/bin/sh -c 'exec /usr/local/bin/api >/dev/null'",
            "ExecStart=%h/.local/share/shipit/api/current/bin/api",
            "Type=notify\nExecStart=/usr/local/bin/api\n[X-Mine]\nA=b",
            "Type=oneshot\nExecStart=/bin/true\nExecStart=/usr/local/bin/api",
            "ExecStart=/bin/true\nExecStart=\nExecStart=/usr/local/bin/api",
            "ExecStart=/usr/local/bin/api\nEnvironmentFile=-/etc/other.conf",
        ] {
            assert_eq!(service(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn commands_that_systemd_refuses() {
        assert_eq!(
            service("Nice=5"),
            ["api.service:1: `api.service` has no `ExecStart=`, so systemd refuses it"]
        );
        assert_eq!(
            service("ExecStart=/bin/true\nExecStart=/usr/local/bin/api"),
            ["api.service:4: `ExecStart=` is given 2 times, which systemd only takes with `Type=oneshot`"]
        );
        assert_eq!(
            service("ExecStart=/usr/local/bin/api 'x"),
            ["api.service:3: this command line has a quote that never ends, so systemd refuses the unit"]
        );
        assert_eq!(
            service("ExecStart=-"),
            ["api.service:3: this command line names no program, so systemd refuses the unit"]
        );
        assert_eq!(
            service("ExecStart=./api"),
            ["api.service:3: `./api` is not an absolute path, so systemd refuses the unit"]
        );
        assert!(service("ExecStart=api")[0].contains("has no path"));
        assert!(service("ExecStart=/opt/api")[0].contains("is not the program this release brings"));
    }

    #[test]
    fn env_files_that_nothing_provides() {
        let unit = |line: &str| {
            let text = format!("[Service]\n{line}\nExecStart=/usr/local/bin/api\n{INSTALL}");
            problems(MANIFEST, &[("api.service", &text)]).join("; ")
        };
        assert_eq!(
            unit(""),
            "deploy.yaml:1: no unit of this release reads the env file, `/etc/default/api.conf` on the host"
        );
        assert!(
            unit("EnvironmentFile=/etc/default/apo.conf")
                .starts_with("api.service:2: nothing in this release provides `/etc/default/apo.conf`")
        );
        assert_eq!(unit("EnvironmentFile=/etc/default/%p.conf"), "");
        assert!(unit("EnvironmentFile=api.conf").contains("is not an absolute path"));
        let none = MANIFEST.replace("env_file: api.conf, ", "");
        let text = format!("[Service]\n{ENV}ExecStart=/usr/local/bin/api\n{INSTALL}");
        assert!(problems(&none, &[("api.service", &text)])[0].contains("nothing in this release provides"));
    }

    #[test]
    fn a_template_is_looked_at_as_one_of_its_instances() {
        let manifest =
            MANIFEST.replace("unit: api.service", "units: [{path: api@.service, instances: [blue]}]");
        let text = |line: &str| format!("[Service]\n{ENV}ExecStart={line}\n{INSTALL}");
        let found = |line: &str| problems(&manifest, &[("api@.service", &text(line))]);
        assert_eq!(found("/usr/local/bin/%p %i"), [""; 0]);
        assert!(
            found("/opt/api-%i")[0].contains("`/opt/api-blue` is not the program"),
            "{:?}",
            found("/opt/api-%i")
        );
        // Nobody starts one without instances, so nothing has to.
        let unused = MANIFEST.replace("unit: api.service", "units: [api@.service]");
        assert_eq!(
            problems(&unused, &[("api@.service", &text("/usr/local/bin/api").replace(INSTALL, ""))]),
            [""; 0]
        );
    }

    #[test]
    fn units_that_wait_for_each_other_are_an_error() {
        let manifest = MANIFEST.replace("unit: api.service", "units: [api.service, b.service]");
        let a = format!("[Unit]\nAfter=b.service\n[Service]\n{ENV}ExecStart=/usr/local/bin/api\n{INSTALL}");
        let b = a.replace("After=b", "After=x.service api");
        assert_eq!(
            problems(&manifest, &[("api.service", &a), ("b.service", &b)]),
            [
                "api.service:2: these units wait for each other, so systemd leaves one of them out: api.service after \
              b.service after api.service"
            ]
        );
    }

    #[test]
    fn user_units_that_think_they_are_the_systems() {
        let text = format!(
            "[Service]\n{ENV}User=me\nGroup=us\nExecStart=/usr/local/bin/api\n\
             [Install]\nWantedBy=x.target multi-user.target\n"
        );
        assert_eq!(
            problems(MANIFEST, &[("api.service", &text)]),
            [
                "api.service:3: `User=` does not work in a user unit: the user's systemd can't become somebody else",
                "api.service:4: `Group=` does not work in a user unit: the user's systemd can't become somebody else",
                "api.service:7: a user unit that is wanted by `multi-user.target` never starts at boot",
            ]
        );
        let system = MANIFEST.replace("name: api", "name: api, scope: system");
        assert_eq!(problems(&system, &[("api.service", &text)]), [""; 0]);
        let users = system.replace("unit: api.service", "units: [{path: api.service, scope: user}]");
        let found = problems(&users, &[("api.service", &text)]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(
            found[0],
            "api.service:2: `/etc/default/api.conf` is root's alone: the login user's systemd can't read it, and the \
             unit does not start"
        );
    }

    #[test]
    fn something_has_to_start_a_unit() {
        let text = format!("[Service]\n{ENV}ExecStart=/usr/local/bin/api\n");
        assert!(problems(MANIFEST, &[("api.service", &text)])[0].contains("does not start at boot"));
        let both = MANIFEST.replace("unit: api.service", "units: [api.service, api.timer]");
        let timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
        assert_eq!(problems(&both, &[("api.service", &text), ("api.timer", timer)]), [""; 0]);
        let other = timer.replace("[Install]", "Unit=other.service\n[Install]");
        assert!(
            problems(&both, &[("api.service", &text), ("api.timer", &other)])[0].contains("start at boot")
        );
    }

    #[test]
    fn sections_belong_to_a_type_of_unit() {
        assert!(
            problems(MANIFEST, &[("api.service", "# nothing\n")])[0].ends_with("`api.service` says nothing")
        );
        assert!(
            service("ExecStart=/usr/local/bin/api\n[Timer]")[0]
                .contains("a service unit has no section `[Timer]`")
        );
    }
}
