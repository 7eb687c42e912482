//! Asks for a new password: from standard input for scripts, twice and without echo from a person.

use std::io::{self, BufRead, IsTerminal, Read};

use crate::failure::{Failure, Result};

/// Octets of the longest password.
const LENGTH_MAX: usize = 1_024;

/// A new password for `user`.
pub(crate) fn ask(user: &str, from_stdin: bool) -> Result<String> {
    if from_stdin {
        return read_line(&mut io::stdin().lock());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask for the password; give it with --password-stdin, \
             as in: printf %s SECRET | lode user add NAME --password-stdin"
                .to_owned(),
        ));
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map_err(Failure::because("cannot read the password from the terminal"))
    };
    let password = checked(ask(format!("New password for {user}: "))?)?;
    if ask("The same again: ".to_owned())? != password {
        return Err(Failure::Failed("the two passwords are not the same; nothing was changed".to_owned()));
    }
    Ok(password)
}

/// The first line, without its end.
fn read_line(input: &mut dyn BufRead) -> Result<String> {
    let mut line = Vec::new();
    input
        .take(LENGTH_MAX as u64 + 3)
        .read_until(b'\n', &mut line)
        .map_err(Failure::because("cannot read the password from standard input"))?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match String::from_utf8(line.to_vec()) {
        Ok(password) => checked(password),
        Err(_) => Err(Failure::Failed("the password is not UTF-8".to_owned())),
    }
}

fn checked(password: String) -> Result<String> {
    if password.is_empty() {
        Err(Failure::Failed("the password is empty; nothing was changed".to_owned()))
    } else if password.len() > LENGTH_MAX {
        Err(Failure::Failed(format!("the password is longer than {LENGTH_MAX} octets; nothing was changed")))
    } else {
        Ok(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_line() {
        for (input, password) in [("demo", "demo"), ("demo\n", "demo"), ("a b \r\nnext\n", "a b ")] {
            assert_eq!(read_line(&mut input.as_bytes()).expect("a password"), password);
        }
        for input in ["", "\n", &"x".repeat(LENGTH_MAX + 1)] {
            assert!(read_line(&mut input.as_bytes()).is_err());
        }
    }
}
