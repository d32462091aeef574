//! A line of the story, outside of a run.
use std::io::{self, Write};

/// Writes a line to standard error.
pub(super) fn say(line: &str) {
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    // Nobody to tell is no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{clean}");
}
