//! The command line of `ExecStart=` and its kin (systemd.service(5), "Command lines").
use super::model::Scope;
use super::name::UnitName;
use super::unit_file::BLANKS;

/// A command line, taken apart as far as its meaning is the same on every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecCommand {
    /// The characters before the path: `@`, `-`, `:`, `+`, `!`, `!!`, `|`.
    pub prefixes: String,
    /// The program, unquoted, with the specifiers resolved that only depend on the unit's name.
    pub program: String,
    /// The words after it, unquoted, likewise.
    pub arguments: Vec<String>,
}

/// Why a command line can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecError {
    /// There is no program.
    Empty,
    /// A quote doesn't end.
    OpenQuote,
}

impl ExecCommand {
    /// Reads a command line of `unit`.
    ///
    /// # Errors
    ///
    /// When it has no program, or a quote that doesn't end.
    pub fn parse(line: &str, unit: &UnitName, scope: Scope) -> Result<Self, ExecError> {
        let rest = line.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let prefixes = line.get(..line.len() - rest.len()).unwrap_or("").to_owned();
        let mut words = words(rest)?.into_iter().map(|word| resolve_specifiers(&word, unit, scope));
        let program = words.next().filter(|word| !word.is_empty()).ok_or(ExecError::Empty)?;
        Ok(Self { prefixes, program, arguments: words.collect() })
    }
}

/// Splits into words as `extract_first_word()` in systemd's `src/basic/extract-word.c` does with unquoting on.
pub(super) fn words(text: &str) -> Result<Vec<String>, ExecError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, '\\') => {
                let word = word.get_or_insert_default();
                match chars.next() {
                    None => word.push('\\'),
                    Some(c) => unescape(c, &mut chars, word),
                }
            }
            (None, c) if BLANKS.contains(&c) => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ExecError::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

/// systemd.syntax(7), "Quoting", table of escapes; an unknown one stays as it is, as systemd does with a warning.
fn unescape(c: char, chars: &mut std::str::Chars<'_>, word: &mut String) {
    let (digits, radix) = match c {
        'a' => return word.push('\u{7}'),
        'b' => return word.push('\u{8}'),
        'f' => return word.push('\u{c}'),
        'n' => return word.push('\n'),
        'r' => return word.push('\r'),
        't' => return word.push('\t'),
        'v' => return word.push('\u{b}'),
        's' => return word.push(' '),
        '\\' | '"' | '\'' => return word.push(c),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (2, 8),
        _ => {
            word.push('\\');
            return word.push(c);
        }
    };
    let code: String = chars.as_str().chars().take(digits).collect();
    let first = if radix == 8 { c.to_string() } else { String::new() };
    let number = u32::from_str_radix(&format!("{first}{code}"), radix).ok().and_then(char::from_u32);
    match number.filter(|_| code.chars().count() == digits && code.chars().all(|c| c.is_digit(radix))) {
        Some(decoded) => {
            word.push(decoded);
            chars.by_ref().take(digits).for_each(drop);
        }
        None => {
            word.push('\\');
            word.push(c);
        }
    }
}

/// Fills in the specifiers that don't need the host (systemd.unit(5), "Specifiers"); the others stay.
pub fn resolve_specifiers(text: &str, unit: &UnitName, scope: Scope) -> String {
    let mut resolved = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            resolved.push(c);
            continue;
        }
        let next = chars.next();
        let value = match (next, scope) {
            (Some('n'), _) => unit.as_str(),
            (Some('N'), _) => unit.stem(),
            (Some('p'), _) => unit.prefix(),
            (Some('i'), _) => unit.instance().unwrap_or(""),
            (Some('%'), _) => "%",
            (Some('t'), Scope::System) => "/run",
            (Some('S'), Scope::System) => "/var/lib",
            (Some('C'), Scope::System) => "/var/cache",
            (Some('L'), Scope::System) => "/var/log",
            (Some('E'), Scope::System) => "/etc",
            (Some('h'), Scope::System) => "/root",
            _ => {
                resolved.push('%');
                resolved.extend(next);
                continue;
            }
        };
        resolved.push_str(value);
    }
    resolved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<ExecCommand, ExecError> {
        ExecCommand::parse(line, &"worker@2.service".parse().unwrap(), Scope::User)
    }

    #[test]
    fn command_lines_are_taken_apart() {
        let command = parse("-@/usr/bin/a 'b c' \"d\\x41\\\"\" e\\sf %i %% %h/x").unwrap();
        assert_eq!((command.prefixes.as_str(), command.program.as_str()), ("-@", "/usr/bin/a"));
        assert_eq!(command.arguments, ["b c", "dA\"", "e f", "2", "%", "%h/x"]);
        assert_eq!(parse("\"/opt/my app/%p\"").unwrap().program, "/opt/my app/worker");
        assert_eq!(parse("!!/a").unwrap().prefixes, "!!");
        assert_eq!(parse("/a \\q \\101 \\x4").unwrap().arguments, ["\\q", "A", "\\x4"]);
        assert_eq!(parse(""), Err(ExecError::Empty));
        assert_eq!(parse("-"), Err(ExecError::Empty));
        assert_eq!(parse("/a 'b"), Err(ExecError::OpenQuote));
    }

    proptest! {
        #[test]
        fn nothing_panics(line in "\\PC{0,40}|[-@ '\"\\\\xu0-9%a/]{0,40}") {
            let _ = parse(&line);
        }
    }
}
