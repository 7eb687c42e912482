//! What sessions do.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::mail;
use tests::random::Random;
use tests::server::Server;

use super::client::{Allowed, Client};
use super::model::{Flags, Guess, Model, set};
use super::{MAILBOXES, World};

/// Flags that are set and cleared.
const FLAGS: [&str; 6] = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$One", "$Two"];
/// Messages in a mailbox above which more are expunged than added.
const MANY: usize = 40;

const EXPUNGE: Allowed = Allowed { expunge: true, earlier: false, bare_fetch: false, no: false };
const STAY: Allowed = Allowed { expunge: false, ..EXPUNGE };

impl Client {
    /// Sends a random command, or none.
    pub(crate) fn begin_step(&mut self, server: &Server, random: &mut Random) {
        if self.is_idle {
            return;
        }
        let Some((mailbox, model)) = self.selected.clone() else {
            return self.select(random.below(MAILBOXES.len()), random);
        };
        let is_many = model.messages.len() > MANY;
        match random.below(100) {
            _ if model.messages.is_empty() => self.append(random),
            0..8 => drop(self.send("NOOP", EXPUNGE)),
            8..32 => self.store(&model, random),
            32..38 => self.mark(&model, random),
            38..46 => self.expunge(&model, random),
            46..56 if is_many => self.mark(&model, random),
            46..50 => self.append(random),
            50..56 => self.copy("COPY", &model, random),
            56..60 => self.copy("MOVE", &model, random),
            60..68 => self.fetch(&model, random),
            68..76 if self.kind.condstore => self.changed_since(&model, random),
            76..80 => {
                let set = self.messages("FETCH", &model, random);
                self.send(&format!("{set} BODY[TEXT]"), by(&set, Allowed { bare_fetch: true, ..STAY }));
            }
            80..84 => self.search(&model, random),
            84..88 => {
                self.send("IDLE", EXPUNGE);
                self.is_idle = true;
            }
            88..92 => match random.below(3) {
                0 => self.leave("UNSELECT"),
                1 => self.leave("CLOSE"),
                _ => self.select(if random.below(2) == 0 { mailbox } else { 1 - mailbox }, random),
            },
            92..96 => {
                match random.below(5) {
                    0 => self.expunge(&model, random),
                    1 => self.fetch(&model, random),
                    2 => self.copy("MOVE", &model, random),
                    3 => drop(self.send("NOOP", EXPUNGE)),
                    _ => self.store(&model, random),
                }
                self.sent.as_mut().expect("a command").cut = true;
            }
            96..98 => {
                self.reconnect_with(server, Some((mailbox, model)));
                self.select(mailbox, random);
            }
            _ => drop(self.send("NOOP", EXPUNGE)),
        }
    }

    /// Takes the replies to what was sent.
    pub(crate) fn end_step(&mut self, server: &Server, world: &mut World, random: &mut Random) {
        if self.is_idle && random.below(2) == 0 {
            return;
        }
        if self.is_idle && random.below(4) == 0 {
            self.is_idle = false;
            self.sent.as_mut().expect("IDLE").cut = true;
        }
        self.end_idle(world);
        if self.sent.as_ref().is_some_and(|sent| sent.cut) {
            // The server may have done it, or not.
            std::thread::sleep(Duration::from_micros(random.below(2000) as u64));
            self.hear_some(random.below(6), world);
            let selected = self.selected.take();
            self.reconnect_with(server, selected);
        }
        self.finish(world);
        self.learn(world);
    }

    /// The connection is lost; what was selected is remembered.
    fn reconnect_with(&mut self, server: &Server, selected: Option<(usize, Model)>) {
        self.reconnect(server);
        if let Some((mailbox, model)) = selected {
            self.remember(mailbox, model);
        }
    }

    /// Keeps what is known of a mailbox that is not selected any more. New messages that were not fetched are not known.
    fn remember(&mut self, mailbox: usize, mut model: Model) {
        if !model.by_uid {
            // Behind a message without a UID no number is sure: a client that goes on from there would not ask for the one before.
            let sure = model.messages.iter().take_while(|message| message.uid.is_some()).count();
            model.messages.truncate(sure);
        }
        model.messages.retain(|message| message.uid.is_some());
        (model.fetched, model.told) = (0, None);
        self.cache[mailbox] = self.kind.qresync.then_some(model);
    }

