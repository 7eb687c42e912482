//! What a simulated disk keeps, loses, tears and refuses.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A disk in a folder of its own, and room for images.
struct Fixture {
    folder: tempfile::TempDir,
    simulated: SimulatedDisk,
    disk: Disk,
    images: AtomicU64,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let simulated = SimulatedDisk::new(&folder.path().join("disk"), SimulatedOptions::new(1)).expect("made");
    let disk = simulated.disk();
    Fixture { folder, simulated, disk, images: AtomicU64::new(0) }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.simulated.root().join(name)
    }

    /// What a power cut could leave of `name`, over many seeds.
    fn left(&self, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        (0..100).map(|seed| fs::read(self.image(seed).join(name)).ok()).collect()
    }

    /// All names in the root that a power cut could leave, over many seeds.
    fn left_names(&self) -> BTreeSet<Vec<String>> {
        let names = |image: PathBuf| Disk::real().read_dir(&image).expect("read");
        (0..100).map(|seed| names(self.image(seed)).into_iter().map(|entry| entry.name).collect()).collect()
    }

    fn image(&self, seed: u64) -> PathBuf {
        let number = self.images.fetch_add(1, Ordering::Relaxed);
        let into = self.folder.path().join(format!("image{number}"));
        self.simulated.crash_image(&into, seed).expect("an image");
        into
    }

    /// A durable file.
    fn file(&self, name: &str, bytes: &[u8]) -> crate::disk::DiskFile {
        let file = self.disk.create_new(&self.path(name)).expect("made");
        file.write_all_at(bytes, 0).expect("written");
        file.sync_all().expect("synced");
        self.disk.sync_folder(self.simulated.root()).expect("synced");
        file
    }
}

fn set<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    all.into_iter().collect()
}

#[test]
fn what_was_synced_stays_and_what_was_not_may_be_lost() {
    let fixture = fixture();
    let file = fixture.file("a", b"old");
    assert_eq!(fixture.left("a"), set([Some(b"old".to_vec())]));
    file.write_all_at(b"new", 0).expect("written");
    assert_eq!(fixture.disk.read(&fixture.path("a")).expect("read"), b"new");
    assert_eq!(fixture.left("a"), set([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    file.sync_data().expect("synced");
    assert_eq!(fixture.left("a"), set([Some(b"new".to_vec())]));
}

#[test]
fn a_long_write_is_torn_between_sectors_and_at_its_end() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 1024]);
    file.write_all_at(&[2; 2048], 0).expect("written");
    let left = fixture.left("a");
    assert!(left.len() > 10, "{} ways", left.len());
    for bytes in left.into_iter().map(|bytes| bytes.expect("its name is durable")) {
        assert!((1024..=2048).contains(&bytes.len()));
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|octet| *octet == sector[0])));
    }
}

#[test]
fn a_cut_and_a_hole_are_writes_and_so_is_a_store_into_a_mapping() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 1024]);
    file.punch(0, 512).expect("a hole");
    assert_eq!(fixture.left("a"), set([Some(vec![1; 1024]), Some([[0; 512], [1; 512]].concat())]));
    file.sync_data().expect("synced");
    file.set_len(512).expect("cut");
    assert!(fixture.left("a").iter().flatten().any(|bytes| bytes.len() == 1024));
    file.sync_data().expect("synced");
    assert_eq!(fixture.left("a"), set([Some(vec![0; 512])]));

    let mapping = crate::mapping::Mapping::create(&fixture.disk, &fixture.path("m"), 4096).expect("mapped");
    mapping.sync().expect("synced");
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    mapping.region().store_u32(8, 7, Ordering::Relaxed).expect("stored");
    let first = |left: BTreeSet<Option<Vec<u8>>>| -> BTreeSet<u8> {
        left.into_iter().flatten().map(|bytes| bytes[8]).collect()
    };
    assert_eq!(first(fixture.left("m")), set([0, 7]));
    fixture.disk.sync_file_system(fixture.simulated.root()).expect("synced");
    assert_eq!(first(fixture.left("m")), set([7]));
}

