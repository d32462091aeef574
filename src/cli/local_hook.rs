//! Hooks on the operator's own machine: before a run is begun, and after it is over.
//!
//! They are no part of a host's plan, and nothing is drawn while they run: what they write goes straight to standard
//! error, as with a build step of a Makefile.
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::global::GlobalArgs;
use super::say::say;
use crate::manifest::{Environment, HookPoint, LocalHook, Manifest, first_line};
use crate::report::Verdict;
use crate::rollout::Outcome;
use crate::ssh::SECRET_VARIABLES;

/// How long a hook has to end once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How a hook ended.
enum Ended {
    By(ExitStatus),
    TimedOut,
    Interrupted,
}

/// Runs the hooks of `before_deploy`. The first one that fails ends the run.
pub(super) async fn before(
    manifest: &Manifest,
    environment: &Environment,
    global: &GlobalArgs,
) -> Result<(), CliError> {
    for hook in manifest.hooks.local_at(HookPoint::BeforeDeploy) {
        run(hook, manifest, environment, None, global).await?;
    }
    Ok(())
}

/// Runs the hooks that follow the verdict. What they do changes nothing of how the run ended.
pub(super) async fn after(
    manifest: &Manifest,
    environment: &Environment,
    outcomes: &[Outcome],
    global: &GlobalArgs,
) {
    let Some(worst) = outcomes.iter().map(Outcome::verdict).max() else { return };
    let deployed = outcomes.iter().any(|outcome| outcome.verdict() == Verdict::Deployed);
    let when = match (worst.is_failure(), deployed) {
        (true, _) => HookPoint::OnFailure,
        (false, true) => HookPoint::AfterDeploy,
        (false, false) => return,
    };
    let verdict = if worst.is_failure() { worst } else { Verdict::Deployed };
    for hook in manifest.hooks.local_at(when) {
        if let Err(error) = run(hook, manifest, environment, Some(verdict), global).await {
            say(&format!("warning: {error}; how the hosts ended is not changed by that"));
        }
    }
}

async fn run(
    hook: &LocalHook,
    manifest: &Manifest,
    environment: &Environment,
    verdict: Option<Verdict>,
    global: &GlobalArgs,
) -> Result<(), CliError> {
    let text = first_line(&hook.text);
    if !global.quiet {
        say(&format!("running the hook {}: {text}", hook.when.as_str()));
    }
    let failed = |end: String| CliError::Hook { when: hook.when, text: text.clone(), end };
    let mut command = Command::new("/bin/sh");
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
        .arg("-c")
        .arg(&hook.text)
        .env("SHIPIT_SERVICE", manifest.name.as_str())
        .env("SHIPIT_ENVIRONMENT", environment.name.as_str())
        .stdin(Stdio::null())
        // Standard output is for data.
        .stdout(if global.quiet { Stdio::null() } else { Stdio::from(io::stderr()) })
        // Of its own, so that all of it can be ended.
        .process_group(0);
    if let Some(verdict) = verdict {
        command.env("SHIPIT_VERDICT", verdict.as_str());
    }
    if !manifest.dir.as_os_str().is_empty() {
        command.current_dir(&manifest.dir);
    }
    let mut child = command.spawn().map_err(|error| failed(format!("it could not be started: {error}")))?;
    match wait(&mut child, hook.timeout).await {
        Ok(Ended::By(status)) if status.success() => Ok(()),
        Ok(Ended::By(status)) => Err(failed(format!("it ended with {status}"))),
        Ok(Ended::TimedOut) => {
            end_group(&mut child).await;
            Err(failed(format!(
                "it was still running after {} s, and was killed",
                hook.timeout.as_secs_f32()
            )))
        }
        Ok(Ended::Interrupted) => {
            end_group(&mut child).await;
            Err(CliError::InterruptedHook)
        }
        Err(error) => Err(failed(format!("it could not be waited for: {error}"))),
    }
}

async fn wait(child: &mut Child, timeout: Duration) -> io::Result<Ended> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::select! {
        status = child.wait() => status.map(Ended::By),
        () = tokio::time::sleep(timeout) => Ok(Ended::TimedOut),
        _ = interrupts.recv() => Ok(Ended::Interrupted),
        _ = terminations.recv() => Ok(Ended::Interrupted),
    }
}

/// Ends the hook and all that it started: asks first, then kills.
async fn end_group(child: &mut Child) {
    let Some(id) = child.id() else { return };
    for signal in ["TERM", "KILL"] {
        // The group outlives its leader; one that is gone is what is wanted.
        let _ = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$1\" -- \"-$2\" 2>/dev/null", "sh", signal, &id.to_string()])
            .status()
            .await;
        // What ignores the first one is killed by the second, even when its leader is gone.
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
}