    fn leave(&mut self, command: &str) {
        if let Some((mailbox, model)) = self.selected.clone() {
            self.remember(mailbox, model);
        }
        self.send(command, STAY).leaves = true;
    }

    /// SELECT, with what is remembered of the mailbox.
    fn select(&mut self, mailbox: usize, random: &mut Random) {
        if let Some((selected, model)) = self.selected.take() {
            self.remember(selected, model);
        }
        let mut command = format!("SELECT {}", self.kind.mailbox(mailbox));
        let known = self.cache[mailbox].take().filter(|_| random.below(8) != 0);
        if let Some(model) = &known {
            command += &format!(" (QRESYNC ({} {}", model.uid_validity, model.highest);
            let uids = model.uids();
            match random.below(3) {
                0 if !uids.is_empty() => command += &format!(" {}", set(&uids)),
                1 if !uids.is_empty() => command += &format!(" 1:{}", model.last_uid()),
                _ => {}
            }
            if !self.kind.uid_only && !uids.is_empty() && random.below(2) == 0 {
                let sample: Vec<usize> = (0..uids.len()).filter(|_| random.below(3) == 0).collect();
                let sequences: Vec<u32> = sample.iter().map(|place| *place as u32 + 1).collect();
                let sampled: Vec<u32> = sample.iter().map(|place| uids[*place]).collect();
                if !sample.is_empty() {
                    command += &format!(" ({} {})", set(&sequences), set(&sampled));
                }
            }
            command += "))";
        } else if self.kind.condstore && random.below(2) == 0 {
            command += " (CONDSTORE)";
        }
        self.send(&command, STAY).selects = Some((mailbox, known));
    }

    /// A command for some messages, by numbers or UIDs: its name and its set.
    fn messages(&self, name: &str, model: &Model, random: &mut Random) -> String {
        let (command, set, _) = self.some(name, model, random);
        format!("{command} {set}")
    }

    fn some(&self, name: &str, model: &Model, random: &mut Random) -> (String, String, Vec<u32>) {
        let mut places: Vec<usize> =
            (0..1 + random.below(4)).map(|_| random.below(model.messages.len())).collect();
        places.sort_unstable();
        places.dedup();
        let uids: Vec<u32> = places.iter().map(|place| model.messages[*place].uid.expect("known")).collect();
        if self.kind.uid_only || random.below(2) == 0 {
            return (format!("UID {name}"), set(&uids), uids);
        }
        let sequences: Vec<u32> = places.iter().map(|place| *place as u32 + 1).collect();
        (name.to_string(), set(&sequences), uids)
    }

    fn store(&mut self, model: &Model, random: &mut Random) {
        let (command, set, uids) = self.some("STORE", model, random);
        let mut flags = vec![*random.pick(&FLAGS).expect("one")];
        if random.below(3) == 0 {
            flags.push(random.pick(&FLAGS).expect("one"));
        }
        let sign = ["+", "-", ""][random.below(3)];
        let silent = random.below(2) == 0;
        let mut text = format!("{command} {set} ");
        if self.kind.condstore && random.below(3) == 0 {
            let of_one = model.messages[model.place(uids[0]).expect("known")].modseq.unwrap_or(1);
            let since = [model.highest, of_one, of_one - 1, 0][random.below(4)];
            text += &format!("(UNCHANGEDSINCE {since}) ");
        }
        text += &format!("{sign}FLAGS{} ({})", if silent { ".SILENT" } else { "" }, flags.join(" "));
        let guess = guess(model, &uids, sign, &flags);
        let sent = self.send(&text, by(&command, STAY));
        if silent {
            sent.guess = Some(guess);
        }
    }

    /// Marks messages \Deleted.
    fn mark(&mut self, model: &Model, random: &mut Random) {
        let (command, set, uids) = self.some("STORE", model, random);
        let guess = guess(model, &uids, "+", &["\\Deleted"]);
        let text = format!("{command} {set} +FLAGS.SILENT (\\Deleted)");
        self.send(&text, by(&command, STAY)).guess = Some(guess);
    }

