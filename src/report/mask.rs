//! Keeps secrets out of what is shown: every value, and the forms it takes on its way, becomes `***`.
//!
//! A secret can come back to us from anywhere: a hook prints it, the service logs it, an error quotes it. So masking is
//! not where secrets are used but where anything is shown: [`MaskedReporter`](super::MaskedReporter) for the events of a
//! run, [`Mask::text`] for what is printed beside them.
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;

use super::line::sanitise;

/// What is shown in place of a secret.
const MASK: &str = "***";

/// A value that is shorter would be found everywhere.
const SHORTEST: usize = 4;

/// What must not be shown. A clone knows what the original does, also what it learns later.
#[derive(Clone, Default)]
pub struct Mask(Arc<RwLock<Vec<Zeroizing<Vec<u8>>>>>);

// What is in it is what nobody may see.
impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask")
    }
}

impl Mask {
    /// Hides this value from now on, in all its forms.
    pub fn hide(&self, value: &str) {
        let mut patterns = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms(value) {
            if form.len() >= SHORTEST && !patterns.iter().any(|known| **known == *form.as_bytes()) {
                patterns.push(Zeroizing::new(form.as_bytes().to_vec()));
            }
        }
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The text with everything hidden that has to be.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        // Patterns are UTF-8, and so begin and end where characters do.
        Cow::Owned(String::from_utf8_lossy(&replaced(text.as_bytes(), &found)).into_owned())
    }

    /// The same for a line whose end may be missing: the beginning of a secret there is hidden, too.
    #[must_use]
    pub fn cut_text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut shown = stream.push(text.as_bytes());
        shown.extend(stream.cut_off());
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Masks what comes in pieces.
    #[must_use]
    pub fn stream(&self) -> MaskStream {
        MaskStream { mask: self.clone(), held: Zeroizing::new(Vec::new()) }
    }

    /// Where secrets are: in order, and without overlaps.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let patterns = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for pattern in patterns.iter() {
            let Some(first) = pattern.first() else { continue };
            let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first).map(|(at, _)| at);
            let here = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(pattern));
            found.extend(starts.filter(here).map(|at| at..at + pattern.len()));
        }
        found.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    /// Where the longest end of the text begins that more bytes could make a secret.
    fn open_end(&self, text: &[u8]) -> usize {
        let patterns = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let longest = patterns.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
        let from = text.len().saturating_sub(longest.saturating_sub(1));
        let open = |at: &usize| {
            let end = text.get(*at..).unwrap_or_default();
            patterns.iter().any(|pattern| pattern.len() > end.len() && pattern.starts_with(end))
        };
        (from..text.len()).find(open).unwrap_or(text.len())
    }
}

fn replaced(text: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        shown.extend_from_slice(text.get(at..range.start).unwrap_or_default());
        shown.extend_from_slice(MASK.as_bytes());
        at = range.end;
    }
    shown.extend_from_slice(text.get(at..).unwrap_or_default());
    shown
}

/// Masks what comes in pieces, wherever they are cut. Holds back no more than a secret is long.
#[derive(Debug)]
pub struct MaskStream {
    mask: Mask,
    held: Zeroizing<Vec<u8>>,
}

impl MaskStream {
    /// One more piece. Returns what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.held.len() + piece.len()));
        text.extend_from_slice(&self.held);
        text.extend_from_slice(piece);
        let found = self.mask.find(&text);
        let mut end = self.mask.open_end(&text);
        // What is hidden already may be part of what is not over.
        if let Some(over) = found.iter().find(|range| range.start < end && end < range.end) {
            end = over.start;
        }
        let done: Vec<_> = found.into_iter().take_while(|range| range.end <= end).collect();
        let (shown, held) = text.split_at(end);
        let shown = replaced(shown, &done);
        self.held = Zeroizing::new(held.to_vec());
        shown
    }

    /// There is no more to come.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::replace(&mut self.held, Zeroizing::new(Vec::new()));
        replaced(&held, &self.mask.find(&held))
    }

    /// There is more, but it will not be seen: what would be the beginning of a secret is hidden.
    fn cut_off(&mut self) -> Vec<u8> {
        let held = std::mem::replace(&mut self.held, Zeroizing::new(Vec::new()));
        if held.len() < SHORTEST { held.to_vec() } else { MASK.as_bytes().to_vec() }
    }
}

