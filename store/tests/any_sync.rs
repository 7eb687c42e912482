//! The power fails before or after each sync and each change of names, and anything that was not synced may be there or not: what was acknowledged is
//! there, and what was under way is there altogether or not at all.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::*;
use store::change::SystemFlags;
use store::disk::simulated::{Call, Failure, SimulatedDisk, SimulatedOptions};
use store::ids::MailboxId;
use store::txn::FlagOperation;
use store::{Background, Disk, OpenOptions, Store, WriterChoice};

/// What clients see: by user and mailbox, the messages by UID: flags and text.
type Seen = BTreeMap<(String, String, u32), BTreeMap<u32, (SystemFlags, String)>>;

fn options(disk: &SimulatedDisk, runtime: &Path, handler: u16, boot: &str) -> OpenOptions {
    let mut options = OpenOptions::new(disk.root().join("store"), runtime, WriterChoice::Handler(handler));
    options.disk = disk.disk();
    options.background = Background::Manual;
    options.pretend_boot_id = Some(boot.to_string());
    options
}

fn mailbox(store: &Store, user: &str, name: &str) -> MailboxId {
    let user = store.find_user(user).expect("readable").expect("there");
    let list = store.mailbox_list(user).expect("readable");
    MailboxId { user, number: list.find(name).expect("there").number }
}

fn seen(store: &Store) -> Seen {
    let mut seen = Seen::new();
    for (user, name) in store.users().expect("readable") {
        for entry in store.mailbox_list(user).expect("readable").entries() {
            let id = MailboxId { user, number: entry.number };
            let messages = if entry.placeholder { Vec::new() } else { live(store, id) };
            let messages = messages.into_iter().map(|cell| {
                let text = String::from_utf8(body(store, cell.message)).expect("text");
                (cell.uid.get(), (cell.flags.system, text))
            });
            seen.insert((name.clone(), entry.name.clone(), entry.uid_validity), messages.collect());
        }
    }
    seen
}

/// A run: two writers, one disk, images of all its crashes.
struct Run {
    folder: tempfile::TempDir,
    disk: SimulatedDisk,
    /// Images since the last check.
    images: Arc<Mutex<Vec<PathBuf>>>,
    stores: Vec<Arc<Store>>,
    before: Seen,
    checked: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        // The stores are dropped next: what they do then is nobody's business.
        self.disk.on_sync(None);
        self.disk.power_off();
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let folder = Place::new().folder;
        let disk =
            SimulatedDisk::new(&folder.path().join("disk"), SimulatedOptions::new(seed)).expect("made");
        let images = Arc::new(Mutex::new(Vec::new()));
        disk.on_sync(Some(Box::new({
            let (disk, images, folder) = (disk.clone(), Arc::clone(&images), folder.path().to_path_buf());
            let mut taken = 0;
            move |point| {
                for turn in 0..2 {
                    taken += 1;
                    let image = folder.join(format!("image{taken}-{:?}-{:?}", point.when, point.call));
                    if turn == 0 {
                        disk.durable_image(&image).expect("an image");
                    } else {
                        disk.crash_image(&image, seed * 1_000_003 + taken).expect("an image");
                    }
                    images.lock().expect("one thread").push(image);
                }
            }
        })));
        Run { folder, disk, images, stores: Vec::new(), before: Seen::new(), checked: 0 }
    }

    fn open(&mut self, boot: &str) {
        self.stores.clear();
        let runtime = self.folder.path().join(format!("run-{boot}"));
        for handler in 0..2 {
            self.stores.push(Store::open(options(&self.disk, &runtime, handler, boot)).expect("opens"));
        }
        self.check("opening");
    }

    /// Does something by one of the writers, and looks at what a crash on the way would have left.
    fn step(&mut self, writer: usize, what: &str, change: impl FnOnce(&Arc<Store>)) {
        change(&self.stores[writer]);
        self.check(what);
    }

    fn check(&mut self, what: &str) {
        let after = seen(&self.stores[0]);
        for image in std::mem::take(&mut *self.images.lock().expect("one thread")) {
            self.checked += 1;
            let disk = SimulatedDisk::new(&image, SimulatedOptions::new(1)).expect("taken over");
            let runtime = self.folder.path().join("run-after");
            let name = image.file_name().expect("named").to_string_lossy().into_owned();
            let store = Store::open(options(&disk, &runtime, 0, "after"))
                .unwrap_or_else(|error| panic!("{what}, {name}: {error}"));
            let found = seen(&store);
            assert!(
                found == self.before || found == after,
                "{what}, {name}: neither\n{:#?}\nnor\n{after:#?}\nbut\n{found:#?}",
                self.before
            );
            drop(store);
            std::fs::remove_dir_all(&image).expect("removed");
            std::fs::remove_dir_all(&runtime).expect("removed");
        }
        self.before = after;
    }
}

