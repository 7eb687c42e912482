//! Single flipped bits: whatever file they are in, what is read is what was written, or an error says where the damage is.

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{Place, Random, body, deliver, flags, inbox, live, mail, to};
use store::change::{SpecialUse, SystemFlags};
use store::check::CheckOptions;
use store::ids::{CellIndex, MailboxId, UserId};
use store::mailbox::{Cell, Cells};
use store::quota::{Limit, Limits};
use store::txn::{FlagOperation, NewAnnotation};
use store::view::View;
use store::{Store, StoreError, WriterChoice};

fn flip(path: &Path, offset: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).expect("there");
    let mut octet = [0];
    file.read_exact_at(&mut octet, offset).expect("readable");
    file.write_all_at(&[octet[0] ^ 1 << bit], offset).expect("writable");
}

/// The file under `folder` whose name begins with `start` and that holds `needle`, and where.
fn find(folder: &Path, start: &str, needle: &[u8]) -> (PathBuf, u64) {
    find_below(folder, start, needle).unwrap_or_else(|| panic!("{start} with the octets is not there"))
}

fn find_below(folder: &Path, start: &str, needle: &[u8]) -> Option<(PathBuf, u64)> {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if let Some(found) = find_below(&path, start, needle) {
                return Some(found);
            }
        } else if path.file_name().expect("a name").to_string_lossy().starts_with(start) {
            let bytes = std::fs::read(&path).expect("readable");
            if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
                return Some((path, at as u64));
            }
        }
    }
    None
}

#[test]
fn damaged_octets_of_a_message_are_never_delivered() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let small = mail("small");
    let mut big = mail("big");
    big.extend((0..6_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8));
    for message in [&small, &big] {
        store.wait(deliver(&store, message, vec![to(inbox(ann))]).ticket).expect("durable");
    }
    let cells = live(&store, inbox(ann));
    let read = |cell: usize, start: u64, end: u64| {
        let stored = store.message(cells[cell].message).expect("there");
        let mut octets = vec![7];
        let read = store.read_range(&stored, start..end, &mut octets);
        assert!(read.is_ok() || octets == [7], "an error leaves what was there");
        read.map(|()| octets[1..].to_vec())
    };
    let (bucket, at) = find(&place.store_path().join("p0/pages"), "bucket.", &big[..300]);
    // Any part of a message is read right, wherever blocks begin and end.
    for (start, end) in [(0, 10), (16_380, 16_390), (40_000, 90_001), (5_999_990, 7_000_000), (9, 9)] {
        let end_there = (end as usize).min(big.len());
        assert_eq!(read(1, start, end).expect("whole"), big[start as usize..end_there]);
    }
    // A bit of the big one: what is before and behind its block can be read.
    for place_in_message in [0, 100_000, big.len() as u64 - 1] {
        let block = place_in_message / 16_384 * 16_384;
        flip(&bucket, at + place_in_message, 3);
        let error = read(1, place_in_message, place_in_message + 1).expect_err("damaged");
        assert!(
            matches!(&error, StoreError::Corrupt { path, offset, .. } if *path == bucket && *offset == at + block),
            "{error}"
        );
        assert!(read(1, 0, u64::MAX).is_err());
        let other = if block == 0 { 20_000 } else { 10 };
        assert_eq!(read(1, other, other + 5).expect("whole"), big[other as usize..other as usize + 5]);
        let stored = store.message(cells[1].message).expect("there");
        match store.file_range(&stored, 0..u64::MAX) {
            Err(StoreError::Corrupt { offset, .. }) => assert_eq!(offset, at + block),
            Err(error) => panic!("{error}"),
            // What lies far behind is found before it is sent; and when it is asked for again, at once.
            Ok(mut lent) => {
                let mut sent = 0;
                let error = loop {
                    match lent.verified() {
                        Ok(octets) => {
                            assert!(octets > 0, "the damage comes before the end");
                            sent += octets;
                            lent.advance(octets).expect("still there");
                        }
                        Err(error) => break error,
                    }
                };
                assert!(sent <= block, "nothing of the damaged block was given out");
                assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == at + block));
                assert!(store.file_range(&stored, 0..u64::MAX).is_err());
            }
        }
        flip(&bucket, at + place_in_message, 3);
        assert_eq!(body(&store, cells[1].message), big);
    }
    // Any bit of the small one.
    let (bucket, at) = find(&place.store_path().join("p0/pages"), "bucket.", &small);
    for octet in 0..small.len() as u64 {
        flip(&bucket, at + octet, (octet % 8) as u8);
        let error = read(0, 0, 3).expect_err("damaged");
        assert!(matches!(error, StoreError::Corrupt { offset, .. } if offset == at), "{error}");
        flip(&bucket, at + octet, (octet % 8) as u8);
    }
    assert_eq!(read(0, 0, 3).expect("whole"), small[..3]);
    assert_eq!(store.counters().reanalysed.get(), 0);
    // A record that is damaged costs reading the message once more, no more.
    let (records, at) = find(&place.store_path().join("p0/pages"), "records.", b"big@example.org");
    flip(&records, at, 0);
    assert_eq!(read(1, 70_000, 70_004).expect("whole"), big[70_000..70_004]);
    assert_eq!(store.counters().reanalysed.get(), 1);
    assert_eq!(read(1, 90_000, 90_004).expect("whole"), big[90_000..90_004]);
    assert_eq!(store.counters().reanalysed.get(), 1, "kept for the next reader");
}

