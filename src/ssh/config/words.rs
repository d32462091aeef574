//! How a line of ssh_config falls into words: as strdelim() and argv_split() of OpenSSH's misc.c have it.

/// What OpenSSH takes for white space between words; form feeds count at the end of a line only.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits off the keyword, in lower case. `None` for a line without one: empty, or a comment. What follows the keyword
/// has no blanks around it, and no `=` before it.
pub(super) fn keyword(line: &str) -> Option<(String, &str)> {
    let line = line.trim_end_matches([' ', '\t', '\r', '\n', '\x0c']);
    let (mut word, mut rest) = delimit(line)?;
    if word.is_empty() {
        // White space stood before it.
        (word, rest) = delimit(rest?)?;
    }
    if word.is_empty() || word.starts_with('#') {
        return None;
    }
    Some((word.to_ascii_lowercase(), rest.unwrap_or_default().trim_start_matches(BLANK)))
}

/// The first word, and the rest if there is one. `None` when a quote is not closed.
fn delimit(text: &str) -> Option<(String, Option<&str>)> {
    let Some(at) = text.find(|c| BLANK.contains(&c) || c == '"' || c == '=') else {
        return Some((text.to_owned(), None));
    };
    let (word, rest) = text.split_at(at);
    if let Some(quoted) = rest.strip_prefix('"') {
        let (inside, rest) = quoted.split_once('"')?;
        return Some((format!("{word}{inside}"), Some(rest.trim_start_matches(BLANK))));
    }
    let equals = rest.starts_with('=');
    let mut rest = rest.trim_start_matches(|c| !equals && BLANK.contains(&c));
    // One `=` between keyword and argument, with or without blanks.
    if let Some(behind) = rest.strip_prefix('=') {
        rest = behind;
    }
    Some((word.to_owned(), Some(rest.trim_start_matches(BLANK))))
}

/// A quote that is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenQuote;

/// The arguments, with quotes and escapes taken away, up to a comment.
pub(super) fn arguments(text: &str) -> Result<Vec<String>, OpenQuote> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        loop {
            match chars.next() {
                None if quote.is_some() => return Err(OpenQuote),
                None => break,
                Some('\\') => {
                    let escaped =
                        |next: &char| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ');
                    word.push(chars.next_if(escaped).unwrap_or('\\'));
                }
                Some(' ' | '\t') if quote.is_none() => break,
                Some(c @ ('"' | '\'')) if quote.is_none() => quote = Some(c),
                Some(c) if quote == Some(c) => quote = None,
                Some(c) => word.push(c),
            }
        }
        words.push(word);
    }
}

/// A word that [`arguments`] gives back as it is.
pub(super) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_keyword_may_be_followed_by_blanks_or_by_one_equals_sign() {
        for line in ["Port 22", "port=22", " \tPORT =  22 ", "Port\t=22\r", "\"port\" 22", "port 22\x0c"] {
            assert_eq!(keyword(line), Some(("port".to_owned(), "22")), "{line:?}");
        }
        assert_eq!(keyword("Port ==22"), Some(("port".to_owned(), "=22")));
        assert_eq!(keyword("Port"), Some(("port".to_owned(), "")));
        for line in ["", "   ", "# Port 22", "\t#", "\"Port 22"] {
            assert_eq!(keyword(line), None, "{line:?}");
        }
    }

    #[test]
    fn arguments_have_quotes_escapes_and_comments() {
        let words = |text| arguments(text).unwrap();
        assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(words("\"a b\" 'c \"d' e\\ f"), ["a b", "c \"d", "e f"]);
        assert_eq!(words("a#b #c d"), ["a#b"]);
        assert_eq!(words("\\n \\\\ \\\" \"\\ \""), ["\\n", "\\", "\"", "\\ "]);
        assert_eq!(words("a\"b\"c \"\""), ["abc", ""]);
        assert_eq!(arguments("\"a"), Err(OpenQuote));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word(word in "\\PC*") {
            prop_assert_eq!(arguments(&quoted(&word)).unwrap(), [word]);
        }

        #[test]
        fn no_line_is_too_much(line in ".*") {
            let _ = keyword(&line).map(|(_, rest)| arguments(rest));
        }
    }
}
