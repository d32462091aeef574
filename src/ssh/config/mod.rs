//! What ssh_config(5) says about a host.
//!
//! Where ssh is installed it is asked, once a host: `ssh -G` knows its own configuration best, `Match`
//! and all. Where it is not, our own reader takes the part of the language that needs no running of programs, and
//! refuses the rest with file and line. Both come to the same [`HostConfig`], which a test holds them to.
//!
//! The home directory is that of `HOME`, as for everything else in shipit. ssh goes by the user database; where the two
//! differ, ssh is handed the configuration of `HOME`.
//!
//! | file | idea |
//! | --- | --- |
//! | `client`, `dump` | asking ssh, and reading its answer |
//! | `file`, `words`, `include` | our own reader |
//! | `login`, `keyword`, `value`, `jump`, `settings` | what both have in common |
//! | `expand`, `host_config` | from what is set to what it comes to |
//! | `error` | what can be wrong |

mod client;
mod dump;
mod error;
mod expand;
mod file;
mod host_config;
mod include;
mod jump;
mod keyword;
mod login;
mod not_followed;
mod settings;
mod value;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use self::client::Client;
use self::expand::Machine;

#[cfg(any(test, fuzzing))]
pub(super) use self::dump::read_dump;
pub use self::error::{ConfigError, ConfigProblem};
#[cfg(any(test, fuzzing))]
pub(super) use self::file::read_text;
pub use self::host_config::{
    AddressFamily, HostConfig, IdentityAgent, ProxySetting, StrictHostKeyChecking, UpdateHostKeys,
};
pub use self::keyword::Keyword;
pub use self::login::Login;
pub use self::not_followed::NotFollowed;

/// Which files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// `~/.ssh/config`, then `/etc/ssh/ssh_config`.
    Usual,
    /// This one only, as with `ssh -F`.
    Only(PathBuf),
    /// None.
    None,
}

/// Who reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// ssh where it is installed, and we ourselves where it is not.
    Ssh,
    /// We ourselves.
    Own,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What to do.
    pub config: HostConfig,
    /// What of it comes from the files. Something that is set to its default may be missing.
    pub configured: BTreeSet<Keyword>,
}

/// The configuration, read once for each host of a run.
#[derive(Debug)]
pub struct SshConfig {
    files: Files,
    reader: Reader,
    home: PathBuf,
    client: OnceCell<Option<Client>>,
    found: Mutex<HashMap<Login, Arc<OnceCell<Arc<Found>>>>>,
}

impl SshConfig {
    /// That of the user whose home directory is `home`.
    #[must_use]
    pub fn new(files: Files, reader: Reader, home: &Path) -> Self {
        let home = home.to_owned();
        Self { files, reader, home, client: OnceCell::new(), found: Mutex::default() }
    }

    /// How to reach a host.
    ///
    /// # Errors
    /// When the configuration can't be read, or asks for something that can't be done.
    pub async fn find(&self, login: &Login) -> Result<Arc<Found>, ConfigError> {
        let cell = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(found.entry(login.clone()).or_default())
        };
        let found = cell.get_or_try_init(|| async { Ok(Arc::new(self.read(login).await?)) }).await?;
        Ok(Arc::clone(found))
    }

    /// Whether ssh reads the files.
    pub async fn asks_ssh(&self) -> bool {
        self.client().await.is_some()
    }

    async fn client(&self) -> Option<&Client> {
        let find = || async {
            match self.reader {
                Reader::Ssh => Client::find(&self.home).await,
                Reader::Own => None,
            }
        };
        self.client.get_or_init(find).await.as_ref()
    }

    async fn read(&self, login: &Login) -> Result<Found, ConfigError> {
        let client = self.client().await;
        let local_user = client.and_then(Client::user).map(str::to_owned).or_else(Machine::local_user);
        let machine = Machine { home: self.home.clone(), user: local_user };
        let settings = match client {
            Some(client) => client.settings(&self.files, login).await?,
            None => file::settings(&self.files, login, &machine)?,
        };
        let config = HostConfig::new(&settings, login, &machine)?;
        let from_files = |keyword: &Keyword| match keyword {
            Keyword::HostName => config.hostname != login.host.to_ascii_lowercase(),
            Keyword::User => login.user.is_none() && Some(&config.user) != machine.user.as_ref(),
            Keyword::Port => login.port.is_none() && config.port != 22,
            Keyword::UpdateHostKeys => config.update_host_keys != UpdateHostKeys::Yes,
            _ => true,
        };
        let configured = settings.keywords().filter(from_files).collect();
        Ok(Found { config, configured })
    }
}