fn wait_for(store: &Store, txn: store::Txn<'_>) {
    let ticket = txn.commit().expect("done").ticket;
    store.wait(ticket).expect("durable");
}

fn everything(run: &mut Run) {
    run.open("first");
    run.step(0, "a user", |store| {
        store.ensure_user("ann").expect("made");
    });
    run.step(1, "another", |store| {
        store.ensure_user("bob").expect("made");
    });
    for (writer, text) in [(0, "one"), (1, "two"), (0, "three"), (0, "four")] {
        run.step(writer, text, |store| {
            let recipients = ["ann", "bob"].map(|user| to(mailbox(store, user, "INBOX")));
            let committed = deliver(store, &mail(text), recipients.to_vec());
            store.wait(committed.ticket).expect("durable");
        });
    }
    run.step(1, "a big one", |store| {
        let committed = deliver(store, &vec![b'x'; 300_000], vec![to(mailbox(store, "bob", "INBOX"))]);
        store.wait(committed.ticket).expect("durable");
    });
    run.step(1, "flags", |store| {
        let inbox = mailbox(store, "ann", "INBOX");
        let mut txn = store.begin();
        let seen = flags(FlagOperation::Add, SystemFlags::SEEN, &["work"]);
        txn.store_flags(inbox, &live_indexes(store, inbox)[..2], seen);
        wait_for(store, txn);
    });
    run.step(0, "a mailbox", |store| {
        let user = store.find_user("ann").expect("readable").expect("there");
        let mut txn = store.begin();
        txn.create_mailbox(user, "a/b", None);
        wait_for(store, txn);
    });
    run.step(1, "a copy", |store| {
        let inbox = mailbox(store, "ann", "INBOX");
        let mut txn = store.begin();
        txn.copy(inbox, &live_indexes(store, inbox)[1..3], mailbox(store, "ann", "a/b"));
        wait_for(store, txn);
    });
    run.step(0, "a checkpoint", |store| store.checkpoint().expect("written"));
    run.step(0, "an expunge", |store| {
        let inbox = mailbox(store, "ann", "INBOX");
        let mut txn = store.begin();
        txn.expunge(inbox, &live_indexes(store, inbox)[..1]);
        wait_for(store, txn);
    });
    run.step(1, "a move", |store| {
        let inbox = mailbox(store, "ann", "INBOX");
        let mut txn = store.begin();
        txn.move_messages(inbox, &live_indexes(store, inbox)[..1], mailbox(store, "ann", "a/b"));
        wait_for(store, txn);
    });
    run.step(0, "a rename", |store| {
        let user = store.find_user("ann").expect("readable").expect("there");
        let mut txn = store.begin();
        txn.rename_mailbox(user, "a/b", "c");
        wait_for(store, txn);
    });
    run.disk.pass(86_400);
    run.step(1, "another day", |store| {
        let committed = deliver(store, &mail("five"), vec![to(mailbox(store, "ann", "c"))]);
        store.wait(committed.ticket).expect("durable");
    });
    run.step(1, "a mailbox less", |store| {
        let user = store.find_user("ann").expect("readable").expect("there");
        let mut txn = store.begin();
        txn.delete_mailbox(user, "c");
        wait_for(store, txn);
    });
    run.step(0, "a user less", |store| {
        let mut txn = store.begin();
        txn.delete_user(store.find_user("bob").expect("readable").expect("there"));
        wait_for(store, txn);
    });
    run.step(0, "the name again", |store| {
        store.ensure_user("bob").expect("made");
    });
    run.step(1, "a message for it", |store| {
        let committed = deliver(store, &mail("six"), vec![to(mailbox(store, "bob", "INBOX"))]);
        store.wait(committed.ticket).expect("durable");
    });
    let first = run.stores.remove(0);
    first.close().expect("closed");
    run.check("closing one");
    let second = run.stores.remove(0);
    second.close().expect("closed");
    run.open("second");
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged() {
    for seed in 1..=2 {
        let mut run = Run::new(seed);
        everything(&mut run);
        println!("seed {seed}: {} crashes", run.checked);
        assert!(run.checked > 300, "only {} crashes", run.checked);
    }
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in Disk::real().read_dir(&next).expect("readable") {
            let path = next.join(entry.name);
            if entry.is_dir {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_path_buf();
                found.insert(name, std::fs::read(&path).expect("readable"));
            }
        }
    }
    found
}

