//! CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267): a client that does what ADDTO and REMOVEFROM say has the list that a fresh command gives.
//!
//! Seeded: the same messages come, change and go in every run.

use tests::imap::{Imap, Reply};
use tests::server::{PASSWORD, Server};

/// Commands whose results are kept, without UID and RETURN.
const COMMANDS: [(&str, &str); 5] = [
    ("SORT", "(SUBJECT) UTF-8 UNFLAGGED"),
    ("SORT", "(REVERSE FROM SUBJECT REVERSE SIZE) UTF-8 ALL"),
    ("SORT", "(REVERSE ARRIVAL) UTF-8 OR SEEN SUBJECT a"),
    ("SORT", "(SIZE) UTF-8 KEYWORD $Own"),
    ("SEARCH", "OR UNSEEN FLAGGED"),
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A list of a client.
struct Context {
    tag: String,
    numbering: &'static str,
    command: (&'static str, &'static str),
    list: Vec<u32>,
}

fn numbers(set: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for range in set.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let bound = |text: &str| text.parse::<u32>().expect("a number");
        assert!(bound(first) <= bound(last), "{set}");
        numbers.extend(bound(first)..=bound(last));
    }
    numbers
}

fn all(reply: &Reply) -> Vec<u32> {
    let lines = reply.untagged.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
    let found = lines.filter(|line| line.starts_with("* ESEARCH")).find_map(|line| {
        let (_, set) = line.split_once(" ALL ")?;
        Some(numbers(set))
    });
    found.unwrap_or_default()
}

impl Context {
    fn begin(imap: &mut Imap, numbering: &'static str, command: (&'static str, &'static str)) -> Context {
        let (name, rest) = command;
        let tag = imap.begin(&format!("{numbering}{name} RETURN (UPDATE ALL) {rest}")).expect("sent");
        let reply = imap.finish(&tag).expect("an answer");
        Context { tag, numbering, command, list: all(&reply) }
    }

    /// Does what a line says, if it is for this list.
    fn take(&mut self, line: &str) {
        let uid = if self.numbering.is_empty() { "" } else { " UID" };
        let Some(items) = line.strip_prefix(&format!("* ESEARCH (TAG \"{}\"){uid} ", self.tag)) else {
            return;
        };
        for item in items.split(") ") {
            let (update, pairs) = item.split_once(" (").expect("an update");
            let words: Vec<&str> = pairs.trim_end_matches(')').split(' ').collect();
            for pair in words.chunks(2) {
                let mut place = pair[0].parse::<usize>().expect("a place");
                for number in numbers(pair[1]) {
                    match (update, place) {
                        ("ADDTO", 0) => {
                            self.list.push(number);
                            self.list.sort_unstable();
                        }
                        ("ADDTO", _) => {
                            self.list.insert(place - 1, number);
                            place += 1;
                        }
                        ("REMOVEFROM", 0) => self.list.retain(|&other| other != number),
                        ("REMOVEFROM", _) => assert_eq!(self.list.remove(place - 1), number, "{line}"),
                        _ => panic!("{line}"),
                    }
                }
            }
        }
    }
}

/// Does what the replies say, in their order.
fn take(contexts: &mut [Context], reply: &Reply) {
    for line in &reply.untagged {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        assert!(!line.contains("NOUPDATE"), "{line}");
        if let Some(sequence) = line.strip_prefix("* ").and_then(|line| line.strip_suffix(" EXPUNGE")) {
            let sequence: u32 = sequence.parse().expect("a sequence number");
            for context in contexts.iter_mut().filter(|context| context.numbering.is_empty()) {
                assert!(!context.list.contains(&sequence), "{sequence} goes, and was not taken out");
                context.list.iter_mut().filter(|number| **number > sequence).for_each(|number| *number -= 1);
            }
        }
        contexts.iter_mut().for_each(|context| context.take(&line));
    }
}

fn append(imap: &mut Imap, random: &mut Random) {
    let subject = ["a", "b", "Re: a", "B", "é", "", "a much longer subject than all of the others"];
    let from = ["ann", "bob", "Carol"];
    let flags = ["", "\\Flagged", "\\Seen", "$Own"];
    let text = "x".repeat(random.below(3));
    let message = format!(
        "Subject: {}\r\nFrom: {}@example.org\r\n\r\n{text}\r\n",
        subject[random.below(subject.len())],
        from[random.below(from.len())],
    );
    imap.append_ok("INBOX", flags[random.below(flags.len())], message.as_bytes());
}

#[test]
fn the_list_of_the_client_is_that_of_a_fresh_command() {
    let server = Server::start();
    let user = server.user("ann");
    let login = || Imap::login(server.addresses().imap, &user, PASSWORD).expect("a session");
    let (mut imap, mut other) = (login(), login());
    let mut random = Random(5267);
    for _ in 0..20 {
        append(&mut other, &mut random);
    }
    imap.ok("SELECT INBOX");
    other.ok("SELECT INBOX");
    let mut contexts = Vec::new();
    for command in COMMANDS {
        for numbering in ["UID ", ""] {
            contexts.push(Context::begin(&mut imap, numbering, command));
        }
    }
    let change = ["+FLAGS.SILENT", "-FLAGS.SILENT", "+FLAGS", "-FLAGS"];
    let flags = ["\\Flagged", "\\Seen", "$Own", "\\Deleted"];
    for round in 0..60 {
        // Several things happen before the client is told.
        for _ in 0..random.below(5) {
            let (first, length) = (1 + random.below(40), random.below(4));
            let set = format!("{first}:{}", first + length);
            match random.below(8) {
                0..=2 => append(&mut other, &mut random),
                3 => drop(other.ok("EXPUNGE")),
                4 => drop(other.ok(&format!("UID COPY {set} INBOX"))),
                _ => {
                    let change = change[random.below(change.len())];
                    let flag = flags[random.below(flags.len())];
                    other.ok(&format!("UID STORE {set} {change} ({flag})"));
                }
            }
        }
        // Or the client does something itself, which may tell what is new and not what is gone.
        let command = match random.below(4) {
            0 => format!("UID STORE {}:* +FLAGS ($Own)", 1 + random.below(60)),
            1 => "STORE 1 -FLAGS.SILENT ($Own)".to_owned(),
            2 => "FETCH 1 (UID)".to_owned(),
            _ => "NOOP".to_owned(),
        };
        let told = imap.command(&command).expect("an answer");
        take(&mut contexts, &told);
        let told = imap.ok("NOOP");
        take(&mut contexts, &told);
        for context in &contexts {
            let (name, rest) = context.command;
            let reply = imap.ok(&format!("{}{name} RETURN (ALL) {rest}", context.numbering));
            assert_eq!(context.list, all(&reply), "round {round}: {}{name} {rest}", context.numbering);
        }
    }
}
