//! Hooks on the operator's own machine: before any host is connected to, and once the hosts are done with.
//!
//! They are no part of a host's plan. What they write is told of line by line, as what hooks on hosts write is.
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::hook_output::HookOutput;
use super::run::Run;
use crate::manifest::{Environment, HookPoint, LocalHook, Manifest, SecretSource, first_line};
use crate::report::{EventKind, Verdict};
use crate::rollout::Outcome;
use crate::ssh;

/// How long a hook has to end once it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How a hook ended.
enum Ended {
    By(ExitStatus),
    TimedOut,
    Interrupted,
}

/// Why a hook did not succeed.
enum Failure {
    /// The operator ended it.
    Interrupted,
    /// How it ended, in words.
    Ended(String),
}

/// Runs the hooks of `before_deploy`. The first one that fails ends the run.
pub(super) async fn before(
    manifest: &Manifest,
    environment: &Environment,
    run: &Run,
) -> Result<(), CliError> {
    for hook in manifest.hooks.local_at(HookPoint::BeforeDeploy) {
        tell(hook, manifest, environment, None, run).await.map_err(|failure| match failure {
            Failure::Interrupted => CliError::InterruptedHook,
            Failure::Ended(end) => CliError::Hook { when: hook.when, text: first_line(&hook.text), end },
        })?;
    }
    Ok(())
}

/// Runs the hooks that follow the verdict. What they do changes nothing of how the run ended.
pub(super) async fn after(manifest: &Manifest, environment: &Environment, outcomes: &[Outcome], run: &Run) {
    let Some(worst) = outcomes.iter().map(Outcome::verdict).max() else { return };
    let deployed = outcomes.iter().any(|outcome| outcome.verdict() == Verdict::Deployed);
    let when = match (worst.is_failure(), deployed) {
        (true, _) => HookPoint::OnFailure,
        (false, true) => HookPoint::AfterDeploy,
        (false, false) => return,
    };
    let verdict = if worst.is_failure() { worst } else { Verdict::Deployed };
    for hook in manifest.hooks.local_at(when) {
        if tell(hook, manifest, environment, Some(verdict), run).await.is_err() {
            run.warnings.add(None, format!("the hook {} failed", when.as_str()));
        }
    }
}

/// Runs a hook, and tells of it.
async fn tell(
    hook: &LocalHook,
    manifest: &Manifest,
    environment: &Environment,
    verdict: Option<Verdict>,
    run: &Run,
) -> Result<(), Failure> {
    let (when, begun) = (hook.when, Instant::now());
    run.events.send(EventKind::LocalHookStarted { when, run: hook.text.clone() });
    let output = HookOutput::open(when, &run.events, &run.mask);
    let result = match &output {
        Ok(output) => carry_out(hook, manifest, environment, verdict, output).await,
        Err(error) => Err(Failure::Ended(format!("it could not be started: {error}"))),
    };
    let said = match output {
        Ok(output) => output.close().await,
        Err(_) => Vec::new(),
    };
    let why = match &result {
        Ok(()) => {
            run.events.send(EventKind::LocalHookFinished { when, elapsed: begun.elapsed() });
            return Ok(());
        }
        Err(Failure::Interrupted) => "it was stopped by the operator".to_owned(),
        Err(Failure::Ended(end)) => end.clone(),
    };
    run.events.send(EventKind::LocalHookFailed { when, run: hook.text.clone(), why, said });
    result
}

async fn carry_out(
    hook: &LocalHook,
    manifest: &Manifest,
    environment: &Environment,
    verdict: Option<Verdict>,
    output: &HookOutput,
) -> Result<(), Failure> {
    let not_started = |error: io::Error| Failure::Ended(format!("it could not be started: {error}"));
    let mut command = Command::from(ssh::child("/bin/sh"));
    // A hook that needs a secret can ask for it where it comes from. It does not get all of them for nothing.
    for source in manifest.environments.values().flat_map(Environment::secret_sources) {
        if let SecretSource::Env(name) = source {
            command.env_remove(name);
        }
    }
    command
        .arg("-c")
        .arg(&hook.text)
        .env("SHIPIT_SERVICE", manifest.name.as_str())
        .env("SHIPIT_ENVIRONMENT", environment.name.as_str())
        .stdin(Stdio::null())
        .stdout(output.stdio().map_err(not_started)?)
        .stderr(output.stdio().map_err(not_started)?)
        // Of its own, so that all of it can be ended.
        .process_group(0);
    if let Some(verdict) = verdict {
        command.env("SHIPIT_VERDICT", verdict.as_str());
    }
    if !manifest.dir.as_os_str().is_empty() {
        command.current_dir(&manifest.dir);
    }
    let mut child = command.spawn().map_err(not_started)?;
    match wait(&mut child, hook.timeout).await {
        Ok(Ended::By(status)) if status.success() => Ok(()),
        Ok(Ended::By(status)) => Err(Failure::Ended(format!("it ended with {status}"))),
        Ok(Ended::TimedOut) => {
            end_group(&mut child).await;
            Err(Failure::Ended(format!(
                "it was still running after {} s, and was killed",
                hook.timeout.as_secs_f32()
            )))
        }
        Ok(Ended::Interrupted) => {
            end_group(&mut child).await;
            Err(Failure::Interrupted)
        }
        Err(error) => Err(Failure::Ended(format!("it could not be waited for: {error}"))),
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
pub(super) async fn end_group(child: &mut Child) {
    let Some(id) = child.id() else { return };
    for signal in ["TERM", "KILL"] {
        // The group outlives its leader; one that is gone is what is wanted.
        let _ = Command::from(ssh::child("/bin/sh"))
            .args(["-c", "kill -s \"$1\" -- \"-$2\" 2>/dev/null", "sh", signal, &id.to_string()])
            .status()
            .await;
        // What ignores the first one is killed by the second, even when its leader is gone.
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
}
