//! Runs the conversations under `wire/`: one script, a fresh user and another one, any number of connections.
//!
//! A script is read line by line:
//!
//! | line | meaning |
//! |---|---|
//! | `# …`, empty | nothing |
//! | `needs CAPABILITY …` | the script is only for servers that announce all of these, `NAME=` with any value; Lode must |
//! | `at NAME: line` | what stands instead of the line above when the server is the one of that name |
//! | `why NAME: reason` | why that is so, and Lode right: for all `at NAME` lines since the last reason |
//! | `differs NAME: reason` | the server of that name fails this script from somewhere on |
//! | `mail NAME`, then `\| …` lines | a message (CRLF line ends) under that name; `{NAME-octets}` is its size |
//! | `setting TABLE KEY = VALUE` | Lode is started with this setting; other servers must have their own way |
//! | `file NAME`, then `\| …` lines | a file in the server's folder, which `{folder}` in a setting stands for |
//! | `let NAME = text` | a variable |
//! | `octets NAME = hex` | a variable of octets, two hex digits each, spaces between them as one likes |
//! | `create MAILBOX` · `append MAILBOX (FLAGS) NAME` · `deliver NAME` | what is there before |
//! | `connect 1` · `connect 1 pop3` · `login 1` | opens a connection; `login` also logs the user in and selects nothing |
//! | `friend 2` | the same as `login 2`, for another user, whose name is `{friend}` |
//! | `administrator 3` | the same for a user who may set what others have; `setting auth administrators = ["root"]` makes one |
//! | `C1: text` | the client sends a line; `{name}` is a variable, `{>name}` a literal (not sent if the server refuses it), `{+name}` a non-synchronising one |
//! | `D1: name` | the client sends a message with dots stuffed and the closing dot |
//! | `O1: name` | the client sends the octets of a message or variable as they are |
//! | `S1: pattern` | the server says this (see [`crate::pattern`]) |
//! | `N1: pattern` | no untagged reply before the next tagged one is like this |
//! | `A1: pattern` | the server says this sooner or later (POP3, LMTP: further lines are skipped) |
//! | `deflate 1` · `plain 1` | the client compresses what it sends, and takes what comes as compressed (RFC 4978) · it does not any more |
//! | `eof 1` · `close 1` · `pause 1` | the server closes · the client hangs up · nothing may come from the server for 200 ms |
//!
//! In IMAP untagged replies may come in any order, and others may come too: each `S1: * …` takes one of those up to the
//! next tagged reply, and its items may come in any order, too ([`crate::order`]). In POP3 and LMTP each `S1:` is the very next line. Variables that are always there: `user`, `friend`, `password`,
//! `plain` (the SASL PLAIN response), `wrongplain`.

use crate::order::matches_in_any_order;
use crate::pattern::{Variables, fill, matches};
use crate::server::{Addresses, Options, PASSWORD};
use crate::stream::{Fault, Stream, show};
use crate::value::announced;
use crate::{imap::Imap, lmtp, lmtp::Lmtp, pop3::Pop3, script};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3501
    Imap,
    /// RFC 1939
    Pop3,
    /// RFC 2033
    Lmtp,
}

/// Who the script's user is and where the server listens.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Where.
    pub addresses: Addresses,
    /// A user without any mail.
    pub user: String,
    /// Another one.
    pub friend: String,
    /// An administrator.
    pub administrator: String,
    /// The password of both.
    pub password: String,
    /// A name that `differs` lines may use; empty for Lode.
    pub server: String,
    /// Where files of the script go; `None` for a server that reads none.
    pub folder: Option<PathBuf>,
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As written.
    Passed,
    /// Not as written, and the script says that this server differs.
    Differs(String),
    /// Not played: the server does not announce this, which the script needs.
    Lacks(String),
}

struct Connection {
    protocol: Protocol,
    stream: Stream,
    /// Untagged replies that no line has taken.
    untagged: Vec<Vec<u8>>,
    /// A line that came where a continuation was awaited: the next one to be heard.
    instead: Option<Vec<u8>>,
    /// Patterns of `N` lines for the next tagged reply.
    never: Vec<String>,
}

struct Play<'a> {
    stage: &'a Stage,
    default: Protocol,
    variables: Variables,
    connections: BTreeMap<String, Connection>,
    transcript: String,
}

