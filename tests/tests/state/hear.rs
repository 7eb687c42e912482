//! How replies change a session's model, and which replies must not be.

use std::collections::BTreeMap;

use super::World;
use super::client::{Client, Sent};
use super::model::{self, Model, numbers};
use super::reply::{Untagged, parse};

impl Client {
    /// Takes all untagged replies, and the tagged one.
    pub(crate) fn take_all(
        &mut self,
        lines: &[Vec<u8>],
        tagged: &str,
        selecting: bool,
        sent: &mut Sent,
        world: &mut World,
    ) {
        let mut is_resync = false;
        if selecting && let Some((_, model)) = &mut self.selected {
            is_resync = !model.messages.is_empty() || model.uid_validity != 0;
            if !is_resync {
                *model = Model { by_uid: self.kind.uid_only, ..Model::default() };
            }
        }
        let mut resync = Resync { is_resync, exists: None };
        for line in lines {
            self.take(line, selecting.then_some(&mut resync), sent, world);
        }
        if selecting {
            resync.begin(self);
        }
        let Some((_, model)) = &mut self.selected else { return };
        if let Some(code) = tagged.strip_prefix("OK [HIGHESTMODSEQ ") {
            model.told = code.split(']').next().and_then(|number| number.parse().ok());
            assert!(model.told.is_some() && !sent.command.starts_with("CLOSE"), "{tagged}");
        }
        let modified = tagged.strip_prefix("OK [MODIFIED ").and_then(|rest| rest.split(']').next());
        let modified = modified.map(numbers).unwrap_or_default();
        if let Some(guess) = sent.guess.take().filter(|_| tagged.starts_with("OK")) {
            for (uid, flags) in guess.flags {
                let Some(place) = model.place(uid) else { continue };
                let number = if sent.command.starts_with("UID") { uid } else { place as u32 + 1 };
                if !modified.contains(&number) {
                    model.messages[place].flags = Some(flags);
                }
            }
        }
        if self.kind.condstore {
            model.tagged();
        }
    }