/// What a store says to those who read it, line by line, and all errors met.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    errors: Vec<String>,
    /// UIDNEXT and HIGHESTMODSEQ of mailboxes, which may only grow.
    marks: Vec<(String, u32, u64)>,
}

impl Told {
    fn note(&mut self, error: &StoreError) {
        // Each names a file, and a damaged one the place.
        assert!(!matches!(error, StoreError::Failed(_)), "{error}");
        self.errors.push(error.to_string());
    }

    fn of(store: &Store) -> Told {
        let mut told = Told::default();
        let users = match store.users() {
            Ok(users) => users,
            Err(error) => {
                told.note(&error);
                Vec::new()
            }
        };
        for name in ["ann", "bob", "cleo"] {
            match store.find_user(name) {
                Ok(Some(user)) => told.user(store, user, name, &users),
                Ok(None) => (),
                Err(error) => told.note(&error),
            }
        }
        told
    }

    fn user(&mut self, store: &Store, user: UserId, name: &str, users: &[(UserId, String)]) {
        self.lines.push(format!("user {name} is number {}", user.0));
        if users.contains(&(user, name.to_string())) {
            self.lines.push(format!("user {name} is listed"));
        }
        let list = match store.mailbox_list(user) {
            Ok(list) => list,
            Err(error) => return self.note(&error),
        };
        match store.quota(user) {
            Ok(quota) => self.lines.push(format!("user {name} {quota:?}")),
            Err(error) => self.note(&error),
        }
        self.lines.push(format!("user {name} subscribes {:?}", list.subscriptions()));
        for entry in list.entries() {
            self.lines.push(format!("user {name} {entry:?}"));
            if entry.placeholder {
                continue;
            }
            let whose = format!("{name} {}", entry.name);
            if let Err(error) = self.mailbox(store, MailboxId { user, number: entry.number }, &whose) {
                self.note(&error);
            }
        }
    }