/// What the server says it can do, before and after the login.
pub fn capabilities(protocol: Protocol, stage: &Stage) -> Result<Vec<String>, String> {
    let addresses = stage.addresses;
    let mut found = Vec::new();
    match protocol {
        Protocol::Imap => {
            let anonymous = Imap::connect(addresses.imap).map_err(text)?;
            let user = Imap::login(addresses.imap, &stage.user, &stage.password).map_err(text)?;
            for mut imap in [anonymous, user] {
                let reply = imap.command("CAPABILITY").map_err(text)?;
                let _ = imap.command("LOGOUT");
                for line in reply.untagged.iter().filter_map(|line| line.strip_prefix(b"* CAPABILITY ")) {
                    found.extend(String::from_utf8_lossy(line).split(' ').map(str::to_string));
                }
            }
        }
        Protocol::Pop3 => {
            let lines =
                Pop3::connect(addresses.pop3).and_then(|mut pop3| pop3.lines("CAPA")).map_err(text)?;
            found.extend(lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        }
        Protocol::Lmtp => found = Lmtp::connect(addresses.lmtp).map_err(text)?.extensions,
    }
    if protocol != Protocol::Imap {
        let names = found.iter().filter_map(|line| Some(line.split_once(' ')?.0.to_string()));
        let names: Vec<String> = names.collect();
        found.extend(names);
    }
    Ok(found)
}

/// What the script needs and the server does not announce.
fn lacks(text: &str, protocol: Protocol, stage: &Stage) -> Result<Option<String>, String> {
    let needs = script::needs(text);
    if needs.is_empty() {
        return Ok(None);
    }
    let announced = capabilities(protocol, stage)?;
    let is_there = |need: &str| announced.iter().any(|each| script::is_meant(need, each));
    Ok(needs.into_iter().find(|need| !is_there(need)).map(str::to_string))
}

/// Runs the script of that path below `wire/`.
pub fn run(script: &str, stage: &Stage) -> Result<Outcome, String> {
    let text = script::read(script)?;
    let default = match script.split('/').next() {
        Some("pop3") => Protocol::Pop3,
        Some("lmtp") => Protocol::Lmtp,
        _ => Protocol::Imap,
    };
    if let Some(capability) = lacks(&text, default, stage)? {
        return Ok(Outcome::Lacks(capability));
    }
    let plain = |password: &str| base64(format!("\0{}\0{password}", stage.user).as_bytes());
    let variables = [
        ("user", stage.user.clone()),
        ("friend", stage.friend.clone()),
        ("password", stage.password.clone()),
        ("plain", plain(&stage.password)),
        ("wrongplain", plain("not the password")),
    ];
    let variables =
        variables.into_iter().map(|(name, value)| (name.to_string(), value.into_bytes())).collect();
    let mut play =
        Play { stage, default, variables, connections: BTreeMap::new(), transcript: String::new() };
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let number = at + 1;
        let mut line = lines[at];
        at += 1;
        while let Some(more) =
            lines.get(at).filter(|line| line.starts_with("at ") || line.starts_with("why "))
        {
            at += 1;
            let Some(otherwise) = more.strip_prefix("at ") else { continue };
            if let Some((server, instead)) = otherwise.split_once(": ")
                && server == stage.server
            {
                line = instead;
            }
        }
        let mut block = Vec::new();
        if line.starts_with("mail ") || line.starts_with("file ") {
            while let Some(more) = lines.get(at).and_then(|line| line.strip_prefix('|')) {
                block.extend_from_slice(more.strip_prefix(' ').unwrap_or(more).as_bytes());
                block.extend_from_slice(if line.starts_with("mail ") { b"\r\n" } else { b"\n" });
                at += 1;
            }
        }
        if let Err(what) = play.line(line, block) {
            if let Some(reason) = script::differs(&text, &stage.server) {
                return Ok(Outcome::Differs(reason.to_string()));
            }
            return Err(format!(
                "{script}:{number}: {line}\n  {what}\n--- conversation ---\n{}",
                play.transcript
            ));
        }
    }
    match script::differs(&text, &stage.server) {
        Some(_) => Err(format!("{script}: it passes, so its `differs {}` line is wrong", stage.server)),
        None => Ok(Outcome::Passed),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().filter(|digit| *digit != ' ').map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl Play<'_> {
    fn line(&mut self, line: &str, block: Vec<u8>) -> Result<(), String> {
        let trimmed = line.trim_end();
        if trimmed.is_empty() || ["#", "differs ", "needs "].iter().any(|start| trimmed.starts_with(start)) {
            return Ok(());
        }
        if let Some((head, text)) = trimmed.split_once(':')
            && let Some(name) = head.get(1..)
            && head.is_ascii()
            && !head.contains(' ')
        {
            let text = text.strip_prefix(' ').unwrap_or(text);
            match &head[..1] {
                "C" => return self.client(name, text),
                "D" => return self.data(name, text),
                "O" => {
                    let octets = self.variables.get(text).cloned().ok_or("no such variable")?;
                    return self.say(name, &octets);
                }
                "S" => return self.server(name, text),
                "A" => return self.sooner_or_later(name, text),
                "N" => {
                    self.connection(name)?.never.push(text.to_string());
                    return Ok(());
                }
                _ => {}
            }
        }
        let (word, rest) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        match word {
            // The server was started with it.
            "setting" => Ok(()),
            "file" => {
                let folder = self.stage.folder.as_ref().ok_or("this server reads no files of ours")?;
                std::fs::write(folder.join(rest), block).map_err(|error| error.to_string())
            }
            "mail" => {
                self.variables.insert(format!("{rest}-octets"), block.len().to_string().into_bytes());
                self.variables.insert(rest.to_string(), block);
                Ok(())
            }
            "let" => {
                let (name, value) = rest.split_once(" = ").ok_or("let NAME = text")?;
                let value = fill(value, &self.variables);
                self.variables.insert(name.to_string(), value);
                Ok(())
            }
            "octets" => {
                let (name, value) = rest.split_once(" = ").ok_or("octets NAME = hex")?;
                self.variables.insert(name.to_string(), from_hex(value).ok_or("that is no hex")?);
                Ok(())
            }
            "create" | "append" | "deliver" => self.prepare(word, rest),
            "connect" => self.connect(rest).map(|_| ()),
            "login" => self.login(rest, self.stage.user.clone()),
            "friend" => self.login(rest, self.stage.friend.clone()),
            "deflate" => self.connection(rest).map(|connection| connection.stream.begin_compression()),
            "plain" => self.connection(rest).map(|connection| connection.stream.end_compression()),
            "administrator" => self.login(rest, self.stage.administrator.clone()),
            "eof" => self.eof(rest),
            "close" => self.connections.remove(rest).map(|_| ()).ok_or(format!("no connection {rest}")),
            "pause" => self.pause(rest),
            _ => Err("not a line of a script".to_string()),
        }
    }

    fn prepare(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let stage = self.stage;
        let variable = |name: &str| self.variables.get(name).cloned().ok_or(format!("no mail {name}"));
        if word == "deliver" {
            let mut lmtp = Lmtp::connect(stage.addresses.lmtp).map_err(text)?;
            let accepted = lmtp.deliver(&[&stage.user], &variable(rest)?).map_err(text)?;
            return if accepted == [true] { Ok(()) } else { Err("delivery refused".to_string()) };
        }
        let mut imap = Imap::login(stage.addresses.imap, &stage.user, &stage.password).map_err(text)?;
        let reply = if word == "create" {
            imap.command(&format!("CREATE {rest}"))
        } else {
            let (mailbox, rest) = rest.split_once(" (").ok_or("append MAILBOX (FLAGS) NAME")?;
            let (flags, name) = rest.split_once(") ").ok_or("append MAILBOX (FLAGS) NAME")?;
            imap.append(mailbox, flags, &variable(name)?)
        };
        let reply = reply.map_err(text)?;
        let _ = imap.command("LOGOUT");
        if reply.text.starts_with("OK") { Ok(()) } else { Err(reply.text) }
    }

    fn address(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Imap => self.stage.addresses.imap,
            Protocol::Pop3 => self.stage.addresses.pop3,
            Protocol::Lmtp => self.stage.addresses.lmtp,
        }
    }

    fn connect(&mut self, rest: &str) -> Result<&mut Connection, String> {
        let (name, protocol) = match rest.split_once(' ') {
            Some((name, "imap")) => (name, Protocol::Imap),
            Some((name, "pop3")) => (name, Protocol::Pop3),
            Some((name, "lmtp")) => (name, Protocol::Lmtp),
            Some(_) => return Err("unknown protocol".to_string()),
            None => (rest, self.default),
        };
        let mut stream = Stream::connect(self.address(protocol)).map_err(text)?;
        stream.set_patience(Duration::from_secs(10));
        let connection =
            Connection { protocol, stream, untagged: Vec::new(), instead: None, never: Vec::new() };
        self.connections.insert(name.to_string(), connection);
        self.connection(name)
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        self.connections.get_mut(name).ok_or(format!("no connection {name}: use connect or login"))
    }

    fn login(&mut self, rest: &str, user: String) -> Result<(), String> {
        let password = self.stage.password.clone();
        let name = rest.split(' ').next().unwrap_or_default().to_string();
        let commands = match self.connect(rest)?.protocol {
            Protocol::Imap => vec![format!("login LOGIN {user} {password}")],
            Protocol::Pop3 => vec![format!("USER {user}"), format!("PASS {password}")],
            Protocol::Lmtp => vec!["LHLO client.example".to_string()],
        };
        let protocol = self.connection(&name)?.protocol;
        let greeting = self.hear(&name)?;
        if !greeting.starts_with(b"* OK") && !greeting.starts_with(b"+OK") && !greeting.starts_with(b"220") {
            return Err(format!("greeting {:?}", show(&greeting)));
        }
        for command in commands {
            self.say(&name, format!("{command}\r\n").as_bytes())?;
            loop {
                let line = self.hear(&name)?;
                match protocol {
                    Protocol::Imap if line.starts_with(b"* ") => {}
                    Protocol::Imap if line.starts_with(b"login OK") => break,
                    Protocol::Pop3 if line.starts_with(b"+OK") => break,
                    Protocol::Lmtp if line.starts_with(b"250-") => {}
                    Protocol::Lmtp if line.starts_with(b"250 ") => break,
                    _ => return Err(format!("at login: {:?}", show(&line))),
                }
            }
        }
        Ok(())
    }

    fn client(&mut self, name: &str, line: &str) -> Result<(), String> {
        let connection = self.connection(name)?;
        if connection.protocol != Protocol::Imap {
            connection.untagged.clear();
        }
        let mut rest = line;
        while let Some(open) = rest.find("{>").into_iter().chain(rest.find("{+")).min() {
            let close = open + rest[open..].find('}').ok_or("a literal without a }")?;
            let literal = self.variables.get(&rest[open + 2..close]).cloned().ok_or("no such variable")?;
            let waits = &rest[open..open + 2] == "{>";
            let mut wire = fill(&rest[..open], &self.variables);
            wire.extend_from_slice(
                format!("{{{}{}}}\r\n", literal.len(), if waits { "" } else { "+" }).as_bytes(),
            );
            self.say(name, &wire)?;
            if waits {
                loop {
                    let line = self.hear(name)?;
                    if line.starts_with(b"+") {
                        break;
                    }
                    let connection = self.connection(name)?;
                    if !line.starts_with(b"* ") {
                        connection.instead = Some(line);
                        return Ok(());
                    }
                    connection.untagged.push(line);
                }
            }
            self.say(name, &literal)?;
            rest = &rest[close + 1..];
        }
        let mut wire = fill(rest, &self.variables);
        wire.extend_from_slice(b"\r\n");
        self.say(name, &wire)
    }

    fn data(&mut self, name: &str, mail: &str) -> Result<(), String> {
        let mail = self.variables.get(mail).cloned().ok_or("no such mail")?;
        self.say(name, &lmtp::dot_stuffed(&mail))
    }

    fn server(&mut self, name: &str, pattern: &str) -> Result<(), String> {
        let imap = self.connection(name)?.protocol == Protocol::Imap;
        if !imap {
            let line = self.hear(name)?;
            return self.compare(pattern, &line);
        }
        if pattern.starts_with("* ") {
            return self.untagged(name, pattern);
        }
        loop {
            let line = self.hear(name)?;
            if line.starts_with(b"* ") {
                self.connection(name)?.untagged.push(line);
                continue;
            }
            self.compare(pattern, &line)?;
            let connection = self.connection(name)?;
            let untagged = std::mem::take(&mut connection.untagged);
            let never = std::mem::take(&mut connection.never);
            for pattern in never {
                if let Some(line) =
                    untagged.iter().find(|line| matches_in_any_order(&pattern, line, &mut self.variables))
                {
                    return Err(format!("must not be said: {:?}", show(line)));
                }
            }
            return Ok(());
        }
    }

    /// Takes a waiting untagged reply, or reads on; a line that is not untagged is too late for it.
    fn untagged(&mut self, name: &str, pattern: &str) -> Result<(), String> {
        loop {
            let waiting = std::mem::take(&mut self.connection(name)?.untagged);
            let place =
                waiting.iter().position(|line| matches_in_any_order(pattern, line, &mut self.variables));
            let connection = self.connection(name)?;
            connection.untagged = waiting;
            if let Some(place) = place {
                connection.untagged.remove(place);
                return Ok(());
            }
            let line = self.hear(name)?;
            if !line.starts_with(b"* ") {
                return Err(format!("was not said before {:?}", show(&line)));
            }
            self.connection(name)?.untagged.push(line);
        }
    }

    fn sooner_or_later(&mut self, name: &str, pattern: &str) -> Result<(), String> {
        let skipped = std::mem::take(&mut self.connection(name)?.untagged);
        let place = skipped.iter().position(|line| matches(pattern, line, &mut self.variables));
        self.connection(name)?.untagged = skipped;
        if place.is_some() {
            return Ok(());
        }
        loop {
            let line = self.hear(name)?;
            if matches(pattern, &line, &mut self.variables) {
                self.connection(name)?.untagged.push(line);
                return Ok(());
            }
            self.connection(name)?.untagged.push(line);
        }
    }

    fn eof(&mut self, name: &str) -> Result<(), String> {
        let connection = self.connections.get_mut(name).ok_or(format!("no connection {name}"))?;
        match connection.stream.rest() {
            Ok(rest) if rest.is_empty() => Ok(()),
            Ok(rest) => Err(format!("more before the close: {:?}", show(&rest))),
            Err(fault) => Err(fault.to_string()),
        }
    }

    fn pause(&mut self, name: &str) -> Result<(), String> {
        let connection = self.connection(name)?;
        if connection.stream.ready(Duration::from_millis(200)) {
            return Err("something came".to_string());
        }
        Ok(())
    }

    fn compare(&mut self, pattern: &str, line: &[u8]) -> Result<(), String> {
        if matches(pattern, line, &mut self.variables) {
            Ok(())
        } else {
            Err(format!("got {:?}", show(line)))
        }
    }

    fn say(&mut self, name: &str, octets: &[u8]) -> Result<(), String> {
        self.transcript.push_str(&format!("C{name}: {}\n", show(octets).trim_end()));
        self.connection(name)?.stream.send(octets).map_err(text)
    }

    fn hear(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let connection = self.connection(name)?;
        if let Some(line) = connection.instead.take() {
            return Ok(line);
        }
        let mut line = connection.stream.line().map_err(text)?;
        if connection.protocol == Protocol::Imap {
            let mut length = announced(&line);
            while let Some(count) = length {
                let literal = connection.stream.exactly(count).map_err(text)?;
                let more = connection.stream.line().map_err(text)?;
                length = announced(&more);
                line.extend_from_slice(b"\r\n");
                line.extend_from_slice(&literal);
                line.extend_from_slice(&more);
            }
        }
        self.transcript.push_str(&format!("S{name}: {}\n", show(&line)));
        Ok(line)
    }
}

