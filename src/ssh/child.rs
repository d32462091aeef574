//! The programs of this machine that shipit starts. None of them has a use for the secrets that were given to shipit in its
//! environment, so none inherits them: `git` runs hooks and filters, a ProxyCommand is any program.

use std::ffi::OsStr;
use std::process::Command;

use super::key_text::SECRET_VARIABLES;

/// A program to start, which inherits everything but [`SECRET_VARIABLES`]. For tokio there is `Command::from(child(..))`.
#[must_use]
pub fn child(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}
