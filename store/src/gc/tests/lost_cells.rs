//! A mailbox that has lost cells, and power cuts until it is made again: nothing counts its messages as held by nobody meanwhile.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::disk::Sizes;
use crate::disk::simulated::{Image, SimulatedDisk, SimulatedOptions};

const MESSAGES: u32 = 40;
/// Power cuts at each sync, and when all is done.
const CUTS_EACH: u64 = 6;

struct Machine {
    place: Place,
    disk: SimulatedDisk,
}

impl Machine {
    fn options(seed: u64) -> SimulatedOptions {
        SimulatedOptions { sizes: Sizes::SMALL, ..SimulatedOptions::new(seed) }
    }

    fn new() -> Machine {
        let place = Place::new();
        let disk = SimulatedDisk::new(&place.0.path().join("disk"), Machine::options(11)).expect("a disk");
        Machine { place, disk }
    }

    fn after(image: &Image, seed: u64) -> Machine {
        let place = Place::new();
        let root = place.0.path().join("disk");
        let disk = SimulatedDisk::after(image, &root, Machine::options(seed)).expect("a disk");
        Machine { place, disk }
    }

    fn open(&self, boot: &str) -> Arc<Store> {
        let pretend_boot_id = Some(boot.to_string());
        let options = OpenOptions { disk: self.disk.disk(), pretend_boot_id, ..self.place.options(0) };
        Store::open(options).expect("opens")
    }
}

/// What is left of a store when the power fails in which one cell of the inbox is damaged, one that was written before the checkpoint.
fn with_a_damaged_cell(cell: u64) -> (Image, UserId, Vec<MessageId>) {
    let machine = Machine::new();
    let store = machine.open("one");
    let ann = store.ensure_user("ann").expect("made");
    let messages: Vec<MessageId> =
        (0..MESSAGES).map(|at| deliver(&store, &mail(&format!("m{at}"), 100), &[inbox(ann)])).collect();
    store.checkpoint().expect("space");
    let path = store.mailbox(inbox(ann)).expect("there").path().to_path_buf();
    store.abandon();
    drop(store);
    // Its size.
    machine.disk.flip_bit(&path, (2 * 4096 + cell * 64 + 40) * 8).expect("flipped");
    (machine.disk.power_cut(1).expect("an image"), ann, messages)
}

#[test]
fn lost_cells_are_made_again_whatever_power_cuts_come_in_recovery() {
    let (image, ann, messages) = with_a_damaged_cell(3);
    let machine = Machine::after(&image, 12);
    let cuts: Arc<Mutex<Vec<(String, Image)>>> = Arc::default();
    let take = {
        let (disk, cuts) = (machine.disk.clone(), Arc::clone(&cuts));
        move |when: String| {
            for _ in 0..CUTS_EACH {
                let mut cuts = cuts.lock().unwrap_or_else(PoisonError::into_inner);
                let seed = cuts.len() as u64;
                cuts.push((when.clone(), disk.power_cut(seed).expect("an image")));
            }
        }
    };
    let at_sync = take.clone();
    machine.disk.on_sync(Some(Box::new(move |point| at_sync(format!("{point:?}")))));
    let store = machine.open("two");
    let open = store.mailbox(inbox(ann)).expect("there");
    assert_eq!(open.cell_count().expect("readable"), MESSAGES);
    machine.disk.on_sync(None);
    take("at the end".to_string());
    store.abandon();
    drop((open, store));
    let cuts = std::mem::take(&mut *cuts.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(cuts.len() > 20 * CUTS_EACH as usize, "{}", cuts.len());
    for (when, cut) in cuts {
        let machine = Machine::after(&cut, 13);
        let store = machine.open("three");
        let report = gc_with(&store, GcOptions { recount: true, ..GcOptions::default() });
        assert_eq!(report.left, [""; 0], "{when}");
        let open = store.mailbox(inbox(ann)).expect("there");
        let cells = open.cells().expect("readable");
        let there: Vec<MessageId> =
            (0..cells.count()).map(|at| cells.cell(CellIndex(at)).expect("whole").message).collect();
        assert_eq!(there, messages, "{when}");
        for (at, message) in messages.iter().enumerate() {
            assert_eq!(count(&store, *message), (1, CellState::InUse), "{when}");
            assert_eq!(body(&store, *message).expect("there"), mail(&format!("m{at}"), 100), "{when}");
        }
        store.abandon();
    }
}

#[test]
fn who_is_killed_before_lost_cells_are_made_again_leaves_that_to_the_next() {
    let (image, ann, messages) = with_a_damaged_cell(3);
    let machine = Machine::after(&image, 12);
    let store = machine.open("two");
    let path = store.derived.cells_path(inbox(ann)).expect("there");
    {
        // What was done of it: cells are dropped, the numbers raised, the epoch is the store's.
        let open = crate::mailbox::Mailbox::open(&store.derived.disk, &path, inbox(ann)).expect("there");
        let epoch = store.derived.epoch;
        let raised = crate::mailbox::Raised::Durably;
        open.after_power_cut(epoch, 0, crate::ids::ModSeq(0), 9, raised, &mut |_| true).expect("done");
        assert_eq!((open.epoch(), open.cell_count().expect("readable")), (epoch, MESSAGES - 1));
    }
    store.abandon();
    drop(store);
    let store = machine.open("two");
    assert_eq!(store.mailbox(inbox(ann)).expect("there").cell_count().expect("readable"), MESSAGES);
    gc_with(&store, GcOptions { recount: true, ..GcOptions::default() });
    for message in messages {
        assert_eq!(count(&store, message), (1, CellState::InUse));
    }
}
