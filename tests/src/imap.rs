//! An IMAP client for tests: one command, all its replies, nothing hidden.

use crate::stream::{Fault, Stream, show};
use crate::value::{Value, announced, read};
use std::net::SocketAddr;
use std::time::Duration;

/// A logged-in or not yet logged-in IMAP connection.
#[derive(Debug)]
pub struct Imap {
    stream: Stream,
    next_tag: u32,
    /// The first line of the server.
    pub greeting: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
}

/// All that the server said to one command.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Untagged replies in order, literals in place, without the last CRLF.
    pub untagged: Vec<Vec<u8>>,
    /// How it ended.
    pub status: Status,
    /// The tagged line behind its tag.
    pub text: String,
}

/// One `* n FETCH (…)`.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Sequence number.
    pub seq: u32,
    /// Items in order, names in upper case.
    pub items: Vec<(String, Value)>,
}

impl Fetch {
    /// The item of that name.
    pub fn item(&self, name: &str) -> Option<&Value> {
        self.items.iter().find(|(each, _)| each == name).map(|(_, value)| value)
    }

    /// The UID, if it was sent.
    pub fn uid(&self) -> Option<u32> {
        self.item("UID").and_then(Value::number).map(|number| number as u32)
    }

    /// The flags, sorted, if they were sent.
    pub fn flags(&self) -> Option<Vec<String>> {
        let mut flags: Vec<String> = self.item("FLAGS")?.items().iter().map(Value::text).collect();
        flags.sort();
        Some(flags)
    }
}

/// What an untagged reply means for a session's view.
#[derive(Clone, Debug)]
pub enum Event {
    /// `* n EXISTS`
    Exists(u32),
    /// `* n EXPUNGE`
    Expunge(u32),
    /// `* n FETCH`
    Fetch(Fetch),
    /// `* SEARCH …`
    Search(Vec<u32>),
    /// `* BYE`
    Bye,
    /// Anything else.
    Other,
}

/// Reads an untagged reply as an event.
pub fn event(line: &[u8]) -> Result<Event, Fault> {
    let values = read(line).map_err(|what| Fault::Wrong(format!("{what} in {:?}", show(line))))?;
    let word =
        |index: usize| values.get(index).map(|value| value.text().to_ascii_uppercase()).unwrap_or_default();
    if word(1) == "SEARCH" {
        return Ok(Event::Search(values[2..].iter().filter_map(Value::number).map(|n| n as u32).collect()));
    }
    if word(1) == "BYE" {
        return Ok(Event::Bye);
    }
    let Some(number) = values.get(1).and_then(Value::number).map(|number| number as u32) else {
        return Ok(Event::Other);
    };
    match word(2).as_str() {
        "EXISTS" => Ok(Event::Exists(number)),
        "EXPUNGE" => Ok(Event::Expunge(number)),
        "FETCH" => {
            let list = values.get(3).map(Value::items).unwrap_or_default();
            let items =
                list.chunks_exact(2).map(|pair| (pair[0].text().to_ascii_uppercase(), pair[1].clone()));
            Ok(Event::Fetch(Fetch { seq: number, items: items.collect() }))
        }
        _ => Ok(Event::Other),
    }
}

impl Reply {
    /// The FETCH replies.
    pub fn fetches(&self) -> Vec<Fetch> {
        self.events()
            .into_iter()
            .filter_map(|each| if let Event::Fetch(fetch) = each { Some(fetch) } else { None })
            .collect()
    }

    /// All untagged replies as events.
    pub fn events(&self) -> Vec<Event> {
        self.untagged.iter().map(|line| event(line).unwrap_or_else(|fault| panic!("{fault}"))).collect()
    }

    /// The numbers of all SEARCH replies.
    pub fn search(&self) -> Vec<u32> {
        self.events()
            .into_iter()
            .flat_map(|each| if let Event::Search(found) = each { found } else { Vec::new() })
            .collect()
    }

    /// The last `* n EXISTS`.
    pub fn exists(&self) -> Option<u32> {
        self.events()
            .into_iter()
            .rev()
            .find_map(|each| if let Event::Exists(count) = each { Some(count) } else { None })
    }

    /// The arguments of a response code such as `APPENDUID`, wherever in the reply it is.
    pub fn code(&self, name: &str) -> Option<Vec<String>> {
        let open = format!("[{name} ");
        let lines = self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        lines.chain([self.text.clone()]).find_map(|line| {
            let begin = line.find(&open)? + open.len();
            let end = begin + line[begin..].find(']')?;
            Some(line[begin..end].split(' ').map(str::to_string).collect())
        })
    }

