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
    // A plus sign is fine, as it is for strtol(3).
    word.parse::<u64>().ok().filter(|number| *number <= LARGEST).and_then(|number| u32::try_from(number).ok())
}

/// A TCP port. Of the names that /etc/services gives to ports, `ssh` alone.
pub(super) fn port(word: &str) -> Option<u16> {
    match word {
        "ssh" => Some(22),
        _ => word.parse().ok().filter(|port| *port != 0),
    }
}

/// A time in the format of sshd_config(5), "TIME FORMATS": numbers with units, which add up.
pub(super) fn time(word: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = word;
    while !rest.is_empty() {
        let sign = usize::from(rest.starts_with('+'));
        let digits = sign + rest.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
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

/// As OpenSSH's readconf.c, from parse_agent_path on.
fn agent(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, variable)) = rest.split_once("${") {
        let (name, behind) = variable.split_once('}').ok_or("a `${` without its `}`")?;
        if std::env::var_os(name).is_none() {
            return Err(format!("the variable {name} is not set"));
        }
        rest = behind;
    }
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match text.strip_prefix('$') {
        Some(name) if !name.starts_with('{') && !is_name(name) => {
            Err(format!("`{text}` is not the name of a variable"))
        }
        _ => Ok(()),
    }
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
            Self::Agent => agent(first),
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
        for (text, expected) in [
            ("90", 90),
            ("1m30s", 90),
            ("1M30", 90),
            ("1w2d3h4m5s", 788_645),
            ("0", 0),
            ("10s10", 20),
            ("+5", 5),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "m", "-1", "1.5", "1y", "1 m", "2147483648", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_no_other_sign_than_a_plus() {
        let counts = ["0", "3", "+3", "-1", "x", "", "2147483648"].map(count);
        assert_eq!(counts, [Some(0), Some(3), Some(3), None, None, None, None]);
        let ports = ["022", "ssh", "+22", "0", "65536", "-22", ""].map(port);
        assert_eq!(ports, [Some(22), Some(22), Some(22), None, None, None, None]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}") {
            let _ = (time(&text), count(&text), port(&text), flag(&text));
        }
    }
}
