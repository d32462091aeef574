//! `shipit lock` and `shipit unlock`: people keep an environment as it is, for longer than any connection lasts.
use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs};
use super::inspect::{Answer, inspect};
use super::provenance;
use super::selection;
use crate::host::{Freeze, Frozen, Lift, freeze, lift};
use crate::plan::Holder;
use crate::rollout::{Purpose, held_by};

/// Freeze an environment: nobody deploys to it or rolls it back until `shipit unlock`
///
/// The freeze is a file on each host. It outlasts this command, its connection and a reboot, on purpose. A run that is
/// under way is not stopped.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Why, for those who find it frozen
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Lift the freeze of an environment, whoever ordered it
#[derive(Debug, Args)]
pub(super) struct UnlockArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What became of a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Frozen,
    AlreadyFrozen,
    Lifted,
    NotFrozen,
}

/// One host's answer to either command.
#[derive(Debug, Serialize)]
struct Answered {
    freeze: Change,
    /// Whose it is, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    /// Who is at work all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_work: Option<Holder>,
}

impl Answer for Answered {
    fn text(&self) -> String {
        let by = held_by(self.holder.as_ref());
        let mut text = match self.freeze {
            Change::Frozen => {
                "frozen: no deploy and no rollback until `shipit unlock`, however long that is\n".to_owned()
            }
            Change::AlreadyFrozen => format!("already frozen{by}; that freeze stays as it is\n"),
            Change::Lifted => format!("lifted the freeze{by}\n"),
            Change::NotFrozen => "was not frozen\n".to_owned(),
        };
        if let Some(holder) = &self.at_work {
            text.push_str(&format!("  a run is under way, and goes on: locked{}\n", held_by(Some(holder))));
        }
        text
    }
}

/// Runs `shipit lock`.
pub(super) async fn lock(args: &LockArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let holder = provenance::holder("freeze", args.message.clone());
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Change), async |session, _host| {
        let Frozen { freeze, at_work } = freeze(session, &manifest.root_on_host(), &holder).await?;
        Ok(match freeze {
            Freeze::Made => Answered { freeze: Change::Frozen, holder: Some(holder.clone()), at_work },
            Freeze::There(holder) => Answered { freeze: Change::AlreadyFrozen, holder, at_work },
        })
    })
    .await
}

/// Runs `shipit unlock`.
pub(super) async fn unlock(args: &UnlockArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Change), async |session, _host| {
        Ok(match lift(session, &manifest.root_on_host()).await? {
            Lift::Lifted(holder) => Answered { freeze: Change::Lifted, holder, at_work: None },
            Lift::NotFrozen => Answered { freeze: Change::NotFrozen, holder: None, at_work: None },
        })
    })
    .await
}
