//! Values of one word: whether one has the form that its keyword wants, and what it comes to.

use std::time::Duration;

use super::jump;
use super::keyword::Form;

/// OpenSSH counts time and everything else in an int.
const LARGEST: u64 = i32::MAX as u64;

/// A flag; `None` when it is none.
pub(super) fn flag(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

/// A whole number from 0.
pub(super) fn count(word: &str) -> Option<u32> {
    let number = word.parse::<u64>().ok().filter(|number| *number <= LARGEST)?;
    (!word.starts_with('+')).then(|| u32::try_from(number).ok()).flatten()
}

/// A TCP port. Of the names that /etc/services gives to ports, `ssh` alone.
pub(super) fn port(word: &str) -> Option<u16> {
    match word {
        "ssh" => Some(22),
        _ if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok().filter(|port| *port != 0),
        _ => None,
    }
}

/// A time in the format of sshd_config(5), "TIME FORMATS": numbers with units, which add up.
pub(super) fn time(word: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let mut behind = rest.get(digits..)?.chars();
        let unit = match behind.next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 60 * 60,
            Some('d') => 24 * 60 * 60,
            Some('w') => 7 * 24 * 60 * 60,
            Some(_) => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?).filter(|seconds| *seconds <= LARGEST)?;
        rest = behind.as_str();
    }
    (!word.is_empty()).then_some(Duration::from_secs(seconds))
}

impl Form {
    /// What is wrong with a value, in words.
    pub(super) fn check(self, words: &[String]) -> Result<(), String> {
        let first = words.first().map(String::as_str).unwrap_or_default();
        let wrong = |what: &str| Err(format!("`{first}` is not {what}"));
        match self {
            Self::Choice(choices) if !choices.iter().any(|choice| choice.eq_ignore_ascii_case(first)) => {
                Err(format!("`{first}` is none of {}", choices.join(", ")))
            }
            Self::Time if first != "none" && time(first).is_none() => {
                wrong("a time: a number of seconds, or as in 1m30s")
            }
            Self::Count if count(first).is_none() => wrong("a whole number"),
            Self::Port if port(first).is_none() => wrong("a port between 1 and 65535"),
            Self::Words if words.len() > 1 && words.iter().any(|word| word.eq_ignore_ascii_case("none")) => {
                Err("`none` must stand alone".to_owned())
            }
            Self::Jump => jump::parse(first).map(|_| ()),
            Self::Choice(_)
            | Self::Time
            | Self::Count
            | Self::Port
            | Self::Words
            | Self::Word
            | Self::Repeated
            | Self::Rest => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_add_up() {
        let seconds = |text| time(text).map(|time| time.as_secs());
        for (text, expected) in
            [("90", 90), ("1m30s", 90), ("1M30", 90), ("1w2d3h4m5s", 788_645), ("0", 0), ("10s10", 20)]
        {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "m", "-1", "1.5", "1y", "1 m", "2147483648", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_only_digits() {
        assert_eq!(
            (count("0"), count("3"), count("+3"), count("-1"), count("x")),
            (Some(0), Some(3), None, None, None)
        );
        assert_eq!(
            (port("022"), port("ssh"), port("0"), port("65536"), port("+22")),
            (Some(22), Some(22), None, None, None)
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _ = (time(&text), count(&text), port(&text), flag(&text));
        }
    }
}