/// What a secret looks like when programs print it: itself, its lines, and how it is usually written inside of other
/// text.
fn forms(value: &str) -> Vec<Zeroizing<String>> {
    let lines = value.lines().map(str::trim);
    let texts = std::iter::once(value).chain([value.trim()]).chain(lines);
    let mut forms = Vec::new();
    for text in texts.filter(|text| text.trim().len() >= SHORTEST) {
        forms.push(text.to_owned());
        forms.push(sanitise(text));
        forms.push(json(text));
        // As Rust, Python and many others show a text in quotes.
        forms.push(text.escape_debug().to_string());
        forms.push(text.replace('\'', r"'\''"));
        for space in ["%20", "+"] {
            forms.push(percent(text, space, false));
            forms.push(percent(text, space, true));
        }
        forms.extend(base64_forms(text.as_bytes()));
    }
    forms.sort();
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// As in a URL (RFC 3986, section 2.3).
fn percent(text: &str, space: &str, lower: bool) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push_str(space),
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte if lower => encoded.push_str(&format!("%{byte:02x}")),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The value in base64, alone and inside of something longer: three bytes become four characters, so there are three ways
/// to lie. The characters at either end that have bits of what is beside it are left out.
fn base64_forms(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = Zeroizing::new(vec![0; before]);
        bytes.extend_from_slice(value);
        let whole = bytes.len() / 3 * 4;
        let start = [0, 2, 3].get(before).copied().unwrap_or_default();
        let end = whole + [0, 1, 2].get(bytes.len() % 3).copied().unwrap_or_default();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = Zeroizing::new(engine.encode(&*bytes));
            let inner = text.get(start..end.min(text.len())).unwrap_or_default();
            // Few characters are many words.
            if inner.len() > SHORTEST {
                forms.push(inner.to_owned());
            }
            if before == 0 {
                forms.push(text.to_string());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn hiding(values: &[&str]) -> Mask {
        let mask = Mask::default();
        values.iter().for_each(|value| mask.hide(value));
        mask
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_it_takes() {
        let mask = hiding(&["hunter2 \"é\""]);
        for (text, shown) in [
            ("it is hunter2 \"é\".", "it is ***."),
            (r#"{"it":"hunter2 \"é\""}"#, r#"{"it":"***"}"#),
            (r#"debug: "hunter2 \"é\"""#, r#"debug: "***""#),
            ("/?q=hunter2%20%22%C3%A9%22&x", "/?q=***&x"),
            ("/?q=hunter2+%22%c3%a9%22&x", "/?q=***&x"),
            ("hunter", "hunter"),
        ] {
            assert_eq!(mask.text(text), shown);
        }
        assert_eq!(mask.text(&STANDARD.encode("hunter2 \"é\"")), "***");
        for around in ["u:hunter2 \"é\"", "us:hunter2 \"é\":x", "use:hunter2 \"é\":xy"] {
            let shown = mask.text(&STANDARD.encode(around)).into_owned();
            assert!(shown.contains("***") && shown.len() < 17, "{around}: {shown}");
        }
        assert!(!format!("{mask:?} {:?}", mask.stream()).contains("104"), "no bytes in a debug print");
    }

    #[test]
    fn each_line_of_a_secret_is_hidden() {
        let mask = hiding(&["-----BEGIN\nMIIEvQ==\nab\n-----END\n"]);
        assert_eq!(mask.text("x MIIEvQ== y"), "x *** y");
        assert_eq!(mask.text("ab -----END"), "ab ***", "a line of two letters is in every text");
    }

    #[test]
    fn what_is_short_would_be_found_everywhere() {
        let mask = hiding(&["abc", "", "   ", "\n\n\n\n"]);
        assert_eq!(mask.text("abc    \n\n\n\n"), "abc    \n\n\n\n");
        assert!(mask.is_empty());
    }

    #[test]
    fn secrets_that_overlap_are_all_hidden() {
        let mask = hiding(&["abcdef", "defghi", "xyxy"]);
        assert_eq!(mask.text("-abcdefghi-xyxyxy-abcdef"), "-***-***-***");
    }

    #[test]
    fn a_line_that_was_cut_shows_no_beginning_of_a_secret() {
        let mask = hiding(&["correct horse"]);
        assert_eq!(mask.cut_text("it is correct hor"), "it is ***");
        assert_eq!(mask.cut_text("correct horse cor"), "*** cor", "three letters are nothing");
    }

    proptest! {
        /// No secret of a random set survives, wherever the text is cut into pieces.
        #[test]
        fn no_secret_survives(
            secrets in proptest::collection::vec("[a-d]{4,8}|[ -~]{4,20}|\\PC{4,12}", 1..6),
            between in proptest::collection::vec("[a-d]{0,6}|[ -~]{0,10}", 1..8),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 1..8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            // A mask can be part of what it hides.
            prop_assume!(secrets.iter().all(|secret| !secret.contains('*') && secret.trim().len() >= SHORTEST));
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let mask = hiding(&secrets);
            let mut text = String::new();
            for (index, between) in order.iter().zip(between.iter().cycle()) {
                text.push_str(between);
                text.push_str(secrets[index.index(secrets.len())]);
            }
            let shown = mask.text(&text).into_owned();
            for secret in &secrets {
                prop_assert!(!shown.contains(secret), "{secret:?} in {shown:?}");
            }
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            places.sort_unstable();
            let mut stream = mask.stream();
            let mut pieces = Vec::new();
            let mut from = 0;
            for place in places.into_iter().chain([text.len()]) {
                pieces.extend(stream.push(&text.as_bytes()[from..place]));
                from = place;
            }
            pieces.extend(stream.finish());
            let pieces = String::from_utf8(pieces).unwrap();
            for secret in &secrets {
                prop_assert!(!pieces.contains(secret), "{secret:?} in {pieces:?}");
            }
        }

        #[test]
        fn what_is_no_secret_stays(text in "[a-z ]{0,60}") {
            let mask = hiding(&["HUNTER-2"]);
            prop_assert_eq!(mask.text(&text), text.as_str());
            let mut stream = mask.stream();
            let mut shown = stream.push(text.as_bytes());
            shown.extend(stream.finish());
            prop_assert_eq!(shown, text.as_bytes());
        }
    }
}
