//! The power fails before or after each sync and each change of names of a backup, and anything that was not synced may be there or not: the backup before is whole
//! until the next one is, and what is restored from either is what the store was.

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::steps::*;
use common::*;
use store::backup::{self, PlaceHow};
use store::disk::simulated::{SimulatedDisk, SimulatedOptions};
use store::{Background, Disk, OpenOptions, Store, WriterChoice};

/// What a backup in `folder` holds: its generation, and what clients see once it is restored. `None` if none was completed.
fn restored(folder: &Path, image: &Path) -> Option<(u64, Seen)> {
    let disk = Disk::real();
    let verified = match backup::verify(&disk, folder, &mut |_| ()) {
        Ok(verified) => verified,
        Err(store::StoreError::Unusable { .. }) => return None,
        Err(error) => panic!("{}: {error}", image.display()),
    };
    assert_eq!(verified.faults, [], "{}", image.display());
    let path = image.join("restored");
    let _placed = backup::lay_out(&disk, folder, &path, PlaceHow::Link, &mut |_| ()).expect("laid out");
    let mut options = OpenOptions::new(path, image.join("run"), WriterChoice::Handler(63));
    options.background = Background::Manual;
    let store = Store::open(options).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
    Some((verified.generation, seen(&store)))
}

fn run(seed: u64) {
    let folder = Place::new().folder;
    let disk = SimulatedDisk::new(&folder.path().join("disk"), SimulatedOptions::new(seed)).expect("made");
    let runtime = folder.path().join("run");
    let stores: Vec<Arc<Store>> = (0..2)
        .map(|handler| Store::open(options(&disk, &runtime, handler, "boot")).expect("opens"))
        .collect();
    let target = disk.root().join("backup");
    // What the store was at each backup, from the first on.
    let mut states: Vec<Seen> = Vec::new();
    let mut images_taken = 0;
    for step in &STEPS {
        (step.run)(&stores[step.writer], &disk).unwrap_or_else(|error| panic!("{}: {error}", step.name));
        let state = seen(&stores[step.writer]);
        let images: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        disk.on_sync(Some(Box::new({
            let (disk, images, folder) = (disk.clone(), Arc::clone(&images), folder.path().to_path_buf());
            let mut taken = 0;
            move |_| {
                taken += 1;
                let image = folder.join(format!("image{taken}"));
                disk.crash_image(&image, seed * 1_000_003 + images_taken + taken).expect("an image");
                images.lock().expect("one thread").push(image);
            }
        })));
        let report = backup::run(&stores[1 - step.writer], &target, &mut |_| ()).expect("backed up");
        disk.on_sync(None);
        assert_eq!((report.faults.len(), report.generation), (0, states.len() as u64 + 1), "{}", step.name);
        states.push(state);
        let images = std::mem::take(&mut *images.lock().expect("one thread"));
        images_taken += images.len() as u64;
        let last = states.len() as u64;
        for image in images {
            let found = restored(&image.join("backup"), &image);
            let generation = found.as_ref().map_or(0, |(generation, _)| *generation);
            assert!(generation == last || generation == last - 1, "{}: {generation}", step.name);
            if let Some((generation, seen)) = found {
                assert!(seen == states[generation as usize - 1], "{}: {}", step.name, image.display());
            }
            std::fs::remove_dir_all(&image).expect("ours");
        }
        let durable = folder.path().join("durable");
        disk.durable_image(&durable).expect("an image");
        let (generation, seen) = restored(&durable.join("backup"), &durable).expect("there");
        assert!(generation == states.len() as u64 && Some(&seen) == states.last(), "{}", step.name);
        std::fs::remove_dir_all(&durable).expect("ours");
    }
    assert!(images_taken > 50, "{images_taken}");
    // The stores are dropped next: what they do then is nobody's business.
    disk.power_off();
}

#[test]
fn a_backup_is_whole_wherever_the_power_fails_in_the_next_one() {
    for seed in 1..=3 {
        run(seed);
    }
}
