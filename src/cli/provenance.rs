//! Who runs this, from where, and on which state of the sources: for the lock, and for the history on the hosts.
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;

use crate::host::Holder;
use crate::manifest::template::TemplateRevision;
use crate::release::Revision;
use crate::ssh::child;

/// The page of the CI job that this runs in, by the variables that CI systems set.
fn job() -> Option<String> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(server), Some(repository), Some(run)) =
        (var("GITHUB_SERVER_URL"), var("GITHUB_REPOSITORY"), var("GITHUB_RUN_ID"))
    {
        return Some(format!("{server}/{repository}/actions/runs/{run}"));
    }
    // Jenkins, GitLab, Buildkite, CircleCI.
    ["BUILD_URL", "CI_JOB_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL"].into_iter().find_map(var)
}

/// Who we are, as others are shown it.
#[must_use]
pub(super) fn holder(command: &str, message: Option<String>) -> Holder {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    // CI's containers often have neither.
    let user = user.ok().filter(|user| !user.is_empty()).or_else(|| said(child("id").arg("-un")));
    let user = user.unwrap_or_else(|| "someone".to_owned());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = match machine.trim() {
        "" => std::env::var("HOSTNAME").unwrap_or_else(|_| "somewhere".to_owned()),
        name => name.to_owned(),
    };
    Holder {
        who: format!("{user}@{machine}"),
        since: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
        command: command.to_owned(),
        job: job(),
        message,
    }
}

/// What a command of this machine printed; `None` when it failed, or is not there.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The same, as templates see it.
#[must_use]
pub(super) fn template_revision(folder: &Path) -> Option<TemplateRevision> {
    revision(folder).map(|Revision { commit, dirty }| TemplateRevision { commit, dirty })
}

/// The revision of a folder, where it is in a git repository and git is installed.
#[must_use]
pub(super) fn revision(folder: &Path) -> Option<Revision> {
    let git = |arguments: &[&str]| said(child("git").arg("-C").arg(folder).args(arguments));
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    Some(Revision { commit, dirty })
}
