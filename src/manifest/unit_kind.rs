//! The types of systemd units, and what the parts of a unit's name mean.
use super::name::UnitName;

/// The types of unit that a file can bring (systemd.unit(5)); devices and scopes only exist at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnitKind {
    /// A program that runs.
    Service,
    /// A socket or FIFO that starts a service when something arrives.
    Socket,
    /// A clock that starts a unit.
    Timer,
    /// A watched path that starts a unit.
    Path,
    /// A group of units, a point to reach.
    Target,
    /// A mounted file system.
    Mount,
    /// A file system mounted on first use.
    Automount,
    /// Swap space.
    Swap,
    /// A group of processes with shared limits.
    Slice,
}

impl UnitKind {
    const ALL: [Self; 9] = [
        Self::Service,
        Self::Socket,
        Self::Timer,
        Self::Path,
        Self::Target,
        Self::Mount,
        Self::Automount,
        Self::Swap,
        Self::Slice,
    ];
    pub(super) const SUFFIXES: &str =
        ".service, .socket, .timer, .path, .target, .mount, .automount, .swap, .slice";

    /// The ending of its units' names, without the dot; also the lower-case name of its section.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Socket => "socket",
            Self::Timer => "timer",
            Self::Path => "path",
            Self::Target => "target",
            Self::Mount => "mount",
            Self::Automount => "automount",
            Self::Swap => "swap",
            Self::Slice => "slice",
        }
    }

    /// The section of a unit file that is this type's own; a target has none.
    #[must_use]
    pub fn section(self) -> Option<&'static str> {
        match self {
            Self::Service => Some("Service"),
            Self::Socket => Some("Socket"),
            Self::Timer => Some("Timer"),
            Self::Path => Some("Path"),
            Self::Target => None,
            Self::Mount => Some("Mount"),
            Self::Automount => Some("Automount"),
            Self::Swap => Some("Swap"),
            Self::Slice => Some("Slice"),
        }
    }

    /// Whether its units have others run, when their time has come or something arrives.
    #[must_use]
    pub fn triggers(self) -> bool {
        match self {
            Self::Socket | Self::Timer | Self::Path | Self::Automount => true,
            Self::Service | Self::Target | Self::Mount | Self::Swap | Self::Slice => false,
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        let (prefix, suffix) = name.rsplit_once('.')?;
        if prefix.is_empty() || prefix.starts_with('@') {
            return None;
        }
        Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)
    }
}

impl UnitName {
    /// The type of the unit.
    #[must_use]
    pub fn kind(&self) -> UnitKind {
        // The name was checked to have one when it was made.
        UnitKind::of(self.as_str()).unwrap_or(UnitKind::Service)
    }

    /// The name without its type: `simple_api` of `simple_api.service`, `worker@2` of `worker@2.service`.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.as_str().rsplit_once('.').map_or(self.as_str(), |(stem, _)| stem)
    }

    /// The part before an `@`, or all of the stem: systemd's `%p`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.stem().split_once('@').map_or(self.stem(), |(prefix, _)| prefix)
    }

    /// What stands between `@` and the type: systemd's `%i`. Empty in a template such as `worker@.service`.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance)
    }

    /// The unit whose file it is made from: `worker@.service` for `worker@2.service`, and itself for others.
    #[must_use]
    pub fn file(&self) -> Self {
        match self.instance() {
            Some(_) => Self(format!("{}@.{}", self.prefix(), self.kind().suffix())),
            None => self.clone(),
        }
    }

    /// Whether it is a template, which cannot be started without an instance.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.instance() == Some("")
    }
}
