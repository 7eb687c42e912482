//! Tests of making, opening, assigning, freeing and reading without tearing.

use super::*;
use crate::endpoint::Endpoint;
use crate::handover::Protocol;
use crate::notify::RowIndex;
use crate::process::Process;
use crate::{SessionId, StartWait, USER_OCTETS};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;

const SMALL: Limits = Limits { handlers: 2, sessions: 70 };

fn peer() -> Endpoint {
    Endpoint::Inet("192.0.2.7:4242".parse().unwrap())
}

fn make(test: &str) -> Table {
    Table::create(&format!("/lode-test-{}-{test}", std::process::id()), SMALL, 7, 1000).unwrap()
}

#[test]
fn what_one_mapping_writes_another_reads() {
    let table = make("read");
    let opened = Table::open(table.name()).unwrap();
    let view = TableView::open_read_only(table.name()).unwrap();
    assert_eq!(view.limits(), SMALL);
    assert_eq!(view.info().router, Process::current());
    assert_eq!(view.info().boot_generation, 7);
    assert!(view.sessions().is_empty() && view.handlers().is_empty());

    let generation = table.begin_handler(1, 2000).unwrap();
    assert_eq!(table.begin_handler(1, 2000), None, "the row is taken");
    let (cell, cell_generation) = table.assign(1, Protocol::Imap, peer(), 3000).unwrap();
    let own = opened.cell(1, cell, cell_generation).unwrap();
    own.set_user("ann@example.org", 3100);
    own.set_state(CellState::Running);
    own.set_mailbox(Some((RowIndex(5), 99)));
    own.begin_command("UID FETCH", 3200);
    own.add_bytes(10, 2000, 3300);
    own.add_cpu(15);
    own.add_cpu(20);
    own.set_traced(true);

    let sessions = view.sessions();
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!(session.id, SessionId { handler: 1, cell, generation: cell_generation });
    assert_eq!(view.session(session.id).as_ref(), Some(session));
    for stranger in [
        SessionId { generation: cell_generation + 1, ..session.id },
        SessionId { handler: SMALL.handlers, ..session.id },
        SessionId { cell: SMALL.sessions, ..session.id },
    ] {
        assert_eq!(view.session(stranger), None);
    }
    assert_eq!(session.user, "ann@example.org");
    assert_eq!(session.protocol, Some(Protocol::Imap));
    assert_eq!(session.peer, Some(peer()));
    assert_eq!(session.state, CellState::Running);
    assert_eq!(session.mailbox, Some((RowIndex(5), 99)));
    assert_eq!((session.command.as_str(), session.command_since_ms), ("UID FETCH", 3200));
    assert_eq!((session.accepted_ms, session.login_ms, session.last_activity_ms), (3000, 3100, 3300));
    assert_eq!((session.bytes_in, session.bytes_out), (10, 2000));
    assert_eq!((session.cpu_micros, session.traced), (35, true));

    own.end_command(3400);
    assert_eq!(view.sessions()[0].command, "");
    let handlers = view.handlers();
    assert_eq!((handlers.len(), handlers[0].sessions, handlers[0].generation), (1, 1, generation));
}

