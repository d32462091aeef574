//! Spans of time as the manifest writes them: `500ms`, `2s`, `1m30s`.
use std::time::Duration;

use thiserror::Error;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// A number without a unit, which could be anything.
    #[error("`{0}` has no unit of time")]
    Bare(String),
    /// Anything else.
    #[error("`{0}` is not a duration")]
    Malformed(String),
    /// More than a day: surely a slip, and no sum of it can overflow below that.
    #[error("`{0}` is longer than a day")]
    TooLong(String),
}

impl DurationError {
    /// How it is written.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Bare(number) => format!("write `{number}s` for seconds; the units are ms, s, m and h"),
            Self::Malformed(_) => {
                "write a number and a unit (ms, s, m, h), such as `500ms`, `2s` or `1m30s`".to_owned()
            }
            Self::TooLong(_) => "the longest is 24h".to_owned(),
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration: whole numbers, each with its unit, from the larger unit to the smaller, each unit once.
///
/// # Errors
///
/// When it is anything else, or longer than a day.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(DurationError::Bare(text.to_owned()));
    }
    let mut total = Duration::ZERO;
    let mut smallest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(malformed()),
        };
        if number.is_empty() || millis >= smallest {
            return Err(malformed());
        }
        let too_long = || DurationError::TooLong(text.to_owned());
        let number: u64 = number.parse().map_err(|_| too_long())?;
        total += Duration::from_millis(number.checked_mul(millis).ok_or_else(too_long)?);
        if total > DAY {
            return Err(too_long());
        }
        smallest = millis;
        rest = next;
    }
    if smallest == u64::MAX { Err(malformed()) } else { Ok(total) }
}

/// The duration as [`parse_duration`] reads it: `1m30s`.
#[must_use]
pub(super) fn write_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("2s"), Ok(2_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("0s"), Ok(0));
        assert_eq!(ms("24h"), Ok(86_400_000));
        assert_eq!(ms("2"), Err(DurationError::Bare("2".to_owned())));
        assert_eq!(ms("0.5"), Err(DurationError::Bare("0.5".to_owned())));
        for text in ["", "s", "2 s", "-2s", "30s1m", "1s1s", "2sec", "0.5s", "2s3", "٢s"] {
            assert_eq!(ms(text), Err(DurationError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["25h", "24h1ms", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(ms(text), Err(DurationError::TooLong(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(ms in 0_u64..86_400_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,16}|[0-9msh.]{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