#[test]
fn the_sync_of_a_file_makes_no_name_durable() {
    let fixture = fixture();
    let file = fixture.disk.create_new(&fixture.path("a")).expect("made");
    file.write_all_at(b"new", 0).expect("written");
    file.sync_all().expect("synced");
    assert_eq!(fixture.left("a"), set([None, Some(b"new".to_vec())]));
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    assert_eq!(fixture.left("a"), set([Some(b"new".to_vec())]));
    fixture.disk.make_folder(&fixture.path("b/c")).expect("made");
    fixture.disk.create_dir_all(&fixture.path("b/d")).expect("made");
    let names = |image: PathBuf| (image.join("b/c").is_dir(), image.join("b/d").is_dir());
    let left = (0..100).map(|seed| names(fixture.image(seed))).collect::<BTreeSet<_>>();
    assert_eq!(left, set([(true, false), (true, true)]));
}

#[test]
fn changes_of_names_are_lost_from_the_last_backwards() {
    let fixture = fixture();
    fixture.file("a", b"1");
    fixture.file("b", b"2");
    fixture.disk.rename(&fixture.path("a"), &fixture.path("c")).expect("renamed");
    fixture.disk.hard_link(&fixture.path("b"), &fixture.path("d")).expect("linked");
    fixture.disk.remove_file(&fixture.path("b")).expect("removed");
    let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    assert_eq!(fixture.left_names(), set([names("ab"), names("bc"), names("bcd"), names("cd")]));
    assert_eq!(fixture.left("c"), set([None, Some(b"1".to_vec())]));
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    assert_eq!(fixture.left_names(), set([names("cd")]));
    assert_eq!(fixture.left("d"), set([Some(b"2".to_vec())]), "the file is the same");
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_if_it_was_synced_before() {
    let fixture = fixture();
    fixture.file("a", b"old");
    fixture.disk.replace_file(&fixture.path("a"), b"new").expect("replaced");
    assert_eq!(fixture.left("a"), set([Some(b"new".to_vec())]));
    // Without the sync of the file, its name may be there and what is in it not.
    let file = fixture.disk.create_new(&fixture.path("n")).expect("made");
    file.write_all_at(b"newer", 0).expect("written");
    fixture.disk.rename(&fixture.path("n"), &fixture.path("a")).expect("renamed");
    assert!(fixture.left("a").contains(&Some(Vec::new())));
    assert!(fixture.left("a").contains(&Some(b"new".to_vec())));
}

#[test]
fn a_rename_between_folders_is_in_both_or_in_neither() {
    let fixture = fixture();
    for folder in ["x", "y"] {
        fixture.disk.make_folder(&fixture.path(folder)).expect("made");
    }
    fixture.file("x/a", b"1");
    fixture.disk.sync_folder(&fixture.path("x")).expect("synced");
    fixture.disk.create_new(&fixture.path("y/b")).expect("made");
    fixture.disk.rename(&fixture.path("x/a"), &fixture.path("y/a")).expect("renamed");
    let places = |image: PathBuf| (image.join("x/a").exists(), image.join("y/a").exists());
    let left = |fixture: &Fixture| -> BTreeSet<(bool, bool)> {
        (0..100).map(|seed| places(fixture.image(seed))).collect()
    };
    assert_eq!(left(&fixture), set([(true, false), (false, true)]));
    fixture.disk.sync_folder(&fixture.path("x")).expect("synced");
    assert_eq!(left(&fixture), set([(false, true)]), "one sync is enough for both");
}

#[test]
fn what_was_removed_is_there_again_with_what_was_in_it() {
    let fixture = fixture();
    fixture.disk.make_folder(&fixture.path("x/y")).expect("made");
    fixture.file("x/y/a", b"1");
    fixture.disk.sync_file_system(fixture.simulated.root()).expect("synced");
    fixture.disk.remove_dir_all(&fixture.path("x")).expect("removed");
    assert!(fixture.left("x/y/a").contains(&Some(b"1".to_vec())));
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    assert_eq!(fixture.left("x/y/a"), set([None]));
    fixture.disk.sync_file_system(fixture.simulated.root()).expect("synced");
    assert_eq!(fixture.simulated.lock().tree.files(), [], "nobody knows the file any more");
}

#[test]
fn images_that_hold_the_same_have_the_same_number() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 2048]);
    fixture.disk.hard_link(&fixture.path("a"), &fixture.path("b")).expect("linked");
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    let numbers = || -> BTreeSet<u128> {
        (0..100).map(|seed| fixture.simulated.power_cut(seed).expect("an image").hash()).collect()
    };
    let first = numbers();
    assert_eq!(first.len(), 1);
    file.write_all_at(&[2; 1024], 0).expect("written");
    assert_eq!(numbers().len(), 4, "two sectors by themselves");
    file.sync_all().expect("synced");
    let synced = numbers();
    assert_eq!(synced.len(), 1);
    assert_ne!(first, synced);
    fixture.disk.rename(&fixture.path("b"), &fixture.path("c")).expect("renamed");
    assert_eq!(numbers().len(), 2);
    file.write_all_at(&[1; 1024], 0).expect("written");
    file.sync_all().expect("synced");
    fixture.disk.rename(&fixture.path("c"), &fixture.path("b")).expect("renamed");
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    assert_eq!(numbers(), first, "all is as it was");
}