    /// One number of a response code.
    pub fn code_number(&self, name: &str, index: usize) -> Option<u32> {
        self.code(name)?.get(index)?.parse().ok()
    }
}

impl Imap {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Result<Imap, Fault> {
        Imap::over(Stream::connect(address)?)
    }

    /// Reads the greeting on a connection.
    pub fn over(mut stream: Stream) -> Result<Imap, Fault> {
        let greeting = stream.line()?;
        Ok(Imap { stream, next_tag: 0, greeting })
    }

    /// Connects and logs in.
    pub fn login(address: SocketAddr, user: &str, password: &str) -> Result<Imap, Fault> {
        let mut imap = Imap::connect(address)?;
        let reply = imap.command(&format!("LOGIN {user} {password}"))?;
        match reply.status {
            Status::Ok => Ok(imap),
            _ => Err(Fault::Wrong(format!("LOGIN: {}", reply.text))),
        }
    }

    /// The connection itself, for octets that are no command.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Sets how long later reads wait.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_patience(patience);
    }

    /// Sends a command without waiting; its tag.
    pub fn begin(&mut self, command: &str) -> Result<String, Fault> {
        self.next_tag += 1;
        let tag = format!("t{}", self.next_tag);
        self.stream.send(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    /// Reads until the tagged reply.
    pub fn finish(&mut self, tag: &str) -> Result<Reply, Fault> {
        let mut untagged = Vec::new();
        loop {
            let line = self.response()?;
            if !line.starts_with(b"* ") {
                return tagged(tag, &line, untagged);
            }
            untagged.push(line);
        }
    }

    /// One command and its replies.
    pub fn command(&mut self, command: &str) -> Result<Reply, Fault> {
        let tag = self.begin(command)?;
        self.finish(&tag)
    }

    /// One command that has to succeed.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> Reply {
        match self.command(command) {
            Ok(reply) if reply.status == Status::Ok => reply,
            Ok(reply) => panic!("{command}: {}", reply.text),
            Err(fault) => panic!("{command}: {fault}"),
        }
    }

    /// One command that has to fail with NO.
    #[track_caller]
    pub fn no(&mut self, command: &str) -> Reply {
        let reply = self.command(command).unwrap_or_else(|fault| panic!("{command}: {fault}"));
        assert_eq!(reply.status, Status::No, "{command}: {}", reply.text);
        reply
    }

    /// APPEND; the reply.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Result<Reply, Fault> {
        let tag = self.begin(&format!("APPEND {mailbox} ({flags}) {{{}}}", message.len()))?;
        let mut untagged = Vec::new();
        loop {
            let line = self.response()?;
            if line.starts_with(b"+") {
                break;
            }
            // Refused before the message was sent.
            if !line.starts_with(b"* ") {
                return tagged(&tag, &line, untagged);
            }
            untagged.push(line);
        }
        self.stream.send(message)?;
        self.stream.send(b"\r\n")?;
        self.finish(&tag)
    }

    /// APPEND that has to succeed; the UID of the message.
    #[track_caller]
    pub fn append_ok(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> u32 {
        let reply = self.append(mailbox, flags, message).unwrap_or_else(|fault| panic!("APPEND: {fault}"));
        assert_eq!(reply.status, Status::Ok, "APPEND: {}", reply.text);
        reply.code_number("APPENDUID", 1).unwrap_or_else(|| panic!("no APPENDUID in {}", reply.text))
    }

    /// One reply of the server, with the literals that belong to it.
    pub fn response(&mut self) -> Result<Vec<u8>, Fault> {
        let mut response = self.stream.line()?;
        while let Some(length) = announced(&response) {
            let literal = self.stream.exactly(length)?;
            response.extend_from_slice(b"\r\n");
            response.extend_from_slice(&literal);
            let more = self.stream.line()?;
            response.extend_from_slice(&more);
            if announced(&more).is_none() {
                break;
            }
        }
        Ok(response)
    }
}

/// Reads a line as the end of the command with that tag.
fn tagged(tag: &str, line: &[u8], untagged: Vec<Vec<u8>>) -> Result<Reply, Fault> {
    let Some(rest) = line.strip_prefix(format!("{tag} ").as_bytes()) else {
        return Err(Fault::Wrong(format!("unexpected line {:?}", show(line))));
    };
    let text = String::from_utf8_lossy(rest).into_owned();
    let status = match text.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "OK" => Status::Ok,
        "NO" => Status::No,
        "BAD" => Status::Bad,
        _ => return Err(Fault::Wrong(format!("tagged line {text:?}"))),
    };
    Ok(Reply { untagged, status, text })
}
