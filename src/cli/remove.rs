//! `shipit remove`: takes a service away from the hosts of an environment.
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio::sync::Mutex;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs};
use super::inspect::{Answer, inspect};
use super::prompt::Asker;
use super::selection;
use crate::host::{Extent, Removal, RootFolder, probe, remove as remove_from};
use crate::manifest::{UnitName, first_line};
use crate::plan::Sudo;
use crate::rollout::{HostError, Purpose, SudoPrompt, give_password};

/// Take the service away from the hosts of an environment: units, links, releases, history
///
/// Its units are stopped and disabled, the links that lead to it are removed, files that `install` has put elsewhere give way to what
/// stood there before them, those who read its files are told (`on_change`), and the folder with its releases, env files and history
/// goes. What the service has written elsewhere stays, and so does the user that it ran as. There is no way back but
/// another deploy.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Go ahead without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// One host's answer.
#[derive(Debug, Serialize)]
#[serde(tag = "remove", rename_all = "snake_case")]
enum Answered {
    Removed { units: Vec<UnitName>, links: usize, told: Vec<String>, root: String, folder: RootFolder },
    Absent,
}

impl Answer for Answered {
    fn text(&self) -> String {
        match self {
            Self::Removed { units, links, told, root, folder } => {
                let names: Vec<&str> = units.iter().map(UnitName::as_str).collect();
                let stopped =
                    if names.is_empty() { String::new() } else { format!(", stopped {}", names.join(", ")) };
                let links = if *links == 1 { "1 link".to_owned() } else { format!("{links} links") };
                let told: String =
                    told.iter().map(|text| format!(", told of it: {}", first_line(text))).collect();
                let but = match folder {
                    RootFolder::Removed => "",
                    RootFolder::Kept => " (but for what in it is not shipit's)",
                };
                format!("removed {root}{but} and {links}{stopped}{told}\n")
            }
            Self::Absent => "was not deployed: nothing to remove\n".to_owned(),
        }
    }
}

/// Runs the command.
pub(super) async fn remove(args: &RemoveArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    let hosts = selection::hosts(environment, &args.connect)?;
    if !args.yes {
        let names: Vec<String> = hosts.iter().map(|host| host.address.to_string()).collect();
        let asker = Asker::new(global);
        if !asker.sits_at_a_terminal() {
            return Err(CliError::UnconfirmedRemoval { service: manifest.name.to_string() });
        }
        let question = format!(
            "Remove {} with all its releases and its history from {}?",
            manifest.name,
            names.join(", ")
        );
        let asked = tokio::task::spawn_blocking(move || asker.confirm(&question)).await;
        if !asked.unwrap_or(false) {
            return Err(CliError::Declined);
        }
    }
    let asker = Arc::new(Asker::new(global));
    let prompt: Arc<dyn SudoPrompt> = asker.clone();
    let known = Mutex::new(None);
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Change), async |session, host| {
        let facts = probe(session, &manifest, Extent::Removal).await?;
        session.elevate(facts.elevation);
        if matches!(facts.sudo, Sudo::Refused(_)) && asker.sits_at_a_terminal() {
            give_password(session, host, facts.elevation, &prompt, &known).await?;
        }
        match remove_from(session, &manifest, &environment.name, host).await? {
            Removal::Removed { units, links, told, root, folder } => {
                Ok(Answered::Removed { units, links, told, root, folder })
            }
            Removal::Absent => Ok(Answered::Absent),
            Removal::Held(holder) => Err(HostError::Locked(holder)),
            Removal::Frozen(holder) => Err(HostError::Frozen(holder)),
            Removal::Pending(Some(run)) => Err(HostError::UnderWay(run)),
            Removal::Pending(None) => Err(HostError::Locked(None)),
        }
    })
    .await
}
