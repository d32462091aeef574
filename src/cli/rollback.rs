//! `shipit rollback`: brings every host of an environment back to a release that is on it already.
use clap::Args;

use super::change::{Aim, Change, Consent, carry_out};
use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, EditArgs, GlobalArgs, ManifestArgs, WaitArgs};
use super::secret_values::Secrets;
use super::selection;
use crate::plan::Destination;
use crate::report::Command;

/// Go back to the release before, on every host of an environment
///
/// By the same transaction as a deploy: the files of the release are checked against their SHA-256, the service is
/// restarted and watched, and the host returns to where it was when that fails. Only the manifest is read: nothing
/// has to be built.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// The release to go to, or the beginning of its id; without it, the newest good one that is older than the current
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Go ahead without asking, where the environment says `confirm: true`
    #[arg(short, long)]
    pub yes: bool,
    /// What to do while others are at work.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// What to do about what was changed by hand.
    #[command(flatten)]
    pub(crate) edits: EditArgs,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn rollback(args: &RollbackArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?.clone();
    let consent = Consent::of(&environment, args.yes, Command::Rollback, global)?;
    let destination = args.to.clone().map_or(Destination::Before, Destination::Named);
    let hosts = selection::hosts(&environment, &args.connect)?;
    Secrets::hide_what_is_at_hand(&environment, &hosts, global);
    let change = Change {
        manifest,
        environment,
        hosts,
        aim: Aim::Rollback(destination),
        consent,
        secrets: Secrets::default(),
        edits: args.edits.edits(),
        wait: &args.wait,
        connect: &args.connect,
    };
    carry_out(change, global).await
}