#[test]
fn a_disk_that_starts_with_an_image_is_one_that_takes_its_folder_over() {
    let fixture = fixture();
    fixture.disk.make_folder(&fixture.path("x/y")).expect("made");
    fixture.file("x/y/a", b"1");
    fixture.file("x/b", b"2").write_all_at(b"3", 0).expect("written");
    fixture.disk.hard_link(&fixture.path("x/b"), &fixture.path("c")).expect("linked");
    fixture.disk.sync_file_system(fixture.simulated.root()).expect("synced");
    let image = fixture.simulated.power_cut(1).expect("an image");
    let root = fixture.folder.path().join("again");
    let again = SimulatedDisk::after(&image, &root, SimulatedOptions::new(1)).expect("started");
    assert_eq!(again.power_cut(5).expect("an image").hash(), image.hash());
    let disk = again.disk();
    assert_eq!(disk.read(&root.join("x/y/a")).expect("there"), b"1");
    disk.open_writable(&root.join("c")).expect("there").write_all_at(b"4", 0).expect("written");
    disk.sync_file_system(&root).expect("synced");
    again.durable_image(&fixture.folder.path().join("next")).expect("an image");
    assert_eq!(fs::read(fixture.folder.path().join("next/x/b")).expect("there"), b"4", "it is the same file");
    let over = SimulatedDisk::new(&fixture.folder.path().join("next"), SimulatedOptions::new(1));
    assert_eq!(
        over.expect("taken over").disk().read(&fixture.folder.path().join("next/c")).expect("there"),
        b"4"
    );
}

#[test]
fn writeback_makes_some_durable_without_a_sync() {
    let fixture = fixture();
    let file = fixture.file("a", b"1");
    file.write_all_at(b"2", 0).expect("written");
    (0..20).for_each(|seed| fixture.simulated.writeback(seed).expect("written"));
    assert_eq!(fixture.left("a"), set([Some(b"2".to_vec())]));
    file.write_all_at(b"3", 0).expect("written");
    // What was there in between and never got to the disk does not come back.
    assert_eq!(fixture.left("a"), set([Some(b"2".to_vec()), Some(b"3".to_vec())]));
}

#[test]
fn an_image_is_a_disk_that_one_goes_on_with_and_the_same_seed_is_the_same_image() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 4096]);
    file.write_all_at(&[2; 4096], 0).expect("written");
    let (one, other) = (fixture.image(77), fixture.image(77));
    assert_eq!(fs::read(one.join("a")).expect("there"), fs::read(other.join("a")).expect("there"));
    let again = SimulatedDisk::new(&one, SimulatedOptions::new(2)).expect("taken over");
    let bytes = again.disk().read(&one.join("a")).expect("there");
    again.crash_image(&fixture.folder.path().join("next"), 5).expect("an image");
    assert_eq!(fs::read(fixture.folder.path().join("next/a")).expect("there"), bytes, "all of it is durable");
}

