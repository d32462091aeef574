//! Programs for the host's `/bin/sh`, and the one place where a value is quoted for it.
//!
//! A [`Script`] can only be made of constants and quoted values, so no text from a manifest, a host or a file name
//! is ever read as shell text.

/// A program: constant text, and values as quoted words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script(String);

impl Script {
    /// A program without values.
    #[must_use]
    pub fn constant(text: &'static str) -> Self {
        Self(format!("{text}\n"))
    }

    /// A program that finds the values as its positional parameters.
    #[must_use]
    pub fn with_arguments<I>(text: &'static str, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut script = Self::default();
        script.call("set --", arguments);
        script.0.push_str(text);
        script.0.push('\n');
        script
    }

    /// Adds constant text.
    pub fn constant_line(&mut self, text: &'static str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// Adds another program.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds a line: a constant beginning, such as a function's name, and the values as its arguments.
    pub fn call<I>(&mut self, beginning: &'static str, arguments: I)
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.0.push_str(beginning);
        for argument in arguments {
            self.0.push(' ');
            push_quoted(&mut self.0, argument.as_ref());
        }
        self.0.push('\n');
    }

    /// The program's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Quotes a value as one word: between single quotes nothing has a meaning to a POSIX shell but the single quote
/// itself (POSIX.1-2017, Shell Command Language, 2.2.2). A NUL byte can't be in an argument; it is left out, as the
/// shell itself would.
fn push_quoted(text: &mut String, value: &str) {
    text.push('\'');
    for character in value.chars() {
        match character {
            '\'' => text.push_str(r"'\''"),
            '\0' => {}
            other => text.push(other),
        }
    }
    text.push('\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn echoed(shell: &str, value: &str) -> String {
        let script = Script::with_arguments("printf '%s' \"$1\"", [value]);
        let output = Command::new(shell).arg("-c").arg(script.as_str()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_call_is_a_constant_and_quoted_words() {
        let mut script = Script::constant("f() { :; }");
        script.call("step 1 make_link", ["/usr/local/bin/it's", "$(x)"]);
        assert_eq!(script.as_str(), "f() { :; }\nstep 1 make_link '/usr/local/bin/it'\\''s' '$(x)'\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// P6: whatever a value is, the shell hands it on as it was.
        #[test]
        fn no_value_is_read_as_shell_text(value in "[^\0]{0,40}|['\"$`\\\\!;&|<>*?~#\n -]{0,20}") {
            prop_assert_eq!(&echoed("/bin/sh", &value), &value);
            prop_assert_eq!(&echoed("bash", &value), &value);
        }
    }
}
