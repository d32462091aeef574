//! One event a line, as JSON, for programs. `docs/events.md` has the schema.
use std::fmt::Write as _;
use std::io::Write;

use serde::Serialize;

use super::Reporter;
use super::event::Event;

/// The version of the schema. It grows when a reader of the old one could go wrong.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes every event as one line of JSON.
pub struct JsonReporter {
    out: Box<dyn Write + Send>,
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    #[serde(flatten)]
    event: &'a Event,
}

impl JsonReporter {
    /// A reporter that writes to `out`, and flushes every line.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl Reporter for JsonReporter {
    fn on_event(&mut self, event: &Event) {
        let Ok(json) = serde_json::to_string(&Versioned { v: SCHEMA_VERSION, event }) else { return };
        let mut line = escape_controls(&json);
        line.push('\n');
        // A reader that went away does not stop a deploy.
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// JSON wants C0 control characters escaped, and serde_json does no more; a terminal acts on DEL and C1, too. They can
/// only be inside of strings, where the escape means the same.
fn escape_controls(json: &str) -> String {
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if c.is_control() {
            // Writing to a string does not fail.
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}
