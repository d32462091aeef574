//! A home directory with configuration files, and what the two readers make of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use shipit::ssh::config::{ConfigError, Files, Found, Login, Reader, SshConfig};
use tempfile::TempDir;

/// Says so, where there is no ssh to compare with.
pub(crate) fn ssh_is_there() -> bool {
    let there = Command::new("ssh").arg("-V").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: needs ssh (apt-get install openssh-client)");
    }
    there
}

pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file below `.ssh`, as nobody else may write it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(".ssh").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    pub(crate) fn config(&self, files: Files, reader: Reader) -> SshConfig {
        SshConfig::new(files, reader, self.path())
    }
}

pub(crate) fn host(name: &str) -> Login {
    Login { host: name.to_owned(), user: None, port: None }
}

pub(crate) fn find(config: &SshConfig, login: &Login) -> Result<Arc<Found>, ConfigError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(config.find(login))
}
