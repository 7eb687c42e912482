//! What is parked comes back, whatever its size; what is damaged does not.

use shm_abi::{Endpoint, Limits, Protocol, Table};

use super::*;

struct Rig {
    table: Table,
    folder: tempfile::TempDir,
    id: SessionId,
}

impl Rig {
    fn new(test: &str) -> Rig {
        let name = format!("/lode-parked-{}-{test}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 1, sessions: 2 }, 1, 1).expect("a table");
        table.begin_handler(0, 1).expect("a row");
        let peer = Endpoint::Unix { pid: 1, uid: 1 };
        let (cell, generation) = table.assign(0, Protocol::Imap, peer, 1).expect("a cell");
        let id = SessionId { handler: 0, cell, generation };
        Rig { table, folder: tempfile::tempdir().expect("a folder"), id }
    }

    fn place(&self) -> Place<'_> {
        let cell = self.table.cell(0, self.id.cell, self.id.generation).expect("the cell");
        Place { cell, id: self.id, folder: self.folder.path() }
    }

    fn read(&self) -> Result<Raw, Unreadable> {
        let parked = self.place().cell.parked().expect("a parked state");
        let name = parked.annex.map(|annex| file_name(annex, self.id));
        Raw::read(&parked, name.as_deref(), self.folder.path())
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).expect("readable").count()
    }
}

fn raw(unread: usize, small: usize, large: usize) -> Raw {
    let octets = |count: usize| (0..count).map(|at| at as u8).collect();
    let wire = if large % 3 == 1 { octets(large / 2) } else { Vec::new() };
    Raw { is_again: false, unread: octets(unread), small: octets(small), wire, large: octets(large) }
}

#[test]
fn every_size_comes_back_and_old_files_go() {
    let rig = Rig::new("sizes");
    let mut keeper = Keeper::default();
    let sizes = [0, 1, UNREAD_OCTETS_MAX, UNREAD_OCTETS_MAX + 1, 3000];
    for unread in sizes {
        for small in [1, 100, 142, 143, 500] {
            for large in [0, 10, 100_000] {
                let raw = raw(unread, small, large);
                assert_eq!(keeper.keep_raw(&rig.place(), &raw, false), Kept::Yes, "{unread} {small} {large}");
                assert_eq!(rig.read(), Ok(raw), "{unread} {small} {large}");
                assert!(rig.files() <= 1, "{unread} {small} {large}");
            }
        }
    }
    keeper.keep_raw(&rig.place(), &raw(1, 1, 1), true);
    assert!(rig.read().expect("readable").is_again);
    keeper.remove(&rig.place());
    assert_eq!(rig.files(), 0);
}

#[test]
fn what_is_damaged_is_refused() {
    let rig = Rig::new("damage");
    let mut keeper = Keeper::default();
    keeper.keep_raw(&rig.place(), &raw(10, 20, 1000), false);
    let parked = rig.place().cell.parked().expect("a parked state");
    let annex = parked.annex.expect("an annex");
    let name = file_name(annex, rig.id);
    let path = rig.folder.path().join(&name);
    let good = std::fs::read(&path).expect("the annex");
    let read = |parked: &shm_abi::Parked, name: Option<&str>| Raw::read(parked, name, rig.folder.path());
    assert!(read(&parked, Some(&name)).is_ok());
    assert!(read(&parked, None).is_err(), "no name");
    assert!(read(&parked, Some("../../etc/passwd")).is_err(), "a name that is none");
    let other = shm_abi::Parked { version: VERSION + 1, ..parked.clone() };
    assert!(read(&other, Some(&name)).is_err(), "another version");
    for at in [0, 1, 8, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).expect("written");
        assert!(read(&parked, Some(&name)).is_err(), "octet {at}");
    }
    std::fs::write(&path, &good[..good.len() - 1]).expect("written");
    assert!(read(&parked, Some(&name)).is_err(), "cut off");
    std::fs::remove_file(&path).expect("removed");
    assert!(read(&parked, Some(&name)).is_err(), "gone");
}

/// Octets of whoever writes the segment: no panic, no large allocation.
#[test]
fn nonsense_is_refused_without_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = 0x1234_5678_9abc_def0_u64;
    for _ in 0..20_000 {
        let mut octets = Vec::new();
        for _ in 0..1 + state % 60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            octets.push((state >> 56) as u8);
        }
        octets[0] &= 1;
        octets[1..].iter_mut().take(1).for_each(|length| *length %= 8);
        let parked = shm_abi::Parked { version: VERSION, octets, annex: None };
        if let Ok(raw) = Raw::read(&parked, None, folder.path()) {
            let _ = raw.small();
        }
    }
    for lengths in [[0xff; 8], [0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]] {
        assert_eq!(annex::split(&lengths), None);
    }
}
