//! The command line: arguments in, exit code out.
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod check;
pub mod problem;

#[derive(Debug, Parser)]
#[command(name = "shipit", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let code = match &cli.command {
        Command::Check(args) => check::check(args, &mut out, &mut err, problem::Look::default()),
    };
    // Nobody is left to be told when writing fails.
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
