//! The looks of a moving line: what stands in it, and in which order.
use std::fmt;

use indicatif::{ProgressState, ProgressStyle};

use super::line::Colour;
use super::words::bytes;

/// A host at a step.
pub(super) fn step(colour: Colour) -> ProgressStyle {
    style(&step_template(colour))
}

/// A host that takes an upload.
pub(super) fn upload(colour: Colour) -> ProgressStyle {
    style(&upload_template(colour))
}

/// A host that is done with.
pub(super) fn end(sign: &str) -> ProgressStyle {
    style(&end_template(sign))
}

/// The line below the hosts.
pub(super) fn total() -> ProgressStyle {
    style(TOTAL_TEMPLATE)
}

fn spinner(colour: Colour) -> &'static str {
    match colour {
        Colour::On => "{spinner:.cyan}",
        Colour::Off => "{spinner}",
    }
}

/// A template that indicatif can't read becomes its own default line; a test reads all of them.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars("-\\|/ ").with_key("sent", write_sent).with_key("rate", write_rate)
}

fn step_template(colour: Colour) -> String {
    format!("{} {{prefix}} {{wide_msg}} {{elapsed}}", spinner(colour))
}

fn upload_template(colour: Colour) -> String {
    format!("{} {{prefix}} {{wide_msg}} {{sent}} {{rate}} ETA {{eta}}", spinner(colour))
}

fn end_template(sign: &str) -> String {
    format!("{sign} {{prefix}} {{wide_msg}}")
}

const TOTAL_TEMPLATE: &str = "  {wide_msg} {elapsed}";

fn write_sent(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{} of {}", bytes(state.pos()), bytes(state.len().unwrap_or_default()));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, to be shown")]
fn write_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{}/s", bytes(state.per_sec() as u64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_can_be_read() {
        for colour in [Colour::On, Colour::Off] {
            assert!(ProgressStyle::with_template(&step_template(colour)).is_ok());
            assert!(ProgressStyle::with_template(&upload_template(colour)).is_ok());
        }
        assert!(ProgressStyle::with_template(&end_template("!")).is_ok());
        assert!(ProgressStyle::with_template(TOTAL_TEMPLATE).is_ok());
    }
}