#[test]
fn a_cell_is_given_once_and_freed_once() {
    let table = make("cells");
    table.begin_handler(0, 0).unwrap();
    let given: Vec<_> =
        (0..SMALL.sessions).map(|_| table.assign(0, Protocol::Pop3, peer(), 0).unwrap()).collect();
    let mut numbers: Vec<_> = given.iter().map(|(cell, _)| *cell).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..SMALL.sessions).collect::<Vec<_>>());
    assert_eq!(table.assign(0, Protocol::Pop3, peer(), 0), None, "full");
    assert_eq!(table.session_count(0), SMALL.sessions);

    let (cell, generation) = given[65];
    assert!(table.free(0, cell, generation));
    assert!(!table.free(0, cell, generation), "a second time is nothing");
    assert!(table.cell(0, cell, generation).is_none());
    let (again, next) = table.assign(0, Protocol::Lmtp, peer(), 0).unwrap();
    assert_eq!((again, next), (cell, generation + 1));
    assert!(!table.free(0, cell, generation), "an old generation frees nobody else's session");
    assert!(table.cell(0, cell, generation).is_none());
    assert!(table.cell(0, SMALL.sessions, 1).is_none() && table.cell(9, 0, 1).is_none());
    assert!(!table.free(0, SMALL.sessions, 1));

    table.watch(0, 77);
    table.clear_handler(0);
    assert_eq!((table.session_count(0), table.sessions().len()), (0, 0));
    let mut woken = 0;
    table.announce(77, |_| woken += 1);
    assert_eq!(woken, 0, "the dead watch nothing");
    table.begin_handler(0, 0).unwrap();
    assert_eq!(table.assign(0, Protocol::Imap, peer(), 0).map(|given| given.0), Some(0));
}

#[test]
fn a_table_of_a_dead_router_is_replaced_and_one_of_a_living_is_not() {
    let table = make("again");
    let name = table.name().to_string();
    assert!(matches!(
        Table::create(&name, SMALL, 8, 0),
        Err(TableError::InUse { router_pid }) if router_pid == std::process::id()
    ));
    // The same pid with another start time is another process.
    table.header().router_start_ticks.store(1, Ordering::Relaxed);
    // Its handler, for which this process stands, has not noticed.
    table.begin_handler(0, 0).unwrap();
    table.handler(0).set_process(Process::current());
    assert_eq!(crate::left_over_handlers(&name), [Process::current()]);
    let new = Table::create(&name, Limits { handlers: 1, sessions: 3 }, 9, 0).unwrap();
    assert!(crate::left_over_handlers(&name).is_empty());
    assert_eq!(TableView::open_read_only(&name).unwrap().info().boot_generation, 9);
    drop(new);
    drop(table);
    assert!(matches!(Table::open(&name), Err(TableError::Missing(_))));
}

#[test]
fn a_table_of_a_dead_router_is_taken_over_with_what_is_in_it() {
    let table = make("over");
    let name = table.name().to_string();
    assert_eq!(table.info().boot_generation, 7);
    table.begin_handler(0, 0).unwrap();
    let (cell, generation) = table.assign(0, Protocol::Imap, peer(), 0).unwrap();
    // This process itself, as another program.
    let same = Table::take_over(&name).unwrap();
    assert_eq!(same.info().boot_generation, 7);
    std::mem::forget(same);
    table.header().router_start_ticks.store(1, Ordering::Relaxed);
    let new = Table::take_over(&name).unwrap();
    assert_eq!((new.info().boot_generation, new.info().router), (8, Process::current()));
    assert!(new.cell(0, cell, generation).is_some());
    drop(new);
    assert!(matches!(Table::take_over(&name), Err(TableError::Missing(_))), "it removes the name as its own");
    // Somebody else's who lives: process 1.
    let other = make("over-other");
    other.header().router_pid.store(1, Ordering::Relaxed);
    let ticks = crate::process_start_ticks(1).expect("a first process");
    other.header().router_start_ticks.store(ticks, Ordering::Relaxed);
    assert!(matches!(Table::take_over(other.name()), Err(TableError::InUse { router_pid: 1 })));
}

#[test]
fn other_versions_and_layouts_are_refused_by_name() {
    let table = make("versions");
    let open = || TableView::open_read_only(table.name()).err().unwrap().to_string();
    table.header().abi_version.store(ABI_VERSION + 41, Ordering::Relaxed);
    assert!(open().contains("version 42, this program has version 1"), "{}", open());
    table.header().abi_version.store(ABI_VERSION, Ordering::Relaxed);
    table.header().fingerprint.store(0xabc, Ordering::Relaxed);
    assert!(open().contains("layout 0000000000000abc"), "{}", open());
    table.header().fingerprint.store(FINGERPRINT, Ordering::Relaxed);
    table.header().sessions.store(60_000, Ordering::Relaxed);
    assert!(open().contains("is not a finished table"), "{}", open());
    table.header().magic.store(0, Ordering::Relaxed);
    assert!(open().contains("is not a finished table"), "{}", open());
}

