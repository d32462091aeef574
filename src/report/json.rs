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
        let line = json_line(&Versioned { v: SCHEMA_VERSION, event });
        // A reader that went away does not stop a deploy.
        let _ = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// A value as one line that is safe to show, with its end; nothing where it has no JSON form.
#[must_use]
pub fn json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).map_or_else(|_| String::new(), |json| escape_controls(&json) + "\n")
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use insta::assert_snapshot;
    use serde_json::Value;

    use super::super::fixtures::{BrokenPipe, HOSTILE, Paper, event, every_kind, mixed_run};
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/events.md");

    fn written(events: &[Event]) -> String {
        let paper = Paper::default();
        let mut reporter = JsonReporter::new(Box::new(paper.clone()));
        events.iter().for_each(|event| reporter.on_event(event));
        paper.text()
    }

    #[test]
    fn an_event_is_a_line() {
        let events = mixed_run("");
        let few: Vec<_> = [0, 1, 2, 3, 5, 6].map(|at| events[at].clone()).into();
        assert_snapshot!(written(&few), @r#"
        {"v":1,"at":"2026-11-20T03:00:41Z","event":"run_started","command":"deploy","service":"simple_api","environment":"prod","hosts":["deploy@web1","web2","db-1.example.com","web4"],"shipit":"0.1.0"}
        {"v":1,"at":"2026-11-20T03:00:41.01Z","host":"deploy@web1","event":"connect_started"}
        {"v":1,"at":"2026-11-20T03:00:41.22Z","host":"deploy@web1","event":"connected","address":"192.0.2.7:22","elapsed_ms":210}
        {"v":1,"at":"2026-11-20T03:00:41.36Z","host":"deploy@web1","event":"probed","current":"20261120T030007Z-3f2a9c01","elapsed_ms":140}
        {"v":1,"at":"2026-11-20T03:00:41.4Z","host":"deploy@web1","event":"step_started","number":0,"step":"upload"}
        {"v":1,"at":"2026-11-20T03:00:42.2Z","host":"deploy@web1","event":"upload_progressed","sent":2140034,"total":21400340}
        "#);
        let last = &events[events.len() - 6..];
        assert_snapshot!(written(last), @r#"
        {"v":1,"at":"2026-11-20T03:00:41.7Z","host":"web4","event":"step_started","number":5,"step":"start"}
        {"v":1,"at":"2026-11-20T03:00:41.75Z","host":"web4","event":"step_said","number":5,"line":"Job failed"}
        {"v":1,"at":"2026-11-20T03:00:41.76Z","host":"web4","event":"step_failed","number":5}
        {"v":1,"at":"2026-11-20T03:00:41.77Z","host":"web4","event":"journal_read","entries":[{"time":"2026-11-20T03:00:52.123456Z","priority":3,"identifier":"simple_api","pid":4711,"message":"can't bind","invocation":"0123456789abcdef0123456789abcdef"}]}
        {"v":1,"at":"2026-11-20T03:00:41.9Z","host":"web4","event":"host_finished","verdict":"needs_attention","release":"20261120T030041Z-8be1d2a4","failure":{"code":"shipit::service::failed","causes":["simple_api.service failed to start","status=203/EXEC: the program could not be started"],"state":"current points to 20261120T030041Z-8be1d2a4, and the service is down","help":"see `shipit logs prod`; to go back: ln -sfT ...","details":["systemd[812]: simple_api.service: Failed at step EXEC\nsecond line"]},"elapsed_ms":900}
        {"v":1,"at":"2026-11-20T03:00:53Z","event":"run_finished","counts":{"unchanged":1,"deployed":1,"planned":0,"failed_untouched":0,"unreachable":1,"reverted":0,"needs_attention":1},"warnings":0,"exit_code":1,"elapsed_ms":12000}
        "#);
    }

    #[test]
    fn every_line_reads_back_and_holds_nothing_raw() {
        let text = written(&mixed_run(HOSTILE));
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), mixed_run("").len());
        assert!(events.iter().all(|event| event["v"] == SCHEMA_VERSION));
        let said = events.iter().find(|event| event["event"] == "step_said").unwrap();
        assert_eq!(said["line"], format!("Job failed{HOSTILE}"), "what was said is kept as it is");
    }

    #[test]
    fn a_reader_that_goes_away_stops_nothing() {
        let mut reporter = JsonReporter::new(Box::new(BrokenPipe));
        mixed_run("").iter().for_each(|event| reporter.on_event(event));
    }

    /// The variants of an enum of that name, in the order of its source.
    fn variants(source: &str, name: &str) -> Vec<String> {
        let start = source.find(&format!("pub enum {name} {{")).unwrap();
        let body = source[start..].split("\n}").next().unwrap();
        let variant = |line: &str| -> Option<String> {
            let rest = line
                .strip_prefix("    ")
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))?;
            Some(rest.chars().take_while(char::is_ascii_alphanumeric).collect())
        };
        body.lines().filter_map(variant).map(|name| snake_case(&name)).collect()
    }

    fn snake_case(name: &str) -> String {
        let mut text = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(c.to_ascii_lowercase());
        }
        text
    }

    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    found.insert(key.clone());
                    keys(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_every_event_and_every_field() {
        let mut seen = BTreeSet::new();
        for kind in every_kind() {
            let line = written(&[event(0, Some("web1"), kind)]);
            let Value::Object(fields) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            let name = fields["event"].as_str().unwrap().to_owned();
            let section = DOCUMENT.split("\n### ").find(|part| part.starts_with(&format!("`{name}`\n")));
            let section = section.unwrap_or_else(|| panic!("docs/events.md has no section `{name}`"));
            for field in fields.keys().filter(|key| !["v", "at", "host", "event"].contains(&key.as_str())) {
                let row = format!("\n| `{field}` |");
                assert!(section.contains(&row), "docs/events.md has no `{field}` in `{name}`");
            }
            let mut all = BTreeSet::new();
            keys(&Value::Object(fields), &mut all);
            for key in all {
                assert!(DOCUMENT.contains(&format!("| `{key}` |")), "docs/events.md has no `{key}`");
            }
            seen.insert(name);
        }
        let all: BTreeSet<_> = variants(include_str!("event.rs"), "EventKind").into_iter().collect();
        assert_eq!(seen, all, "every_kind() has one of each");
    }

    #[test]
    fn the_document_has_every_word_that_a_field_can_hold() {
        let event = include_str!("event.rs");
        let step = include_str!("../plan/step.rs");
        let diff = include_str!("../plan/diff.rs");
        let facts = include_str!("../plan/facts.rs");
        let files = include_str!("../plan/files.rs");
        let hooks = include_str!("../manifest/hooks.rs");
        let enums = [
            (event, "EventKind"),
            (event, "Command"),
            (event, "Verdict"),
            (step, "Step"),
            (step, "Transfer"),
            (step, "Detail"),
            (step, "Privilege"),
            (step, "Reason"),
            (diff, "KeyChange"),
            (facts, "LinkState"),
            (files, "Packing"),
            (hooks, "HookPoint"),
            (hooks, "HookHosts"),
        ];
        for (source, name) in enums {
            let words = variants(source, name);
            assert!(words.len() > 1, "{name}");
            for word in words {
                assert!(DOCUMENT.contains(&format!("`{word}`")), "docs/events.md has no `{word}` of {name}");
            }
        }
        assert!(DOCUMENT.contains(&format!("version {SCHEMA_VERSION}")));
    }
}
