//! What a plan wants to know about a release's contents.
use super::BinaryKind;
use super::artifact::{Artifact, Content, Role};
use super::digest::Sha256Digest;
use super::sources::Release;
use crate::manifest::exec::{ExecCommand, resolve_specifiers};
use crate::manifest::{Scope, UnitFile, UnitKind, UnitName, binary_link};

impl Release {
    /// The hash of the binary, if the release has one.
    #[must_use]
    pub fn binary_hash(&self) -> Option<Sha256Digest> {
        self.artifacts.iter().find(|artifact| artifact.role == Role::Binary).map(|artifact| artifact.sha256)
    }

    /// Whether the unit says when it is to be started, so that enabling it means something (systemd.unit(5),
    /// "\[Install\] Section Options").
    #[must_use]
    pub fn wants_enabling(&self, unit: &UnitName) -> bool {
        const INSTALLS: [&str; 4] = ["WantedBy", "RequiredBy", "UpheldBy", "Alias"];
        self.unit(unit).is_some_and(|unit| INSTALLS.iter().any(|key| !unit.values("Install", key).is_empty()))
    }

    /// Whether what runs as the unit's main process is the release's own binary, so that `/proc/PID/exe` can prove it.
    /// Not so for a script, whose process is its interpreter.
    #[must_use]
    pub fn runs_binary(&self, unit: &UnitName) -> bool {
        if !matches!(self.binary, Some(BinaryKind::Elf { .. })) {
            return false;
        }
        let linked = binary_link(&self.service);
        let starts = self.unit(unit).and_then(|file| file.value("Service", "ExecStart"));
        starts.is_some_and(|start| {
            ExecCommand::parse(&start.value, unit, Scope::User).is_ok_and(|command| command.program == linked)
        })
    }

    /// Whether the unit waits for another one of the release, a timer, a socket or a path, to have it run: `Unit=` or
    /// `Service=` names it, or they are called alike. One that is also started at boot does not wait.
    #[must_use]
    pub fn waits_for_trigger(&self, unit: &UnitName) -> bool {
        let triggers = self.started.iter().any(|(name, file)| {
            let (section, key) = match name.kind() {
                UnitKind::Timer => ("Timer", "Unit"),
                UnitKind::Path => ("Path", "Unit"),
                UnitKind::Socket => ("Socket", "Service"),
                _ => return false,
            };
            match file.value(section, key) {
                Some(entry) => resolve_specifiers(&entry.value, name, Scope::User) == unit.as_str(),
                None => unit.kind() == UnitKind::Service && unit.stem() == name.stem(),
            }
        });
        triggers && !self.wants_enabling(unit)
    }

    /// Whether the unit does its work and ends.
    #[must_use]
    pub fn is_oneshot(&self, unit: &UnitName) -> bool {
        let kind = self.unit(unit).and_then(|file| file.value("Service", "Type"));
        kind.is_some_and(|entry| entry.value == "oneshot")
    }

    fn unit(&self, name: &UnitName) -> Option<&UnitFile> {
        self.started.iter().find(|(unit, _)| unit == name).map(|(_, file)| file)
    }
}

impl Artifact {
    /// The text of a unit or an env file.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(bytes) => std::str::from_utf8(bytes).ok(),
            Content::File { .. } => None,
        }
    }
}