    fn mailbox(&mut self, store: &Store, id: MailboxId, whose: &str) -> Result<(), StoreError> {
        let open = store.mailbox(id)?;
        let status = open.status()?;
        self.marks.push((whose.to_string(), status.uid_next, status.highest_modseq.0));
        let counts = (status.exists, status.unseen, status.deleted, status.size, status.uid_validity);
        self.lines.push(format!("{whose} {counts:?} {:?}", open.keywords()?));
        let view = View::open(&open)?;
        self.lines.push(format!("{whose} first unseen {:?} of {}", view.first_unseen(&open)?, view.exists()));
        let cells = open.cells()?;
        for (sequence, index) in view.cells() {
            if let Err(error) = self.message(store, &cells, (sequence, index), whose) {
                self.note(&error);
            }
            match open.annotations_of(cells.uid(index)?) {
                Ok(annotations) => self.lines.push(format!("{whose} {sequence} {annotations:?}")),
                Err(error) => self.note(&error),
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        store: &Store,
        cells: &Cells,
        (sequence, index): (u32, CellIndex),
        whose: &str,
    ) -> Result<(), StoreError> {
        let flags = cells.flags(index)?;
        let place = format!("{whose} {sequence} UID {}", flags.uid);
        assert_eq!(cells.find_uid(flags.uid)?, Ok(index));
        self.lines.push(format!("{place} {:?}", flags.flags));
        let Cell { internal_date, sent_date, save_seconds, size, message, .. } = cells.cell(index)?;
        self.lines.push(format!("{place} {internal_date:?} {sent_date:?} {save_seconds} {size} {message:?}"));
        let record = store.record(message)?;
        self.lines.push(format!("{place} record {:x}", xxhash_rust::xxh3::xxh3_64(&record)));
        let stored = store.message(message)?;
        let mut octets = Vec::new();
        store.read_range(&stored, 0..u64::MAX, &mut octets)?;
        let hash = xxhash_rust::xxh3::xxh3_64(&octets);
        self.lines.push(format!("{place} {} octets {hash:x}, header {}", octets.len(), stored.header_size));
        octets.clear();
        store.read_range(&stored, 20..60, &mut octets)?;
        self.lines.push(format!("{place} part {octets:?}"));
        Ok(())
    }
}

/// A store with files of every kind, closed.
fn sample(place: &Place) {
    let store = place.open();
    let [ann, bob, cleo] = ["ann", "bob", "cleo"].map(|name| store.ensure_user(name).expect("made"));
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Lists/Rust", None);
    txn.create_mailbox(ann, "Sent", Some(SpecialUse::Sent));
    txn.create_mailbox(bob, "Old", None);
    txn.subscribe(ann, "Lists/Rust", true);
    store.wait(txn.commit().expect("made").ticket).expect("durable");
    let limits = Limits { octets: Limit::Most(1 << 30), ..Limits::default() };
    let mut txn = store.begin();
    txn.set_quota(ann, limits);
    store.wait(txn.commit().expect("set").ticket).expect("durable");
    let list = store.mailbox_list(ann).expect("there");
    let rust = MailboxId { user: ann, number: list.find("Lists/Rust").expect("made").number };
    for number in 0..5 {
        deliver(&store, &mail(&format!("m{number}")), vec![to(inbox(ann)), to(inbox(bob))]);
        deliver(&store, &mail(&format!("r{number}")), vec![to(rust)]);
    }
    let mut big = mail("big");
    big.extend((0..40_000u32).map(|at| (at % 251) as u8));
    deliver(&store, &big, vec![to(inbox(cleo))]);
    let cells: Vec<CellIndex> = (0..3).map(CellIndex).collect();
    let mut txn = store.begin();
    txn.store_flags(inbox(ann), &cells, flags(FlagOperation::Add, SystemFlags::SEEN, &["$Forwarded"]));
    txn.copy(rust, &cells, inbox(cleo));
    txn.expunge(rust, &[CellIndex(4)]);
    store.wait(txn.commit().expect("done").ticket).expect("durable");
    let mut txn = store.begin();
    let comment = NewAnnotation {
        entry: "/comment".to_owned(),
        is_shared: true,
        value: Some(b"what it is about".to_vec()),
    };
    txn.annotate(inbox(ann), &cells[..2], vec![comment], None);
    store.wait(txn.commit().expect("done").ticket).expect("durable");
    let mut txn = store.begin();
    txn.delete_mailbox(bob, "Old");
    store.wait(txn.commit().expect("done").ticket).expect("durable");
    store.quota(ann).expect("counted");
    store.close().expect("closed");
}

fn files_of(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() { files_of(&path, found) } else { found.push(path) }
    }
}

/// Puts the octets of all files back; what was not there goes away.
fn put_back(folder: &Path, whole: &BTreeMap<PathBuf, Vec<u8>>) {
    let mut there = Vec::new();
    files_of(folder, &mut there);
    for path in there.iter().filter(|path| !whole.contains_key(*path)) {
        std::fs::remove_file(path).expect("removed");
    }
    for (path, octets) in whole {
        if std::fs::read(path).ok().as_ref() != Some(octets) {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, octets).expect("written");
        }
    }
}

/// Which of all bits are flipped.
enum Chosen {
    /// So many of each file, with something in them more often than not.
    Some(u64),
    /// All whose number among those of all files is `part` modulo `of`, or those of them that are near something.
    Part { part: u64, of: u64, only_near: bool },
}

/// What is farther than this from any octet that is not zero is space that nobody has used yet, like all around it.
const NEAR_OCTETS: usize = 64;

/// Of each octet, whether something stands there or near it.
fn near_something(octets: &[u8]) -> Vec<bool> {
    let mut near = vec![false; octets.len()];
    for at in (0..octets.len()).filter(|at| octets[*at] != 0) {
        near[at.saturating_sub(NEAR_OCTETS)..octets.len().min(at + NEAR_OCTETS)].fill(true);
    }
    near
}

impl Chosen {
    /// What the environment asks for: LODE_FULL=1 is all, LODE_FULL=3/100 every hundredth from the fourth on, either with LODE_FLIPS=near only those
    /// where something stands or near it; LODE_FLIPS=100 alone is a hundred of each file.
    fn asked_for() -> Chosen {
        let number =
            |text: &str| -> u64 { text.parse().unwrap_or_else(|_| panic!("{text} is not a number")) };
        let flips = std::env::var("LODE_FLIPS");
        let only_near = flips.as_ref().is_ok_and(|flips| flips == "near");
        match std::env::var("LODE_FULL") {
            Ok(part) => match part.split_once('/') {
                Some((part, of)) => Chosen::Part { part: number(part), of: number(of).max(1), only_near },
                None => Chosen::Part { part: 0, of: 1, only_near },
            },
            Err(_) => Chosen::Some(flips.map_or(60, |flips| number(&flips))),
        }
    }

