//! `shipit deploy`: brings every host of an environment to the release that the manifest describes.
use clap::Args;

use super::change::{Aim, Change, Consent, carry_out};
use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, EditArgs, GlobalArgs, ManifestArgs, WaitArgs};
use super::secret_values::Secrets;
use super::selection;
use crate::report::Command;

/// Deploy to every host of an environment
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
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
pub(super) async fn deploy(args: &DeployArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?.clone();
    let consent = Consent::of(&environment, args.yes, Command::Deploy, global)?;
    let hosts = selection::hosts(&environment, &args.connect)?;
    // Before the hooks: what they print is to be known for what it is.
    let secrets = Secrets::read(&manifest, &environment, &hosts, global).await?;
    let change = Change {
        manifest,
        environment,
        hosts,
        aim: Aim::Deploy,
        consent,
        secrets,
        edits: args.edits.edits(),
        wait: &args.wait,
        connect: &args.connect,
    };
    carry_out(change, global).await
}
