//! Tests of notification: who is woken, and that nobody sleeps over news.

use super::*;
use crate::Limits;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

fn make(test: &str, handlers: u32) -> Table {
    let name = format!("/lode-test-{}-notify-{test}", std::process::id());
    Table::create(&name, Limits { handlers, sessions: 10 }, 1, 0).unwrap()
}

fn woken(table: &Table, key: u64) -> Vec<u32> {
    let mut all = Vec::new();
    table.announce(key, |handler| all.push(handler));
    all
}

#[test]
fn watchers_are_woken_once_until_they_take_it() {
    let table = make("once", 3);
    assert_eq!(woken(&table, 5), []);
    let row = table.watch(0, 5);
    assert_eq!(table.watch(2, 5), row);
    let before = table.generation(row);
    assert_eq!(woken(&table, 5), [0, 2]);
    assert_eq!(woken(&table, 5), [], "already pending");
    assert!(table.take_pending(2) && !table.take_pending(2));
    assert_eq!(woken(&table, 5), [2]);
    assert_eq!(table.generation(row), before + 3);
    table.unwatch(0, row);
    table.take_pending(0);
    table.take_pending(2);
    assert_eq!(woken(&table, 5), [2]);
}

#[test]
fn a_row_is_watched_until_its_last_session_goes() {
    let table = make("count", 2);
    let watches = Watches::new(1);
    let row = watches.add(&table, 8);
    watches.add(&table, 8);
    assert_eq!(woken(&table, 8), [1]);
    let changed = || {
        let mut all = Vec::new();
        watches.changed(&table, |row| all.push(row));
        all
    };
    assert_eq!(changed(), [row]);
    assert_eq!(changed(), []);
    table.take_pending(1);
    watches.remove(&table, row);
    assert_eq!(woken(&table, 8), [1]);
    table.take_pending(1);
    watches.remove(&table, row);
    watches.remove(&table, row);
    assert_eq!(woken(&table, 8), []);
}

#[test]
fn keys_spread_over_the_rows() {
    let table = make("spread", 1);
    let rows: std::collections::HashSet<_> = (0..512).map(|key| table.row_of(key)).collect();
    assert!(rows.len() > 400, "{}", rows.len());
    let rows: std::collections::HashSet<_> = (0..512u64).map(|key| table.row_of(key << 40)).collect();
    assert!(rows.len() > 300, "{}", rows.len());
}

/// Announcers change what stands for the store, then announce; one watcher sleeps on what stands for its eventfd.
/// Each round ends only when the watcher has seen the round's last change, so one lost wake-up is a timeout.
#[test]
fn nobody_sleeps_over_news() {
    const ROUNDS: u64 = 20_000;
    const ANNOUNCERS: u64 = 2;
    let table = Arc::new(make("stress", 2));
    let store: Arc<[AtomicU64; 2]> = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (eventfd, readable) = mpsc::channel::<()>();
    let (seen_send, seen) = mpsc::channel::<u64>();

    let announcers: Vec<_> = (0..ANNOUNCERS)
        .map(|number| {
            let (table, store, eventfd) = (table.clone(), store.clone(), eventfd.clone());
            let (go_send, go) = mpsc::channel::<u64>();
            let thread = thread::spawn(move || {
                for round in go {
                    store[number as usize].store(round, Ordering::Relaxed);
                    table.announce(42, |handler| {
                        assert_eq!(handler, 1);
                        let _ = eventfd.send(());
                    });
                }
            });
            (go_send, thread)
        })
        .collect();
    let watcher = {
        let (table, store) = (table.clone(), store.clone());
        thread::spawn(move || {
            let watches = Watches::new(1);
            let mut row = watches.add(&table, 42);
            for round in 1..=ROUNDS {
                let news = || store.iter().all(|word| word.load(Ordering::Relaxed) >= round);
                if round % 7 == 0 {
                    // Stop watching and begin again while announcers are at work.
                    watches.remove(&table, row);
                    row = watches.add(&table, 42);
                }
                let mut done = news();
                while !done {
                    if readable.recv_timeout(Duration::from_secs(10)).is_err() {
                        panic!("slept over round {round}");
                    }
                    table.take_pending(1);
                    let mut changed = false;
                    watches.changed(&table, |_| changed = true);
                    done = changed && news();
                }
                seen_send.send(round).unwrap();
            }
        })
    };
    for round in 1..=ROUNDS {
        for (go, _) in &announcers {
            go.send(round).unwrap();
        }
        if seen.recv() != Ok(round) {
            break;
        }
    }
    for (go, thread) in announcers {
        drop(go);
        thread.join().unwrap();
    }
    watcher.join().unwrap();
}