    fn expunge(&mut self, model: &Model, random: &mut Random) {
        if random.below(3) > 0 {
            self.send("EXPUNGE", EXPUNGE);
            return;
        }
        let first = random.below(model.messages.len());
        let uid = model.messages[first].uid.expect("known");
        self.send(&format!("UID EXPUNGE {uid}:{}", uid + 5), EXPUNGE);
    }

    fn append(&mut self, random: &mut Random) {
        let message = mail::small(&format!("{:x}", random.bits()));
        let message = String::from_utf8(message).expect("ASCII");
        let mailbox = self.kind.mailbox(random.below(MAILBOXES.len()));
        let flags = ["", "\\Seen", "\\Deleted", "$One"][random.below(4)];
        self.send(&format!("APPEND {mailbox} ({flags}) {{{}+}}\r\n{message}", message.len()), EXPUNGE);
    }

    fn copy(&mut self, name: &str, model: &Model, random: &mut Random) {
        let set = self.messages(name, model, random);
        let mailbox = self.kind.mailbox(random.below(MAILBOXES.len()));
        self.send(&format!("{set} {mailbox}"), Allowed { no: true, ..EXPUNGE });
    }

    fn fetch(&mut self, model: &Model, random: &mut Random) {
        let set = self.messages("FETCH", model, random);
        let with_modseq = self.kind.condstore && random.below(2) == 0;
        let items = if with_modseq { "(UID FLAGS MODSEQ)" } else { "(UID FLAGS)" };
        self.send(&format!("{set} {items}"), by(&set, Allowed { bare_fetch: !with_modseq, ..STAY }));
    }

    fn changed_since(&mut self, model: &Model, random: &mut Random) {
        let since = 1 + model.highest.saturating_sub(random.below(30) as u64 + 1);
        let earlier = self.kind.qresync && random.below(2) == 0;
        if earlier || self.kind.uid_only {
            let vanished = if earlier { " VANISHED" } else { "" };
            let command = format!("UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since}{vanished})");
            self.send(&command, Allowed { earlier, ..EXPUNGE });
        } else {
            self.send(&format!("FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since})"), STAY);
        }
    }

    fn search(&mut self, model: &Model, random: &mut Random) {
        let key = match random.below(3) {
            0 if self.kind.condstore => format!("MODSEQ {}", model.highest),
            1 => "UNFLAGGED KEYWORD $One".to_string(),
            _ => "SEEN".to_string(),
        };
        let command = if self.kind.uid_only || random.below(2) == 0 { "UID SEARCH" } else { "SEARCH" };
        self.send(&format!("{command} {key}"), by(command, STAY));
    }
}

/// With UID before it, a command allows that numbers move.
fn by(command: &str, allowed: Allowed) -> Allowed {
    Allowed { expunge: command.starts_with("UID"), ..allowed }
}

/// What a STORE makes of flags that are known.
fn guess(model: &Model, uids: &[u32], sign: &str, flags: &[&str]) -> Guess {
    let flags: Flags = flags.iter().map(|flag| flag.to_ascii_uppercase()).collect();
    let after = |before: &Flags| match sign {
        "+" => before.union(&flags).cloned().collect(),
        "-" => before.difference(&flags).cloned().collect(),
        _ => flags.clone(),
    };
    let known = uids.iter().filter_map(|uid| {
        let message = &model.messages[model.place(*uid)?];
        Some((*uid, after(message.flags.as_ref()?)))
    });
    Guess { flags: known.collect::<BTreeMap<_, _>>() }
}

/// All sessions leave their mailboxes, and what was expunged is given back: those that come back do not find the tombstones.
pub(crate) fn collect(server: &Server, clients: &mut [Client], world: &mut World, _: &mut Random) {
    for client in clients.iter_mut() {
        client.settle(world);
        if client.selected.is_some() {
            client.leave("UNSELECT");
            client.finish(world);
        }
    }
    server.lode(&["gc"]);
}