#[test]
fn bad_limits_and_too_much_memory_are_errors() {
    for (handlers, sessions) in [(0, 1), (65, 1), (1, 0), (1, 65_537)] {
        let limits = Limits { handlers, sessions };
        assert!(matches!(Table::create("/lode-test-limits", limits, 0, 0), Err(TableError::Limits(_))));
    }
}

/// Runs itself again where /dev/shm is too small, which takes a mount namespace of its own.
#[test]
fn a_full_dev_shm_is_an_error_at_creation() {
    const INNER: &str = "LODE_TEST_SMALL_SHM";
    if std::env::var_os(INNER).is_some() {
        let limits = Limits { handlers: 4, sessions: 1000 };
        let error = Table::create("/lode-test-full", limits, 0, 0).err().unwrap();
        assert!(matches!(error, TableError::NoSpace { .. }), "{error}");
        assert!(
            matches!(Table::open("/lode-test-full"), Err(TableError::Missing(_))),
            "nothing is left behind"
        );
        return;
    }
    let script = "mount -t tmpfs -o size=256k tmpfs /dev/shm || exit 77; exec \"$0\" --exact \"$1\"";
    let done = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg("table::tests::a_full_dev_shm_is_an_error_at_creation")
        .env(INNER, "1")
        .output();
    match done {
        Ok(done) if done.status.success() => {
            assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
        }
        Ok(done) if done.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&done.stdout));
        }
        _ => println!("skipped: no mount namespace can be made here"),
    }
}

#[test]
fn readers_never_see_half_a_text() {
    let table = Arc::new(make("torn"));
    table.begin_handler(0, 0).unwrap();
    let (cell, generation) = table.assign(0, Protocol::Imap, peer(), 0).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (table, stop) = (table.clone(), stop.clone());
        thread::spawn(move || {
            let own = table.cell(0, cell, generation).unwrap();
            let users: Vec<String> = ('a'..='z')
                .map(|letter| letter.to_string().repeat(letter as usize % USER_OCTETS + 1))
                .collect();
            while !stop.load(Ordering::Relaxed) {
                for user in &users {
                    own.set_user(user, user.len() as u64);
                    for _ in 0..200 {
                        std::hint::spin_loop();
                    }
                }
            }
        })
    };
    let view = TableView::open_read_only(table.name()).unwrap();
    let (mut seen, mut last, mut changes) = (0, 0, 0);
    for _ in 0..200_000 {
        let session = view.sessions().pop().unwrap();
        if session.peer.is_none() {
            continue; // The writer was in the middle every time.
        }
        seen += 1;
        changes += u32::from(session.login_ms != last);
        last = session.login_ms;
        assert_eq!(session.user.len() as u64, session.login_ms, "{:?}", session.user);
        let first = session.user.chars().next();
        assert!(session.user.chars().all(|letter| Some(letter) == first), "{:?}", session.user);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(seen > 1000 && changes > 10, "{seen} readings, {changes} changes");
}

#[test]
fn a_writer_that_died_in_the_middle_hides_its_texts_until_cleared() {
    let table = make("died");
    table.begin_handler(0, 0).unwrap();
    let (cell, _) = table.assign(0, Protocol::Imap, peer(), 0).unwrap();
    table.any_cell(0, cell).shared().sequence.fetch_or(1, Ordering::Relaxed);
    let session = table.sessions().pop().unwrap();
    assert_eq!((session.user.as_str(), session.peer), ("", None));
    table.clear_handler(0);
    table.begin_handler(0, 0).unwrap();
    table.assign(0, Protocol::Imap, peer(), 0).unwrap();
    assert_eq!(table.sessions().pop().unwrap().peer, Some(peer()));
}

