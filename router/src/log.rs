//! One line an event on stderr: `level event key=value …`, as journald and people read it.
//!
//! Nothing here ever sees a password, or a byte a client sent.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The ordinary course.
    Info,
    /// Worth a look.
    Warn,
    /// Something does not work.
    Error,
}

/// Writes one line. A closed stderr is no reason to stop.
pub(crate) fn event(level: Level, name: &str, facts: &[(&str, &dyn Display)]) {
    let mut line = line(level, name, facts);
    line.push('\n');
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn line(level: Level, name: &str, facts: &[(&str, &dyn Display)]) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!("{level} {name}");
    for (key, value) in facts {
        // Writing into a String does not fail.
        let _: fmt::Result = write!(line, " {key}=");
        let text = value.to_string();
        let plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '"';
        if !text.is_empty() && text.chars().all(plain) {
            line.push_str(&text);
        } else {
            let _: fmt::Result = write!(line, "{text:?}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let line = line(Level::Warn, "bad-thing", &[("pid", &7), ("why", &"a \"b\"\nc"), ("none", &"")]);
        assert_eq!(line, r#"warn bad-thing pid=7 why="a \"b\"\nc" none="""#);
    }
}