#[test]
fn calls_fail_when_they_are_told_to() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 4096]);
    fixture.simulated.fail(Call::Write, 2, Failure::Io);
    file.write_all_at(&[2; 4096], 0).expect("the first one is well");
    let error = file.write_all_at(&[3; 4096], 0).expect_err("the second is not");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let bytes = fixture.disk.read(&fixture.path("a")).expect("read");
    let written = bytes.iter().take_while(|octet| **octet == 3).count();
    assert!(written < 4096 && bytes[written..].iter().all(|octet| *octet == 2), "a part, from the front");
    assert_eq!(fixture.simulated.failures_to_come(), 0);

    fixture.simulated.fail(Call::Sync, 1, Failure::Io);
    file.sync_data().expect_err("as told");
    file.write_all_at(&[4; 1], 0).expect("written");
    file.sync_data().expect("synced");
    fixture.simulated.fail(Call::Create, 1, Failure::NoSpace);
    let error = fixture.disk.create_new(&fixture.path("b")).expect_err("as told");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!fixture.disk.exists(&fixture.path("b")));
    assert!(fixture.simulated.calls(Call::Write) >= 4);
    fixture.simulated.power_off();
    assert!(file.sync_data().is_err() && fixture.disk.read(&fixture.path("a")).is_err());
}

#[test]
fn a_full_disk_takes_nothing_but_what_has_its_space() {
    let fixture = fixture();
    let file = fixture.file("a", &[1; 1000]);
    file.allocate(1000, 500, true).expect("space");
    fixture.simulated.set_room(Some(100));
    file.write_all_at(&[2; 1500], 0).expect("all of it has its space");
    file.write_all_at(&[3; 200], 1500).expect_err("full");
    assert_eq!(file.len().expect("known"), 1600, "as far as there was room");
    assert!(file.allocate(0, 4096, false).is_err() && fixture.disk.create_new(&fixture.path("b")).is_err());
    assert!(fixture.disk.replace_file(&fixture.path("a"), b"new").is_err());
    fixture.simulated.set_room(None);
    fixture.disk.replace_file(&fixture.path("a"), b"new").expect("there is room again");
}

#[test]
fn bits_flip_and_files_are_cut_on_the_medium() {
    let fixture = fixture();
    let file = fixture.file("a", &[0; 100]);
    fixture.simulated.flip_bit(&fixture.path("a"), 8 * 10 + 3).expect("flipped");
    let mut flipped = vec![0; 100];
    flipped[10] = 8;
    assert_eq!(fixture.left("a"), set([Some(flipped.clone())]));
    fixture.simulated.cut(&fixture.path("a"), 50).expect("cut");
    assert_eq!(fixture.left("a"), set([Some(flipped[..50].to_vec())]));
    assert_eq!(file.len().expect("known"), 50);
}

#[test]
fn the_hook_is_called_around_syncs_and_changes_of_names_and_may_take_images() {
    let fixture = fixture();
    let file = fixture.file("a", b"1");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook: SyncHook = Box::new({
        let (simulated, seen) = (fixture.simulated.clone(), Arc::clone(&seen));
        let images = fixture.folder.path().join("images");
        fs::create_dir(&images).expect("made");
        move |point| {
            let image = images.join(format!("{}-{:?}", point.number, point.when));
            simulated.durable_image(&image).expect("an image");
            let content = fs::read(image.join("a")).expect("there");
            seen.lock().expect("one thread").push((point.when, point.call, content));
        }
    });
    fixture.simulated.on_sync(Some(hook));
    file.write_all_at(b"2", 0).expect("written");
    file.sync_data().expect("synced");
    fixture.disk.rename(&fixture.path("a"), &fixture.path("b")).expect("renamed");
    fixture.simulated.on_sync(None);
    fixture.disk.sync_folder(fixture.simulated.root()).expect("synced");
    let expected = [
        (When::Before, Call::Sync, b"1".to_vec()),
        (When::After, Call::Sync, b"2".to_vec()),
        (When::Before, Call::Rename, b"2".to_vec()),
        (When::After, Call::Rename, b"2".to_vec()),
    ];
    assert_eq!(*seen.lock().expect("one thread"), expected);
}

#[test]
fn the_clock_and_random_numbers_are_those_of_the_seed() {
    let numbers =
        |fixture: &Fixture| (0..10).map(|_| fixture.disk.random_number().expect("one")).collect::<Vec<u64>>();
    let (one, other) = (fixture(), fixture());
    assert_eq!(numbers(&one), numbers(&other));
    let now = one.disk.now_seconds();
    one.simulated.pass(86_400);
    assert_eq!((one.disk.now_seconds(), one.disk.today().0), (now + 86_400, other.disk.today().0 + 1));
}
