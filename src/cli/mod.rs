//! The command line: arguments in, exit code out. The only place that prints.
//!
//! One file a command: its arguments, what it calls, what it prints. What several commands share is in files named for
//! what they do: [`global`] for the arguments everywhere, `selection` for hosts, `run` for a run with a reporter.
mod askpass;
mod change;
mod check;
mod deploy;

mod error;
mod exit_code;
mod freeze;
mod given_key;
mod global;
mod history;
mod hook_output;
mod hosts;
mod inspect;
mod local_hook;
mod logs;
mod pinned;
mod plan;
mod problem;
mod prompt;
mod provenance;
mod releases;
mod remove;
mod render;
mod rollback;
mod run;
mod say;
mod scan;
mod secret_values;
mod selection;
mod signals;
mod status;
mod warn;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use miette::GraphicalTheme;

use self::error::CliError;
pub use self::exit_code::Exit;
use self::global::GlobalArgs;
use crate::report::Mask;

/// Deploys services over SSH: the binary, its units and its env file, switched in one step and proven to run.
///
/// Exit codes: 0 done or nothing to do, 1 failed and untouched, 2 usage or manifest, 3 failed and reverted, 4 a host needs a person,
/// 5 unreachable, 6 host key refused, 7 locked, 8 host can't be deployed to, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "shipit", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
    Plan(plan::PlanArgs),
    Render(render::RenderArgs),
    Deploy(deploy::DeployArgs),
    Rollback(rollback::RollbackArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Releases(releases::ReleasesArgs),
    History(history::HistoryArgs),
    Lock(freeze::LockArgs),
    Unlock(freeze::UnlockArgs),
    Remove(remove::RemoveArgs),
    Hosts(hosts::HostsArgs),
}

/// How problems look, all of them. For tests: none may be of a kind that can't be shown.
#[cfg(any(test, fuzzing))]
pub(crate) fn shown(problems: &[crate::manifest::Problem]) -> io::Result<String> {
    let mut text = Vec::new();
    for problem in problems {
        problem::ProblemReport::new(problem).write(&mut text, problem::Look::default())?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, and end well.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A pipe that was closed is no reason to fail.
            let _ = error.print();
            return exit.into();
        }
    };
    set_up_reports(&cli.global);
    set_up_tracing(&cli.global);
    let (look, mask) = (cli.global.look(), cli.global.mask.clone());
    let result = dispatch(cli);
    warn::finish();
    let exit = result.unwrap_or_else(|error| {
        let exit = error.exit();
        let mut text = Vec::new();
        // With nobody to tell there is still the exit code.
        let _ = error.show(&mut text, look);
        let _ = io::stderr().lock().write_all(mask.text(&String::from_utf8_lossy(&text)).as_bytes());
        exit
    });
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    let Cli { command, global } = cli;
    if let Command::Check(args) = &command {
        return check::check(args, &global);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| CliError::Local { what: "the runtime could not be started", source })?;
    let result = runtime.block_on(async {
        let failed = |source| CliError::Local { what: "signals can't be listened for", source };
        global.signals.listen().map_err(failed)?;
        tokio::select! {
            result = carry_out(&command, &global) => match result {
                // A question that was cut short is answered by nobody, and that is not what ended the command.
                Err(_) if global.signals.have_ended_it() => Err(CliError::Stopped),
                result => result,
            },
            () = global.signals.unclaimed() => Err(CliError::Stopped),
        }
    });
    // A thread that waits for the operator's answer must not keep the process.
    runtime.shutdown_background();
    result
}

async fn carry_out(command: &Command, global: &GlobalArgs) -> Result<Exit, CliError> {
    match command {
        Command::Check(_) => Ok(Exit::Done),
        Command::Plan(args) => plan::plan(args, global).await,
        Command::Render(args) => render::render(args, global).await,
        Command::Deploy(args) => deploy::deploy(args, global).await,
        Command::Status(args) => status::status(args, global).await,
        Command::Rollback(args) => rollback::rollback(args, global).await,
        Command::Logs(args) => logs::logs(args, global).await,
        Command::Releases(args) => releases::releases(args, global).await,
        Command::History(args) => history::history(args, global).await,
        Command::Lock(args) => freeze::lock(args, global).await,
        Command::Unlock(args) => freeze::unlock(args, global).await,
        Command::Remove(args) => remove::remove(args, global).await,
        Command::Hosts(args) => hosts::hosts(args, global).await,
    }
}

fn set_up_reports(global: &GlobalArgs) {
    let colours = global.colours(&io::stderr());
    let hook = miette::set_hook(Box::new(move |_| {
        let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        Box::new(miette::MietteHandlerOpts::new().graphical_theme(theme).width(100).build())
    }));
    // It is set once, here.
    debug_assert!(hook.is_ok());
}

fn set_up_tracing(global: &GlobalArgs) {
    let level = match global.verbose {
        0 if global.quiet => return,
        0 => return warn::begin(global.mask.clone()),
        1 => "warn,shipit=debug",
        _ => "debug,shipit=trace",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    let mask = global.mask.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || MaskedStderr(mask.clone()))
        .with_ansi(global.colours(&io::stderr()))
        .without_time()
        .try_init();
    debug_assert!(subscriber.is_ok());
}

/// Standard error for what is said with `-v`: each message is one write.
struct MaskedStderr(Mask);

impl io::Write for MaskedStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(self.0.text(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
