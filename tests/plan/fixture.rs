//! A service in a folder of its own, and the facts of a host that runs it.
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use shipit::manifest::template::TemplateInputs;
use shipit::manifest::{Manifest, load};
use shipit::plan::{
    Access, Current, Edits, Elevation, Facts, FoundFile, FoundLink, FoundRelease, FoundUnit, Inputs, Layout,
    Libc, Lingering, LinkState, Manager, Operator, Plan, Position, Refusal, RemotePath, RootAccess, Standing,
    Sudo, Systemd, Unpacker, plan,
};
use shipit::release::{BinaryKind, Linkage, Machine, Release, ReleaseId, Sources};
use shipit::report::{Colour, PlanDetail, PlanStyle, write_plan};
use tempfile::TempDir;

const MANIFEST: &str = "\
name: api
binary: api
unit: api.service
env_file: api.conf
health: { http: 'http://localhost:8000/' }
keep_releases: 3
environments:
  prod: { hosts: [deploy@web1] }
";

const UNIT: &str = "\
[Service]
EnvironmentFile=/etc/default/api.conf
ExecStart=/usr/local/bin/api

[Install]
WantedBy=default.target
";

/// The files of a service, on this machine.
pub(crate) struct Service {
    folder: TempDir,
}

impl Service {
    pub(crate) fn new() -> Self {
        let service = Self { folder: TempDir::new().unwrap() };
        service.write("deploy.yaml", MANIFEST);
        service.write("api", "#!/bin/sh\nexec sleep 1d\n");
        service.write("api.service", UNIT);
        service.write("api.conf", "PLACE=North Carolina\nTOKEN=hunter2\n");
        service
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn symlink(&self, target: &str, name: &str) {
        std::os::unix::fs::symlink(target, self.folder.path().join(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn manifest(&self) -> Manifest {
        load(&self.folder.path().join("deploy.yaml")).unwrap().manifest
    }

    /// The release, with its script taken for an ELF file: what `/proc/PID/exe` proves is a matter of those only.
    pub(crate) fn release(&self) -> Release {
        let manifest = self.manifest();
        let environment = manifest.environment(None).unwrap();
        let sources = Sources::open(&manifest).unwrap();
        let host = &environment.hosts[0];
        let inputs = TemplateInputs::offline(&manifest, environment, host, None);
        let mut release = sources.release(&manifest, environment, host, &inputs).unwrap();
        release.binary = Some(elf(Machine::X86_64, None));
        release
    }

    pub(crate) fn plan(&self, facts: &Facts) -> Result<Plan, Vec<Refusal>> {
        self.plan_for(facts, Operator::Absent)
    }

    pub(crate) fn plan_for(&self, facts: &Facts, operator: Operator) -> Result<Plan, Vec<Refusal>> {
        self.plan_of(&self.release(), facts, operator)
    }

    pub(crate) fn plan_at(
        &self,
        facts: &Facts,
        operator: Operator,
        position: Position,
    ) -> Result<Plan, Vec<Refusal>> {
        self.plan_in(&self.release(), facts, operator, position)
    }

    pub(crate) fn plan_of(
        &self,
        release: &Release,
        facts: &Facts,
        operator: Operator,
    ) -> Result<Plan, Vec<Refusal>> {
        self.plan_in(release, facts, operator, Position::First)
    }

    fn plan_in(
        &self,
        release: &Release,
        facts: &Facts,
        operator: Operator,
        position: Position,
    ) -> Result<Plan, Vec<Refusal>> {
        let manifest = self.manifest();
        let host = manifest.environment(None).unwrap().hosts[0].address.clone();
        let now = time("2026-11-20T03:00:00Z");
        let edits = Edits::Respect;
        plan(&Inputs { manifest: &manifest, host: &host, release, facts, now, operator, position, edits })
    }

    /// A host that nothing was ever deployed to.
    pub(crate) fn fresh_host(&self) -> Facts {
        let links = Layout::links(&self.manifest());
        let access = |path: &str| if path.starts_with("~/") { Access::Direct } else { Access::Root };
        Facts {
            users_units: Default::default(),
            service_user: None,
            prepared: Default::default(),
            copies: Vec::new(),
            home: RemotePath::new("/home/deploy").unwrap(),
            user: "deploy".to_owned(),
            uid: 1000,
            hostname: "web1".to_owned(),
            kernel: "Linux".to_owned(),
            machine: "x86_64".to_owned(),
            libc: Libc::Glibc("2.36".parse().unwrap()),
            systemd: Systemd::Running(252),
            manager: Manager::Answers("running".to_owned()),
            lingering: Lingering::On,
            sudo: Sudo::Passwordless,
            elevation: Elevation::Sudo,
            root_access: RootAccess::Writable,
            free_bytes: Some(1 << 30),
            free_inodes: Some(100_000),
            current: Current::Nothing,
            pending: None,
            record: None,
            files: Default::default(),
            symlinks: Default::default(),
            folders: Default::default(),
            unpacker: Unpacker::Tar,
            texts: Default::default(),
            releases: Vec::new(),
            history: Default::default(),
            lock: Default::default(),
            freeze: Default::default(),
            units: Default::default(),
            links: links
                .into_iter()
                .map(|link| FoundLink {
                    access: access(link.path.as_str()),
                    path: link.path,
                    state: LinkState::Missing,
                })
                .collect(),
        }
    }

    /// A host that runs the service as its files are now.
    pub(crate) fn deployed_host(&self) -> Facts {
        let release = self.release();
        let id = ReleaseId::new(time("2026-11-19T12:00:00Z"), &release.digest);
        let mut facts = self.fresh_host();
        facts.sudo = Sudo::NotNeeded;
        for artifact in &release.artifacts {
            let found =
                FoundFile { sha256: artifact.sha256, mode: artifact.mode.bits(), size: artifact.size };
            facts.files.insert(artifact.path.to_string(), found);
            if let Some(text) = artifact.text() {
                facts.texts.insert(artifact.path.to_string(), text.to_owned());
            }
        }
        for link in &release.skeleton.symlinks {
            facts.symlinks.insert(link.path.to_string(), link.target.to_string());
        }
        facts.folders = release.skeleton.folders.iter().map(ToString::to_string).collect();
        let root = Layout::new(&facts.home, &self.manifest()).root().clone();
        for (found, wanted) in facts.links.iter_mut().zip(Layout::links(&self.manifest())) {
            found.state = LinkState::Symlink(root.join(&wanted.target).to_string());
        }
        let unit = FoundUnit {
            load_state: "loaded".to_owned(),
            active_state: "active".to_owned(),
            sub_state: "running".to_owned(),
            unit_file_state: "enabled".to_owned(),
            executable: release.binary_hash(),
            ..FoundUnit::default()
        };
        facts.units.insert("api.service".parse().unwrap(), unit);
        facts.releases.push(FoundRelease::new(id.clone(), Standing::Good));
        facts.current = Current::Release(id);
        facts
    }
}

pub(crate) fn elf(machine: Machine, glibc: Option<&str>) -> BinaryKind {
    let interpreter = Path::new("/lib64/ld-linux-x86-64.so.2").display().to_string();
    BinaryKind::Elf {
        machine,
        glibc: glibc.map(|version| version.parse().unwrap()),
        linkage: Linkage::Dynamic { interpreter },
    }
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The plan as `shipit plan` shows it.
pub(crate) fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    write_plan(&mut text, plan, PlanStyle { detail: PlanDetail::Full, colour: Colour::Off }).unwrap();
    text
}

/// The names of the plan's steps.
pub(crate) fn steps(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(shipit::plan::Step::name).collect()
}