fn text(fault: Fault) -> String {
    fault.to_string()
}

/// Base64 with padding (RFC 4648, section 4).
pub fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |sum, octet| sum << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// The stage on a [`crate::server::Server`].
pub fn stage(server: &crate::server::Server, user: &str) -> Stage {
    Stage {
        addresses: server.addresses(),
        user: server.user(user),
        friend: server.user("bob"),
        administrator: server.user("root"),
        password: PASSWORD.to_string(),
        server: server.peer().unwrap_or_default().to_string(),
        folder: server.is_lode().then(|| server.folder().to_path_buf()),
    }
}

/// What the `setting` lines of a script say.
fn options(script: &str) -> Options {
    let text = script::read(script).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("setting ")).fold(
        Options::default().users(&["ann", "bob", "root"]),
        |options, setting| {
            let parts =
                setting.split_once(' ').and_then(|(table, rest)| Some((table, rest.split_once(" = ")?)));
            let (table, (key, value)) = parts.expect("setting TABLE KEY = VALUE");
            options.set(table, key, value)
        },
    )
}

/// Plays a script on a server of its own, and panics with what went wrong and what the server said.
#[track_caller]
pub fn play(script: &str) {
    let server = crate::server::Server::with(options(script));
    match run(script, &stage(&server, "ann")) {
        Ok(Outcome::Passed) => {}
        Ok(Outcome::Differs(reason)) => println!("this server differs: {reason}"),
        Ok(Outcome::Lacks(capability)) => match server.peer() {
            Some(_) => println!("this server has no {capability}"),
            None => panic!("{script} needs {capability}, which is not announced"),
        },
        Err(what) => panic!("{what}{}", server.tail()),
    }
}

/// Tests that each play one script: `name: "path below wire",`.
#[macro_export]
macro_rules! scripts {
    ($($name:ident: $path:literal,)*) => {
        $(#[test]
        fn $name() {
            $crate::wire::play($path);
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_pads() {
        assert_eq!(super::base64(b"\0ann\0secret"), "AGFubgBzZWNyZXQ=");
        assert_eq!(super::base64(b"ab"), "YWI=");
        assert_eq!(super::base64(b"abc"), "YWJj");
    }
}
