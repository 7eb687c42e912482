//! Which logs are open when: midnight, a clock that is set back, leases.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::log::frame::{FrameHead, FrameType};

static DAY: AtomicU32 = AtomicU32::new(100);

fn day(_: &Disk) -> PageId {
    PageId(DAY.load(Ordering::Relaxed))
}

fn head(log: &LogFile, content: &[u8]) -> FrameHead {
    FrameHead {
        log_id: log.id(),
        frame_type: FrameType::Delivery,
        changes_len: 0,
        content_len: content.len() as u64,
        content_hash: xxhash_rust::xxh3::xxh3_64(content),
        changes_crc: crc32c::crc32c(&[]),
        seconds: 1_800_000_000,
        content_gone: false,
    }
}

#[test]
fn a_new_day_has_new_logs_and_a_message_that_began_yesterday_is_not_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |checkpoint: &Checkpoint| {
        Arc::new(
            Logs::open(&Disk::real(), folder.path(), 7, 1, checkpoint, Syncs::Trusted, &|| (), day)
                .expect("readable"),
        )
    };
    let logs = open(&Checkpoint::default());
    let bucket = logs.bucket().expect("space");
    let lease = logs.lease().expect("space");
    assert_ne!(bucket.name(), lease.log().name());
    lease.log().write_content(0, b"begun yesterday").expect("space");
    DAY.fetch_add(1, Ordering::Relaxed);
    assert_eq!(logs.bucket().expect("space").name().page, PageId(101));
    assert_eq!(logs.bucket().expect("space").name().number, 0);

    // Midnight has passed, and a checkpoint with it; the message of yesterday comes after.
    drop(bucket);
    let checkpoint = logs.positions();
    logs.prune(&checkpoint);
    let begun = head(lease.log(), b"begun yesterday");
    let in_flight = lease.log().append_written(&begun, &[], |_| ()).expect("space");
    let name = lease.log().name();
    drop(lease);
    let checkpoint = logs.positions();
    assert_eq!(checkpoint.page, PageId(101));
    assert_eq!(checkpoint.replay_from(name), Some(in_flight.offset()), "in flight holds it back");
    let end = in_flight.offset() + begun.frame_len();
    in_flight.applied();
    let checkpoint = logs.positions();
    assert_eq!(checkpoint.replay_from(name), Some(end));
    logs.prune(&checkpoint);
    assert_eq!(logs.positions().replay_from(name), None, "all of it is in the views");

    // The next process goes on with the newest logs of today.
    let today = logs.bucket().expect("space");
    today.append(&head(&today, b"x"), b"x", &[], |_| ()).expect("space").applied();
    let checkpoint = logs.positions();
    drop(logs);
    let logs = open(&checkpoint);
    let again = logs.bucket().expect("space");
    assert_eq!((again.name(), again.tail()), (today.name(), today.tail()));
}

#[test]
fn a_clock_that_was_set_back_loses_no_frame_and_takes_no_name_twice() {
    static CLOCK: AtomicU32 = AtomicU32::new(200);
    fn clock(_: &Disk) -> PageId {
        PageId(CLOCK.load(Ordering::Relaxed))
    }
    let folder = tempfile::tempdir().expect("a folder");
    let open = |checkpoint: &Checkpoint| {
        Arc::new(
            Logs::open(&Disk::real(), folder.path(), 7, 1, checkpoint, Syncs::Trusted, &|| (), clock)
                .expect("readable"),
        )
    };
    let logs = open(&Checkpoint::default());
    let later = logs.bucket().expect("space");
    later.append(&head(&later, b"x"), b"x", &[], |_| ()).expect("space").applied();
    let before = logs.positions();
    let end = before.replay_from(later.name()).expect("mentioned");
    assert_eq!(end, later.tail());
    drop(logs);

    CLOCK.store(199, Ordering::Relaxed);
    let logs = open(&before);
    let bucket = logs.bucket().expect("space");
    assert_eq!(bucket.name().page, PageId(199));
    assert_eq!(before.replay_from(bucket.name()), None, "the old checkpoint would leave it out");
    let checkpoint = logs.positions();
    assert!(before.is_ahead_of(&checkpoint), "so a new one is written before anything else");
    assert!(checkpoint.replay_from(bucket.name()).is_some());
    assert_eq!(checkpoint.replay_from(later.name()), Some(end), "it is not replayed again");
    logs.prune(&checkpoint);
    assert_eq!(logs.positions().replay_from(later.name()), Some(end));
    drop((bucket, later));

    // The day comes once more.
    CLOCK.store(200, Ordering::Relaxed);
    let bucket = logs.bucket().expect("space");
    assert_eq!((bucket.name().page, bucket.name().number), (PageId(200), 1));
    assert_eq!(logs.lease().expect("space").log().name().number, 2);
    CLOCK.store(201, Ordering::Relaxed);
    assert!(logs.positions().logs.iter().all(|log| log.position == LOG_HEAD_BYTES), "old ones are pruned");
}

