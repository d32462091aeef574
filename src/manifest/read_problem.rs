//! What can be wrong with the manifest itself.
use thiserror::Error;

use super::address::AddressError;
use super::duration::DurationError;
use super::files::{EntryPathError, GlobError, HostPathError};
use super::health::TcpAddressError;
use super::http_url::UrlError;
use super::name::NameError;
use super::problem::Severity;
use super::service_root::ServiceRootError;

/// A problem of `deploy.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// The text is no YAML.
    #[error("this is not YAML: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
    },
    /// There is more than one document.
    #[error("the file has more than one YAML document")]
    SecondDocument,
    /// It unfolds into too many values.
    #[error("the file has more than {max} values, counting what its aliases repeat")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// A tag other than `!!str`.
    #[error("YAML tags are not supported")]
    Tag,
    /// A merge key.
    #[error("merge keys (`<<`) are not supported")]
    MergeKey,
    /// A list or a map as a key.
    #[error("a key has to be plain text")]
    KeyNotScalar,
    /// The same key twice in a map.
    #[error("the key `{}` is given twice", key.escape_debug())]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that means nothing here.
    #[error("there is no key `{}` in {place}", key.escape_debug())]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands, in words.
        place: &'static str,
    },
    /// A key that has to be there is not.
    #[error("{place} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// Where it is missing, in words.
        place: String,
    },
    /// A list where a text should be, and the like.
    #[error("`{key}` has to be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should be, with its article.
        expected: &'static str,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A word that is none of the known ones.
    #[error("`{key}` can't be `{}`", value.escape_debug())]
    UnknownValue {
        /// The key.
        key: &'static str,
        /// The word.
        value: String,
    },
    /// A name that can't be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A folder that can't hold a service's releases.
    #[error("this can't be the `root` of a service: {0}")]
    Root(ServiceRootError),
    /// A host that can't be reached under what is written.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A duration that is none.
    #[error("`{key}`: {error}")]
    Duration {
        /// The key.
        key: &'static str,
        /// What is wrong.
        error: DurationError,
    },
    /// A host would go back before the client could give its word.
    #[error("`confirm_timeout` is too short: the host would go back while the deploy is still being checked")]
    ConfirmTooShort,
    /// A URL that is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The address of a TCP check that is none.
    #[error(transparent)]
    Tcp(#[from] TcpAddressError),
    /// A header that can't be sent.
    #[error("this can't be the {part} of a header")]
    Header {
        /// Its name or its value.
        part: &'static str,
    },
    /// A path that can't be one.
    #[error("`{key}` is not the path of a file: it {reason}")]
    Path {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A service user for a service that runs as the login user.
    #[error("`user` is for a service of the system's: a user's own services run as that user")]
    UserNeedsSystem,
    /// Two keys that exclude each other.
    #[error("`{first}` and `{second}` can't both be given")]
    Conflict {
        /// One key.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A hook where it can't run.
    #[error("a hook with `{place}` can't be in `{when}`")]
    MisplacedHook {
        /// `local` or `run`.
        place: &'static str,
        /// The list it is in.
        when: &'static str,
    },
    /// A list without entries.
    #[error("{what} is empty")]
    EmptyList {
        /// Which list, in words.
        what: String,
    },
    /// One host twice in an environment.
    #[error("the host `{host}` is in environment `{environment}` twice")]
    DuplicateHost {
        /// The host.
        host: String,
        /// The environment.
        environment: String,
    },
    /// `instances` of a unit that is no template.
    #[error("`{unit}` has no `@`, so there are no instances of it")]
    InstancesOfNoTemplate {
        /// The unit.
        unit: String,
    },
    /// A drop-in for a unit that the manifest does not have.
    #[error("there is no unit `{unit}` in the manifest for this drop-in")]
    DropInOfNothing {
        /// The unit.
        unit: String,
    },
    /// Two unit files that bring the same unit.
    #[error("two files bring the unit `{unit}`")]
    DuplicateUnit {
        /// The unit.
        unit: String,
    },
    /// A place in a release that is none, or is taken.
    #[error("`{key}` can't be a place in the release: {error}")]
    EntryPath {
        /// The key that says so.
        key: &'static str,
        /// What is wrong.
        error: EntryPathError,
    },
    /// Two entries at the same place.
    #[error("two entries of `files` have the path `{path}`")]
    DuplicatePath {
        /// The path.
        path: String,
    },
    /// A place on a host that is none.
    #[error(transparent)]
    HostPath(#[from] HostPathError),
    /// Two entries for the same place outside of the release.
    #[error("two entries of `files` bring a file to `{path}`")]
    DuplicatePlace {
        /// Where.
        path: String,
    },
    /// A file for a place where shipit puts another one of the service's.
    #[error("`{path}` is where `{key}` is linked from")]
    TakenPlace {
        /// Where.
        path: String,
        /// Of what.
        key: &'static str,
    },
    /// Something that runs no program of the service's gets a secret.
    #[error("`{unit}` is no service: it can't have credentials")]
    CredentialsOfNoService {
        /// Which.
        unit: String,
    },
    /// Credentials are files of a release, which is root's.
    #[error("`{unit}` is the login user's: it can't read credentials of a service with `scope: system`")]
    CredentialsOfUsersUnit {
        /// Which.
        unit: String,
    },
    /// A unit that root's systemd would run, in a release that an ordinary user may change.
    #[error(
        "`{unit}` can't be the system's: the service's releases are the login user's, who would be root by it"
    )]
    SystemUnitOfUser {
        /// Which.
        unit: String,
    },
    /// A file that is to be linked and copied.
    #[error("an entry of `files` has both `link` and `install`")]
    LinkAndInstall,
    /// A link to a file that its reader would want to be root's.
    #[error("{program} passes over `{link}`, because the file that it links to is not root's")]
    LinkForRootOnly {
        /// Who reads it.
        program: &'static str,
        /// Where.
        link: String,
    },
    /// A pattern that is none.
    #[error(transparent)]
    Glob(#[from] GlobError),
    /// A number that has to be at least 1.
    #[error("`{key}` is a whole number from 1 to {max}, not {}", value.escape_debug())]
    NotACount {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// The largest allowed.
        max: u32,
    },
    /// A variable with a name that templates have for something else.
    #[error("a variable can't be called `{name}`: in templates this is {meaning}")]
    ReservedVar {
        /// The name.
        name: String,
        /// What it means.
        meaning: &'static str,
    },
    /// A key of a host that can't be one.
    #[error("this is not a line of known_hosts: {reason}")]
    HostKey {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A variable that no template uses.
    #[error("no template uses the variable `{name}`")]
    UnusedVar {
        /// The name.
        name: String,
    },
    /// A secret that nothing uses.
    #[error("nothing uses the secret `{name}`")]
    UnusedSecret {
        /// The name.
        name: String,
    },
    /// A text where it should be said where a secret comes from: it may be the secret.
    #[error("the secret `{}` may stand here itself, in place of where it comes from", name.escape_debug())]
    SecretInManifest {
        /// The name.
        name: String,
    },
}

impl ManifestProblem {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::UnusedVar { .. } | Self::UnusedSecret { .. } | Self::LinkForRootOnly { .. } => {
                Severity::Warning
            }
            _ => Severity::Error,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "syntax",
            Self::SecondDocument => "second_document",
            Self::TooLarge { .. } => "too_large",
            Self::Tag => "tag",
            Self::MergeKey => "merge_key",
            Self::KeyNotScalar => "key_not_scalar",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::UnknownKey { .. } => "unknown_key",
            Self::MissingKey { .. } => "missing_key",
            Self::WrongType { .. } => "wrong_type",
            Self::UnknownValue { .. } => "unknown_value",
            Self::Name(_) => "name",
            Self::Root(_) => "root",
            Self::Address(_) => "address",
            Self::Duration { .. } => "duration",
            Self::ConfirmTooShort => "confirm_too_short",
            Self::Url(_) => "url",
            Self::Tcp(_) => "tcp",
            Self::Header { .. } => "header",
            Self::Path { .. } => "path",
            Self::UserNeedsSystem => "user_needs_system",
            Self::Conflict { .. } => "conflict",
            Self::MisplacedHook { .. } => "misplaced_hook",
            Self::EmptyList { .. } => "empty_list",
            Self::DuplicateHost { .. } => "duplicate_host",
            Self::InstancesOfNoTemplate { .. } => "instances_of_no_template",
            Self::DropInOfNothing { .. } => "drop_in_of_nothing",
            Self::DuplicateUnit { .. } => "duplicate_unit",
            Self::EntryPath { .. } => "entry_path",
            Self::DuplicatePath { .. } => "duplicate_path",
            Self::HostPath(_) => "host_path",
            Self::TakenPlace { .. } => "taken_place",
            Self::DuplicatePlace { .. } => "duplicate_place",
            Self::CredentialsOfNoService { .. } => "credentials_of_no_service",
            Self::CredentialsOfUsersUnit { .. } => "credentials_of_users_unit",
            Self::SystemUnitOfUser { .. } => "system_unit_of_user",
            Self::LinkAndInstall => "link_and_install",
            Self::LinkForRootOnly { .. } => "link_for_root_only",
            Self::Glob(_) => "glob",
            Self::NotACount { .. } => "not_a_count",
            Self::ReservedVar { .. } => "reserved_var",
            Self::HostKey { .. } => "known_hosts",
            Self::UnusedVar { .. } => "unused_var",
            Self::UnusedSecret { .. } => "unused_secret",
            Self::SecretInManifest { .. } => "secret_in_manifest",
        }
    }
}