    /// Those of a file that comes after `before` bits of others.
    fn of(&self, octets: &[u8], before: u64, random: &mut Random) -> Vec<u64> {
        let bits = octets.len() as u64 * 8;
        match *self {
            Chosen::Part { part, of, only_near } => {
                let near = near_something(octets);
                (0..bits)
                    .filter(|bit| (before + bit) % of == part)
                    .filter(|bit| !only_near || near[(bit / 8) as usize])
                    .collect()
            }
            Chosen::Some(flips) if bits <= flips => (0..bits).collect(),
            Chosen::Some(flips) => {
                // Where something stands, rather than in zeros.
                let used: Vec<u64> =
                    (0..octets.len() as u64).filter(|at| octets[*at as usize] != 0).collect();
                let mut pick = |turn: u64| match turn % 4 {
                    _ if used.is_empty() => random.below(bits),
                    0 => random.below(bits.min(2048 * 8)),
                    _ => used[random.below(used.len() as u64) as usize] * 8 + random.below(8),
                };
                (0..flips).map(&mut pick).collect()
            }
        }
    }
}

/// The longest one flips every bit of every file, which takes many hours and so is done in parts, or where something stands (`Chosen::asked_for`);
/// the usual one a few thousand.
#[test]
fn a_flipped_bit_is_harmless_or_reported_and_never_told() {
    let place = Place::new();
    sample(&place);
    let folder = place.store_path();
    let mut paths = Vec::new();
    files_of(&folder, &mut paths);
    let whole: BTreeMap<PathBuf, Vec<u8>> =
        paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("readable"))).collect();
    let before = Told::of(&place.open());
    assert_eq!(before.errors, [""; 0]);
    let sound = place.open().check(&CheckOptions::default(), &|_| ()).expect("checked");
    assert!(sound.is_sound(), "{:?}", sound.faults);
    put_back(&folder, &whole);

    let chosen = Chosen::asked_for();
    let mut random = Random::new(23);
    let begun = std::time::Instant::now();
    let all: u64 = whole.values().map(|octets| octets.len() as u64 * 8).sum();
    let (mut before_it, mut flipped) = (0, 0u64);
    let [mut harmless, mut healed, mut reported] = [0; 3];
    let mut holes = Vec::new();
    for (path, octets) in &whole {
        let chosen = chosen.of(octets, before_it, &mut random);
        before_it += octets.len() as u64 * 8;
        flipped += chosen.len() as u64;
        for bit in chosen {
            let what = format!("bit {} of octet {} of {}", bit % 8, bit / 8, path.display());
            flip(path, bit / 8, (bit % 8) as u8);
            let options = place.options(WriterChoice::Handler(0));
            match Store::open(options) {
                Err(StoreError::Corrupt { path: told, .. }) if told == *path => reported += 1,
                Err(StoreError::Unusable { .. }) if path.ends_with("FORMAT") => reported += 1,
                Err(error) => holes.push(format!("{what}: {error}")),
                Ok(store) => {
                    let after = Told::of(&store);
                    for line in &after.lines {
                        if !before.lines.contains(line) {
                            holes.push(format!("{what}: it says {line}"));
                        }
                    }
                    for (whose, uid_next, modseq) in &after.marks {
                        let (_, known, known_modseq) =
                            before.marks.iter().find(|known| known.0 == *whose).expect("there");
                        if uid_next < known || modseq < known_modseq {
                            holes.push(format!(
                                "{what}: {whose} has UIDNEXT {uid_next}, HIGHESTMODSEQ {modseq}"
                            ));
                        }
                    }
                    let missing: Vec<_> =
                        before.lines.iter().filter(|line| !after.lines.contains(line)).collect();
                    let report = store.check(&CheckOptions::default(), &|_| ()).expect("checked");
                    let damage = store.damage();
                    let is_told = !report.is_sound() || !after.errors.is_empty() || !damage.is_empty();
                    if missing.is_empty() {
                        if is_told { healed += 1 } else { harmless += 1 }
                    } else {
                        assert!(
                            !after.errors.is_empty() || !report.is_sound(),
                            "{what}: without a word: {missing:?}"
                        );
                        reported += 1;
                    }
                }
            }
            put_back(&folder, &whole);
        }
    }
    assert!(
        holes.is_empty(),
        "{} holes: {}",
        holes.len(),
        holes.join("\n").get(..6000).unwrap_or(&holes.join("\n"))
    );
    let seconds = begun.elapsed().as_secs();
    println!(
        "{harmless} harmless, {healed} without effect but told, {reported} reported; {flipped} of {all} bits in {seconds} s"
    );
    assert!(harmless > 0 && healed > 0 && reported > 0);
}
