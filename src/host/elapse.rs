//! When a timer elapses next, as `systemctl show` tells it: by the calendar, or by the clock that counts from the boot.
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The sooner of the two. `calendar` is in UTC: "Sat 2026-11-21 06:30:00 UTC"; `monotonic` counts from the boot:
/// "1d 3h 20min 5.5s".
pub(super) fn next_elapse(calendar: &str, monotonic: &str, uptime: Option<Duration>) -> Option<Timestamp> {
    let by_calendar = utc(calendar);
    let left = span(monotonic).zip(uptime).map(|(at, now)| at.saturating_sub(now));
    let left = left.and_then(|left| SignedDuration::try_from(left).ok());
    let by_clock = left.and_then(|left| Timestamp::now().checked_add(left).ok());
    by_calendar.into_iter().chain(by_clock).min()
}

fn utc(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace().skip(1);
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    (zone == "UTC").then(|| format!("{date}T{time}Z").parse().ok())?
}

/// systemd's own way to write a span of time (systemd.time(7)); `None` for "infinity" and 0, which is "never".
fn span(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    for word in text.split_whitespace() {
        let digits = word.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = word.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        seconds += number
            * match unit {
                "y" => 31_557_600.0,
                "month" => 2_629_800.0,
                "w" => 604_800.0,
                "d" => 86_400.0,
                "h" => 3600.0,
                "min" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" => 1e-6,
                _ => return None,
            };
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_and_times_are_read_as_systemd_writes_them() {
        assert_eq!(span("1d 3h 20min 5.5s"), Some(Duration::from_millis(98_405_500)));
        assert_eq!(span("2min 31.218ms"), Some(Duration::from_micros(120_031_218)));
        for never in ["infinity", "", "0", "n/a", "5 minutes"] {
            assert_eq!(span(never), None, "{never}");
        }
        let time = "2026-11-21T06:30:00Z".parse().ok();
        assert_eq!(next_elapse("Sat 2026-11-21 06:30:00 UTC", "infinity", None), time);
        assert_eq!(next_elapse("Sat 2026-11-21 06:30:00 CET", "", None), None);
        let soon = next_elapse("", "1h", Some(Duration::from_secs(3000))).unwrap();
        let seconds = soon.duration_since(Timestamp::now()).as_secs();
        assert!((590..=600).contains(&seconds), "{seconds}");
    }

    proptest! {
        #[test]
        fn nothing_panics(a in "\\PC{0,30}|[0-9a-z. ]{0,20}", b in "[0-9.]{0,30}[a-z]{0,4}") {
            let _ = next_elapse(&a, &b, Some(Duration::from_secs(1)));
        }
    }
}
