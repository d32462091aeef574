//! The name of a release: when it was made, and the beginning of what is in it.
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::digest::ContentDigest;

/// `20261120T225301Z-1a2b3c4d`: UTC to the second, and the first 8 hex digits of the content digest. Ids sort by age,
/// as values and as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleaseId {
    created: Timestamp,
    digest: String,
}

/// Why a text is no release id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not a release id such as `20261120T225301Z-1a2b3c4d`", .0.escape_debug())]
pub struct IdError(pub String);

impl ReleaseId {
    /// The id of a release made at `created`.
    #[must_use]
    pub fn new(created: Timestamp, digest: &ContentDigest) -> Self {
        // Whole seconds, so that an id equals the one read back from its text.
        let seconds = Timestamp::from_second(created.as_second()).unwrap_or(created);
        Self { created: seconds, digest: digest.short() }
    }

    /// When it was made, to the second.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The first 8 hex digits of its content digest.
    #[must_use]
    pub fn digest_prefix(&self) -> &str {
        &self.digest
    }
}

/// The name of one activation on a host: when it began, and a random number, in the form of a release's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(ReleaseId);

impl RunId {
    /// The id of a run that begins now.
    #[must_use]
    pub fn new(now: Timestamp, random: u32) -> Self {
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self(ReleaseId { created: seconds, digest: format!("{random:08x}") })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.created.to_zoned(TimeZone::UTC);
        f.pad(&format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z-{}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            self.digest
        ))
    }
}

impl FromStr for ReleaseId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        read(text).ok_or_else(|| IdError(text.chars().take(60).collect()))
    }
}

fn read(text: &str) -> Option<ReleaseId> {
    let (time, digest) = text.split_once('-')?;
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if digest.len() != 8 || !digest.bytes().all(hex) {
        return None;
    }
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(date, 8) || !digits(clock, 6) {
        return None;
    }
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<i8>().ok();
    let created = DateTime::new(
        date.get(..4)?.parse().ok()?,
        two(date, 4)?,
        two(date, 6)?,
        two(clock, 0)?,
        two(clock, 2)?,
        two(clock, 4)?,
        0,
    );
    let created = created.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(ReleaseId { created, digest: digest.to_owned() })
}

impl Serialize for ReleaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReleaseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_its_time_and_its_content() {
        let digest = ContentDigest::of(&[]);
        let id = ReleaseId::new("2026-11-20T22:53:01.9Z".parse().unwrap(), &digest);
        assert_eq!(id.to_string(), format!("20261120T225301Z-{}", digest.short()));
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(id.created().to_string(), "2026-11-20T22:53:01Z");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "20261120T225301Z",
            "20261120T225301Z-1a2b3c4",
            "20261120T225301Z-1A2B3C4D",
            "20261320T225301Z-1a2b3c4d",
            "20261120T256001Z-1a2b3c4d",
            "20261120T225301-1a2b3c4d",
            "+0261120T225301Z-1a2b3c4d",
            "../../etc/passwd",
            "20261120T225301Z-1a2b3c4d\n",
        ] {
            assert!(text.parse::<ReleaseId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_sort_by_age_as_values_and_as_text(a in 0i64..4_000_000_000, b in 0i64..4_000_000_000) {
            let digest = ContentDigest::of(&[]);
            let id = |at| ReleaseId::new(Timestamp::from_second(at).unwrap(), &digest);
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
            prop_assert_eq!(id(a).to_string().cmp(&id(b).to_string()), a.cmp(&b));
            prop_assert_eq!(id(a).to_string().parse::<ReleaseId>().unwrap(), id(a));
        }

        #[test]
        fn nothing_panics(text in "\\PC{0,30}|[0-9TZa-f-]{20,30}") {
            if let Ok(id) = text.parse::<ReleaseId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