#[test]
fn a_log_of_a_day_that_comes_once_more_is_not_gone_on_with_when_it_was_finished() {
    static CLOCK: AtomicU32 = AtomicU32::new(200);
    fn clock(_: &Disk) -> PageId {
        PageId(CLOCK.load(Ordering::Relaxed))
    }
    let folder = tempfile::tempdir().expect("a folder");
    let open = |checkpoint: &Checkpoint| {
        Arc::new(
            Logs::open(&Disk::real(), folder.path(), 7, 1, checkpoint, Syncs::Trusted, &|| (), clock)
                .expect("readable"),
        )
    };
    let logs = open(&Checkpoint::default());
    let names = [logs.bucket().expect("space").name(), logs.journal().expect("space").name()];
    CLOCK.store(201, Ordering::Relaxed);
    logs.prune(&logs.positions());
    let finished = logs.positions();
    assert_eq!(
        names.map(|name| finished.replay_from(name)),
        [None, None],
        "whoever closes days may close this one"
    );
    drop(logs);

    CLOCK.store(200, Ordering::Relaxed);
    let logs = open(&finished);
    let again = [logs.bucket().expect("space").name(), logs.journal().expect("space").name()];
    assert_eq!(again, names.map(|name| LogName { number: 1, ..name }));
    let checkpoint = logs.positions();
    for name in names.iter().chain(&again) {
        assert!(checkpoint.position(*name).is_some(), "{name:?} is replayed from where it ends");
    }
}

#[test]
fn leases_are_bounded_and_their_buckets_are_used_again() {
    fn today(_: &Disk) -> PageId {
        PageId(300)
    }
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let checkpoint = Checkpoint::default();
    let logs = Arc::new(
        Logs::open(&Disk::real(), folder.path(), 7, 1, &checkpoint, Syncs::Trusted, &|| (), today)
            .expect("readable"),
    );
    for _ in 0..2 {
        let leases: Vec<Lease> = (0..logs.leases_most).map(|_| logs.lease().expect("space")).collect();
        assert!(matches!(logs.lease(), Err(StoreError::Busy(_))));
        let mut names: Vec<LogName> = leases.iter().map(|lease| lease.log().name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), logs.leases_most, "nobody shares one");
        logs.bucket().expect("others are not kept from theirs");
    }
    assert_eq!(
        logs_of_page(&Disk::real(), folder.path(), today(&Disk::real())).expect("readable").len(),
        logs.leases_most + 1
    );
}

#[test]
fn a_log_whose_head_cannot_be_read_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let today: fn(&Disk) -> PageId = |_| PageId(200);
    let open = || {
        let checkpoint = Checkpoint::default();
        let syncs = Syncs::Trusted;
        Logs::open(&Disk::real(), folder.path(), 7, 1, &checkpoint, syncs, &|| (), today).expect("readable")
    };
    let name = open().bucket().expect("space").name();
    // What a failed sync leaves of one that was being made: a part of the head.
    let path = log_path(folder.path(), name);
    let mut octets = std::fs::read(&path).expect("there");
    octets[14..].fill(0);
    std::fs::write(&path, &octets).expect("space");
    let logs = open();
    assert_eq!(logs.positions().position(name), Some(LOG_HEAD_BYTES));
    assert_eq!(logs.bucket().expect("space").name(), LogName { number: name.number + 1, ..name });
}

/// Somebody made the folder of the day, and died, or failed, before its name was durable.
#[test]
#[cfg(feature = "simulation")]
fn the_folder_of_a_new_log_has_a_durable_name_whoever_made_it() {
    use crate::disk::simulated::{SimulatedDisk, SimulatedOptions};
    let folder = tempfile::tempdir().expect("a folder");
    let simulated =
        SimulatedDisk::new(&folder.path().join("disk"), SimulatedOptions::new(1)).expect("a disk");
    let (disk, pages) = (simulated.disk(), simulated.root().join("store/p0/pages"));
    disk.make_folder(&pages).expect("made");
    let logs =
        Logs::open(&disk, &pages, 7, 1, &Checkpoint::default(), Syncs::Trusted, &|| (), |_| PageId(300))
            .expect("readable");
    disk.create_dir(&pages.join(page_name(PageId(300)))).expect("made");
    let log = logs.bucket().expect("space");
    log.append(&head(&log, b"x"), b"x", &[], |_| ()).expect("space").applied();
    log.sync(&|| 0).expect("synced");
    let left = folder.path().join("left");
    simulated.durable_image(&left).expect("written");
    let path = log_path(&left.join("store/p0/pages"), log.name());
    assert_eq!(std::fs::read(&path).map(|bytes| bytes.len() as u64).unwrap_or(0).min(log.tail()), log.tail());
}
