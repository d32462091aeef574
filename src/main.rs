//! The `shipit` binary: hands over to [`shipit::cli`] and maps the outcome to an exit code.
use std::process::ExitCode;

fn main() -> ExitCode {
    shipit::cli::run()
}