#[test]
fn the_same_seed_is_the_same_run() {
    let outcome = || {
        let mut run = Run::new(7);
        run.disk.on_sync(None);
        everything(&mut run);
        let image = run.folder.path().join("image");
        run.disk.crash_image(&image, 3).expect("an image");
        let mut files = files(&image);
        // It names the runtime folder, which is another one.
        files.remove(Path::new("store/state")).expect("there");
        (Call::ALL.map(|call| run.disk.calls(call)), files)
    };
    let (one, other) = (outcome(), outcome());
    assert_eq!(one.0, other.0);
    assert_eq!(one.1.keys().collect::<Vec<_>>(), other.1.keys().collect::<Vec<_>>());
    for (name, bytes) in one.1 {
        assert!(other.1[&name] == bytes, "{} differs", name.display());
    }
}

#[test]
fn a_store_on_a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let mut run = Run::new(3);
    run.disk.on_sync(None);
    run.open("first");
    let store = Arc::clone(&run.stores[0]);
    store.ensure_user("ann").expect("made");
    let inbox = mailbox(&store, "ann", "INBOX");
    run.disk.set_room(Some(0));
    let mut refused = false;
    for turn in 0..40 {
        let mut draft = store.draft().expect("open");
        let text = mail(&format!("{turn}{}", "y".repeat(1000)));
        let content = draft.write(&text).and_then(|()| draft.finish());
        let Ok(content) = content else {
            refused = true;
            break;
        };
        let mut txn = store.begin();
        txn.deliver(content, vec![to(inbox)]);
        refused = txn.commit().is_err();
        if refused {
            break;
        }
    }
    assert!(refused, "a full disk takes no 40 messages");
    run.disk.set_room(None);
    let committed = deliver(&store, &mail("room"), vec![to(inbox)]);
    store.wait(committed.ticket).expect("durable");
    let last = live(&store, inbox).pop().expect("there");
    assert_eq!(body(&store, last.message), mail("room"));
}

#[test]
fn a_failed_sync_is_told_and_what_was_durable_stays() {
    let mut run = Run::new(4);
    run.disk.on_sync(None);
    run.open("first");
    let store = Arc::clone(&run.stores[0]);
    store.ensure_user("ann").expect("made");
    let inbox = mailbox(&store, "ann", "INBOX");
    let committed = deliver(&store, &mail("kept"), vec![to(inbox)]);
    store.wait(committed.ticket).expect("durable");
    run.disk.fail(Call::Sync, 1, Failure::Io);
    let committed = deliver(&store, &mail("lost"), vec![to(inbox)]);
    store.wait(committed.ticket).expect_err("the sync failed");
    let image = run.folder.path().join("image");
    run.disk.crash_image(&image, 9).expect("an image");
    let disk = SimulatedDisk::new(&image, SimulatedOptions::new(1)).expect("taken over");
    let store = Store::open(options(&disk, &run.folder.path().join("run-after"), 0, "after")).expect("opens");
    let first = live(&store, inbox)[0];
    assert_eq!(body(&store, first.message), mail("kept"));
}