    /// Takes one untagged reply.
    pub(crate) fn take(
        &mut self,
        line: &[u8],
        mut resync: Option<&mut Resync>,
        sent: &mut Sent,
        world: &mut World,
    ) {
        let kind = self.kind;
        let untagged = parse(line);
        if let Some(resync) = resync.as_deref_mut()
            && !matches!(untagged, Untagged::Fetch { .. })
        {
            return self.take_select(untagged, resync, world);
        }
        if let Some(resync) = resync {
            resync.begin(self);
        }
        if let Untagged::Ok(code, argument) = &untagged {
            assert!(
                matches!(code.as_str(), "HIGHESTMODSEQ" | "PERMANENTFLAGS" | "COPYUID" | "UIDNEXT"),
                "OK [{code}]"
            );
            if code == "HIGHESTMODSEQ" {
                assert!(kind.condstore, "HIGHESTMODSEQ is not enabled");
                self.selected.as_mut().expect("selected").1.told = argument.parse().ok();
            }
            return;
        }
        let Some((mailbox, model)) = &mut self.selected else {
            assert!(matches!(untagged, Untagged::Other), "nothing is selected");
            return;
        };
        match untagged {
            Untagged::Exists(count) => model.exists(count),
            Untagged::Recent => assert!(!kind.rev2, "IMAP4rev2 has no RECENT"),
            Untagged::Expunge(sequence) => {
                assert!(sent.allowed.expunge && !kind.vanished(), "EXPUNGE now");
                world.gone[*mailbox].extend(model.expunge(sequence));
            }
            Untagged::Vanished(false, set) => {
                assert!(sent.allowed.expunge && kind.vanished(), "VANISHED now");
                for uid in numbers(&set) {
                    model.vanish(uid);
                    world.gone[*mailbox].insert(uid);
                }
            }
            Untagged::Vanished(true, set) => {
                assert!(sent.allowed.earlier, "VANISHED (EARLIER) was not asked for");
                for uid in numbers(&set) {
                    assert_eq!(model.place(uid), None, "UID {uid} is EARLIER and in view");
                    world.gone[*mailbox].insert(uid);
                }
            }
            Untagged::Fetch { by_uid, number, items } => {
                assert_eq!(by_uid, kind.uid_only, "FETCH or UIDFETCH");
                let items: BTreeMap<String, _> = items.into_iter().collect();
                let uid = items.get("UID").and_then(tests::value::Value::number).map(|uid| uid as u32);
                let place = if by_uid {
                    assert!(uid.is_none_or(|uid| uid == number));
                    model.place_by_uid(number)
                } else {
                    if let Some(uid) = uid {
                        model.name(number as usize, uid);
                    }
                    assert!((1..=model.messages.len()).contains(&(number as usize)), "FETCH {number}");
                    number as usize - 1
                };
                let modseq = items.get("MODSEQ").map(|value| value.items()[0].number().expect("a number"));
                if kind.condstore && !sent.allowed.bare_fetch {
                    assert!(by_uid || uid.is_some(), "FETCH without UID");
                    assert!(modseq.is_some(), "FETCH without MODSEQ");
                }
                assert!(kind.condstore || modseq.is_none(), "MODSEQ is not enabled");
                if let Some(modseq) = modseq {
                    model.modseq(place, modseq);
                }
                if let Some(value) = items.get("FLAGS") {
                    model.messages[place].flags = Some(model::flags(value));
                    if let (Some(guess), Some(uid)) = (&mut sent.guess, model.messages[place].uid) {
                        guess.flags.remove(&uid);
                    }
                }
            }
            Untagged::Search(found) => {
                let is_uid = sent.command.starts_with("UID");
                let exists = model.messages.len() as u32;
                assert!(is_uid || found.iter().all(|number| (1..=exists).contains(number)), "{found:?}");
            }
            Untagged::Ok(..) | Untagged::Other => {}
        }
    }

    /// What SELECT says before it tells of messages.
    fn take_select(&mut self, untagged: Untagged, resync: &mut Resync, world: &mut World) {
        let Some((mailbox, model)) = &mut self.selected else { return };
        match untagged {
            Untagged::Exists(count) => resync.exists = Some(count),
            Untagged::Ok(code, argument) if code == "UIDVALIDITY" => {
                let validity = argument.parse().expect("a number");
                assert!(!resync.is_resync || model.uid_validity == validity, "UIDVALIDITY changed");
                model.uid_validity = validity;
            }
            Untagged::Ok(code, argument) if code == "HIGHESTMODSEQ" => model.told = argument.parse().ok(),
            Untagged::Ok(code, _) if code == "UNSEEN" => {
                assert!(!self.kind.uid_only && !self.kind.rev2, "a message number");
            }
            Untagged::Ok(..) | Untagged::Other => {}
            Untagged::Recent => assert!(!self.kind.rev2, "IMAP4rev2 has no RECENT"),
            Untagged::Vanished(true, set) => {
                assert!(resync.is_resync, "VANISHED was not asked for");
                assert!(resync.exists.is_some(), "VANISHED before EXISTS or behind FETCH");
                for uid in numbers(&set) {
                    if let Some(place) = model.place(uid) {
                        model.messages.remove(place);
                    }
                    world.gone[*mailbox].insert(uid);
                }
            }
            other => panic!("{other:?} in SELECT"),
        }
    }
}

/// What SELECT told so far.
pub(crate) struct Resync {
    is_resync: bool,
    exists: Option<usize>,
}

impl Resync {
    /// EXISTS counts once what vanished is gone.
    fn begin(&mut self, client: &mut Client) {
        if let (Some(exists), Some((_, model))) = (self.exists.take(), &mut client.selected) {
            model.exists(exists);
        }
    }
}