#[test]
fn waiting_for_a_start_ends_three_ways() {
    let table = Arc::new(make("start"));
    let generation = table.begin_handler(0, 0).unwrap();
    assert_eq!(table.wait_for_start(0, generation, 1), StartWait::TimedOut);

    let (told, tells) = mpsc::channel();
    let waiter = {
        let table = table.clone();
        thread::spawn(move || told.send(table.wait_for_start(0, generation, 5)))
    };
    let other_side = Table::open(table.name()).unwrap();
    other_side.handler(0).set_state(HandlerState::Serving);
    assert!(other_side.post_start(0));
    assert_eq!(tells.recv_timeout(std::time::Duration::from_millis(900)), Ok(StartWait::Started));
    waiter.join().unwrap().unwrap();

    table.clear_handler(0);
    assert_eq!(table.wait_for_start(0, generation, 5), StartWait::Gone);
    let next = table.begin_handler(0, 0).unwrap();
    assert_eq!(next, generation + 1);
    assert_eq!(table.wait_for_start(0, next, 1), StartWait::TimedOut, "the old post does not count");
}

/// A copy of `table` as `cp` makes it of what is in /dev/shm.
fn copied(table: &Table) -> (tempfile::NamedTempFile, Vec<u8>) {
    let octets = std::fs::read(format!("/dev/shm{}", table.name())).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &octets).unwrap();
    (file, octets)
}

fn read_copy(octets: &[u8]) -> Result<TableView, TableError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), octets).unwrap();
    TableView::read_copy(&mut file.reopen().unwrap(), "copy")
}

#[test]
fn a_copy_in_a_file_reads_like_the_table_when_that_is_gone() {
    let table = make("copied");
    table.begin_handler(0, 0).unwrap();
    let (cell, generation) = table.assign(0, Protocol::Imap, peer(), 1).unwrap();
    table.cell(0, cell, generation).unwrap().set_user("ann", 2);
    let (file, _) = copied(&table);
    let sessions = table.sessions();
    drop(table);
    let view = TableView::read_copy(&mut file.reopen().unwrap(), "copy").unwrap();
    assert_eq!(view.sessions(), sessions);
    // What happens to the file later does not reach what was read.
    file.as_file().set_len(0).unwrap();
    assert_eq!(view.sessions(), sessions);
}

#[test]
fn a_copy_that_is_no_whole_table_is_refused_with_its_fault() {
    let table = make("hostile");
    let (_, octets) = copied(&table);
    let told = |octets: &[u8]| read_copy(octets).err().map(|error| error.to_string()).unwrap_or_default();
    let whole = octets.len();
    for kept in [0, 1, 127, 128, 4096, whole - 1] {
        let expected = if kept < 128 { 128 } else { whole };
        assert_eq!(
            told(&octets[..kept]),
            format!("copy is not a whole table: it has {kept} octets of {expected}")
        );
    }
    let mut longer = octets.clone();
    longer.push(0);
    assert!(told(&longer).contains("not a whole table"));
    assert_eq!(told(&vec![0; whole]), "copy is not a finished table of sessions");
    let mut other = octets.clone();
    other[8] = 9;
    assert!(told(&other).contains("version 9"), "{}", told(&other));
    let mut other = octets.clone();
    other[16] ^= 1;
    assert!(told(&other).contains("not of one build"), "{}", told(&other));
    // Limits that would take two gigabytes are not believed of a small file.
    let mut other = octets;
    other[48..52].copy_from_slice(&MAX_HANDLERS.to_ne_bytes());
    other[52..56].copy_from_slice(&MAX_SESSIONS.to_ne_bytes());
    assert!(read_copy(&other).is_err());
}

#[test]
fn any_octets_behind_the_header_are_read_without_harm() {
    let table = make("noise");
    let (_, mut octets) = copied(&table);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for octet in &mut octets[128..] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *octet = (state >> 56) as u8;
    }
    let view = read_copy(&octets).unwrap();
    assert_eq!(view.handlers().len(), 2);
    assert!(
        view.sessions().len() > 100,
        "rows of noise are taken for rows of a handler that is not to be trusted"
    );
}
