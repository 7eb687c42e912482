//! The power fails before or after each sync and each change of names, and anything that was not synced may be there or not: what was acknowledged is
//! there, and what was under way is there altogether or not at all.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::steps::*;
use common::*;
use store::disk::simulated::{Call, SimulatedDisk, SimulatedOptions};
use store::{Disk, Store};

/// Images of what crashes of `disk` leave, two at each point, put into `folder`.
fn take_images(disk: &SimulatedDisk, folder: &Path, seed: u64) -> Arc<Mutex<Vec<PathBuf>>> {
    let images = Arc::new(Mutex::new(Vec::new()));
    disk.on_sync(Some(Box::new({
        let (disk, images, folder) = (disk.clone(), Arc::clone(&images), folder.to_path_buf());
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
    images
}

fn take(images: &Mutex<Vec<PathBuf>>) -> Vec<PathBuf> {
    std::mem::take(&mut *images.lock().expect("one thread"))
}

/// A run: two writers, one disk, images of all its crashes.
struct Run {
    seed: u64,
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
        let images = take_images(&disk, folder.path(), seed);
        Run { folder, seed, disk, images, stores: Vec::new(), before: Seen::new(), checked: 0 }
    }

    fn open(&mut self, boot: &str) {
        self.stores.clear();
        let runtime = self.folder.path().join(format!("run-{boot}"));
        for handler in 0..2 {
            self.stores.push(Store::open(options(&self.disk, &runtime, handler, boot)).expect("opens"));
        }
        self.check("opening");
    }

    /// Looks at what a crash would have left, since the last time.
    fn check(&mut self, what: &str) {
        let after = seen(&self.stores[0]);
        self.check_with(what, Some(after));
    }

    /// `after` is what is seen now, if that is not what was seen before.
    fn check_with(&mut self, what: &str, after: Option<Seen>) {
        let after = after.unwrap_or_else(|| self.before.clone());
        for image in take(&self.images) {
            self.checked += 1;
            let again = (self.checked.is_multiple_of(AGAIN_EACH)).then(|| image.with_extension("again"));
            let left = self.recover(&image, again.as_deref(), what, &after);
            for image in left {
                // A power cut in recovery is one more power cut.
                self.checked += 1;
                self.recover(&image, None, &format!("{what}, {}", image.display()), &after);
            }
            again.inspect(|folder| std::fs::remove_dir_all(folder).expect("removed"));
        }
        self.before = after;
    }

    /// Opens what a crash left, and compares. Returns images of crashes of that, taken in the folder `again`.
    fn recover(&self, image: &Path, again: Option<&Path>, what: &str, after: &Seen) -> Vec<PathBuf> {
        // Another seed for each, or they would draw the same random numbers for names.
        let seed = self.seed << 32 | self.checked as u64;
        let disk = SimulatedDisk::new(image, SimulatedOptions::new(seed)).expect("taken over");
        let images = again.map(|folder| {
            std::fs::create_dir(folder).expect("made");
            take_images(&disk, folder, self.seed)
        });
        let runtime = self.folder.path().join("run-after");
        let name = image.file_name().expect("named").to_string_lossy().into_owned();
        let boot = if what.contains("again") { "last" } else { "after" };
        let store = Store::open(options(&disk, &runtime, 0, boot))
            .unwrap_or_else(|error| panic!("{what}, {name}: {error}"));
        let found = seen(&store);
        assert!(
            found == self.before || found == *after,
            "{what}, {name}: neither\n{:#?}\nnor\n{after:#?}\nbut\n{found:#?}",
            self.before
        );
        disk.on_sync(None);
        disk.power_off();
        drop(store);
        std::fs::remove_dir_all(image).expect("removed");
        std::fs::remove_dir_all(&runtime).expect("removed");
        images.map(|images| take(&images)).unwrap_or_default()
    }
}

/// So often recovery itself is cut short.
const AGAIN_EACH: usize = 251;

fn everything(run: &mut Run) {
    run.open("first");
    for step in &STEPS {
        (step.run)(&run.stores[step.writer], &run.disk)
            .unwrap_or_else(|error| panic!("{}: {error}", step.name));
        run.check(step.name);
    }
    for what in ["closing one", "closing the other"] {
        run.stores.remove(0).close().expect("closed");
        run.check_with(what, None);
    }
    run.open("second");
}

/// `LODE_SEEDS` says how many runs are made instead of one.
#[test]
fn a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged() {
    let seeds = std::env::var("LODE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    for seed in 1..=seeds {
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
