//! Any one call of the disk fails: what was done before is there, what was under way is there altogether or not at all, and the store can be opened and
//! written to again.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::steps::*;
use common::*;
use store::Store;
use store::disk::simulated::{Call, Failure, Random, SimulatedDisk, SimulatedOptions};

struct Run {
    folder: tempfile::TempDir,
    disk: SimulatedDisk,
    stores: Vec<Arc<Store>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.disk.power_off();
    }
}

/// What became of a run: what is seen after each step that was done.
struct Told {
    states: Vec<Seen>,
    error: Option<String>,
}

impl Run {
    fn new() -> Run {
        let folder = Place::new().folder;
        let disk = SimulatedDisk::new(&folder.path().join("disk"), SimulatedOptions::new(1)).expect("made");
        Run { folder, disk, stores: Vec::new() }
    }

    fn runtime(&self, boot: &str) -> PathBuf {
        self.folder.path().join(format!("run-{boot}"))
    }

    fn open(&mut self, boot: &str) -> Outcome {
        for handler in 0..2 {
            let opened = Store::open(options(&self.disk, &self.runtime(boot), handler, boot));
            self.stores.push(opened.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// Does one step after the other, until one is not done.
    fn go(&mut self) -> Told {
        let mut states = vec![Seen::new()];
        if let Err(error) = self.open("first") {
            return Told { states, error: Some(format!("opening: {error}")) };
        }
        for step in &STEPS {
            if let Err(error) = (step.run)(&self.stores[step.writer], &self.disk) {
                return Told { states, error: Some(format!("{}: {error}", step.name)) };
            }
            // Looking is no part of the step.
            states.push(self.disk.without_faults(|| seen(&self.stores[0])));
        }
        Told { states, error: None }
    }
}

/// Has the `nth` call of a kind fail, and looks at what is left: after a power cut, and after both processes ended.
fn with_fault(call: Call, nth: u64, failure: Failure, well: &[Seen]) -> bool {
    let mut run = Run::new();
    run.disk.fail(call, nth, failure);
    let told = run.go();
    let came = run.disk.failures_to_come() == 0;
    run.disk.forget_failures();
    let done = told.states.len();
    let what = format!("{call:?} {nth} {failure:?}, then {:?}", told.error);
    for (step, (found, expected)) in told.states.iter().zip(well).enumerate() {
        assert!(found == expected, "{what}: after {step} steps {found:#?}\ninstead of {expected:#?}");
    }
    let mut allowed = vec![well[done - 1].clone(), well.get(done).unwrap_or(&well[done - 1]).clone()];
    if failure == Failure::TooManyFiles && done < well.len() {
        // It was refused before anything was written.
        allowed.truncate(1);
    }
    if told.error.as_ref().is_some_and(|error| error.contains(PARTLY)) {
        allowed = vec![seen(&run.stores[0])];
    }

    let image = run.folder.path().join("image");
    run.disk.crash_image(&image, nth).expect("an image");
    let after_cut = SimulatedDisk::new(&image, SimulatedOptions::new(2)).expect("taken over");
    run.stores.clear();
    for (disk, boot) in [(&after_cut, "second"), (&run.disk, "first")] {
        let store = Store::open(options(disk, &run.runtime(boot), 0, boot))
            .unwrap_or_else(|error| panic!("{what}, boot {boot}: {error}"));
        let found = seen(&store);
        assert!(allowed.contains(&found), "{what}, boot {boot}: {found:#?}\nis none of\n{allowed:#?}");
        store.ensure_user("carl").unwrap_or_else(|error| panic!("{what}, boot {boot}: {error}"));
        mail_to(&store, &mail("after"), &[("carl", "INBOX")])
            .unwrap_or_else(|error| panic!("{what}, boot {boot}: {error}"));
        store.close().unwrap_or_else(|error| panic!("{what}, boot {boot}: {error}"));
    }
    after_cut.power_off();
    came
}

/// So many calls of a kind are tried; `LODE_FAULTS` says how many instead.
fn most() -> u64 {
    std::env::var("LODE_FAULTS").ok().and_then(|most| most.parse().ok()).unwrap_or(12)
}

const FAILURES: [Failure; 2] = [Failure::Io, Failure::NoSpace];

#[test]
fn any_call_may_fail() {
    let mut run = Run::new();
    let well = run.go();
    assert!(well.error.is_none(), "{:?}", well.error);
    let mut random = Random::new(1);
    let (mut faults, mut came) = (0, 0);
    for call in Call::ALL {
        let made = run.disk.calls(call);
        // Each call that is not made often; of the others, some.
        let most = most();
        let some = (0..most).map(|_| 1 + random.below(made)).collect::<Vec<u64>>();
        for nth in if made <= most { (1..=made).collect() } else { some } {
            let failure = FAILURES[random.below(2) as usize];
            faults += 1;
            came += usize::from(with_fault(call, nth, failure, &well.states));
        }
    }
    println!("{faults} faults, {came} of them on the way");
    assert!(came > 50, "{came} of {faults}");
}

/// Whoever is told that there is no descriptor has changed nothing: the last step of a change has some of its own.
#[test]
fn without_a_descriptor_a_step_is_refused_or_done() {
    let mut run = Run::new();
    let well = run.go();
    let mut random = Random::new(2);
    let mut came = 0;
    for call in [Call::Open, Call::Create] {
        let made = run.disk.calls(call);
        for _ in 0..2 * most() {
            came +=
                usize::from(with_fault(call, 1 + random.below(made), Failure::TooManyFiles, &well.states));
        }
    }
    assert!(came > 10, "{came}");
}

#[test]
fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_room() {
    let mut run = Run::new();
    run.open("first").expect("opens");
    let store = Arc::clone(&run.stores[0]);
    (STEPS[0].run)(&store, &run.disk).expect("room");
    (STEPS[1].run)(&store, &run.disk).expect("room");
    mail_to(&store, &mail("before"), BOTH).expect("room");
    run.disk.set_room(Some(0));
    let long = mail(&"y".repeat(3000));
    let taken = (0..40).take_while(|_| mail_to(&store, &long, BOTH).is_ok()).count();
    assert!(taken < 40, "a full disk takes no 40 messages");
    let before = seen(&store);
    run.disk.set_room(None);
    mail_to(&store, &mail("room"), BOTH).expect("room");
    let after = seen(&store);
    for (mailbox, messages) in &after {
        assert_eq!(messages.len(), taken + 2, "{mailbox:?}");
        assert!(before[mailbox].iter().all(|(uid, message)| messages[uid] == *message));
    }
}

#[test]
fn a_failed_sync_is_told_and_what_was_durable_stays() {
    let mut run = Run::new();
    run.open("first").expect("opens");
    let store = Arc::clone(&run.stores[0]);
    (STEPS[0].run)(&store, &run.disk).expect("made");
    mail_to(&store, &mail("kept"), &[("ann", "INBOX")]).expect("durable");
    run.disk.fail(Call::Sync, 1, Failure::Io);
    mail_to(&store, &mail("lost"), &[("ann", "INBOX")]).expect_err("the sync failed");
    mail_to(&store, &mail("refused"), &[("ann", "INBOX")]).expect_err("closed for writing");
    let image = run.folder.path().join("image");
    run.disk.crash_image(&image, 9).expect("an image");
    let disk = SimulatedDisk::new(&image, SimulatedOptions::new(1)).expect("taken over");
    let store = Store::open(options(&disk, &run.runtime("second"), 0, "second")).expect("opens");
    let messages = seen(&store).into_values().next().expect("there");
    assert!(messages.values().any(|(_, text)| text.as_bytes() == mail("kept")));
    disk.power_off();
}
