//! Functions that a session's shell is given once, for all the programs that it runs.
use super::script::Script;

/// The text of functions, kept in a variable of the shell: it travels once a connection, and can be written to a file
/// for a program that outlives the shell.
#[derive(Debug)]
pub(super) struct Library {
    /// The files that it is made of, in order.
    pub(super) parts: &'static [&'static str],
    /// The assignment that keeps the text.
    pub(super) keep: &'static str,
    /// The line by which a program gets the functions.
    pub(super) load: &'static str,
}

/// What every program can use; see the file.
pub(super) const PRELUDE: Library = Library {
    parts: &[include_str!("scope.sh"), include_str!("hang_up.sh"), include_str!("prelude.sh")],
    keep: "prelude=$1",
    load: "eval \"$prelude\"",
};

/// What takes the place of a part of the prelude where sudo is not all it takes; see the file.
pub(super) const ELEVATION: Library =
    Library { parts: &[include_str!("elevation.sh")], keep: "", load: "eval \"$1\"" };

impl Library {
    /// Puts the text into its variable. For the session's shell itself.
    pub(super) fn provide(&self) -> Script {
        let mut script = Script::default();
        script.call("set --", [self.text()]);
        script.constant_line(self.keep);
        script.constant_line("set --");
        script
    }

    /// The text without what only a reader needs, a third of it: comments, indentation, empty lines.
    ///
    /// Every line is a shell's line: no file has a here-document or a string over several lines that begins with a `#`
    /// or whose indentation matters.
    pub(super) fn text(&self) -> String {
        let lines = self.parts.iter().flat_map(|part| part.lines()).map(|line| line.trim_start_matches('\t'));
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        code.flat_map(|line| [line, "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_reader_needs_does_not_travel() {
        let library = Library {
            parts: &["# why\n\nf() { # what\n\techo '#'\n}\n", "newline='\n'\n"],
            keep: "x=$1",
            load: "eval \"$x\"",
        };
        assert_eq!(library.text(), "f() { # what\necho '#'\n}\nnewline='\n'\n");
        assert_eq!(
            library.provide().as_str(),
            "set -- 'f() { # what\necho '\\''#'\\''\n}\nnewline='\\''\n'\\''\n'\nx=$1\nset --\n"
        );
    }
}
