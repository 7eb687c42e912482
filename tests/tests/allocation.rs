//! Parsing allocates for what a command says, never for an octet as such: an allocator that counts is told what bursts of pipelined
//! commands cost, whole and in pieces.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use protocol::imap::{Decoded, Decoder, Limits};
use protocol::{lmtp, pop3};

/// The system's allocator, which counts for the thread that asks.
struct Counting;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { calls: 0, octets: 0 }) };
}

/// What was allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// Allocations, and those that were made larger.
    calls: u64,
    /// Their octets together, given back or not.
    octets: u64,
}

fn count(octets: usize) {
    // A thread that ends has no counts any more.
    let _ = COUNTS.try_with(|counts| {
        let Counts { calls, octets: sum } = counts.get();
        counts.set(Counts { calls: calls + 1, octets: sum + octets as u64 });
    });
}

// SAFETY: every call goes on to the system's allocator as it came; counting allocates nothing, for the counts are a constant at
// first and need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the place came from the system's allocator, with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, octets: usize) -> *mut u8 {
        count(octets);
        // SAFETY: the place came from the system's allocator, with this layout.
        unsafe { System.realloc(place, layout, octets) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` allocates, and what it returns.
fn counted<T>(run: impl FnOnce() -> T) -> (Counts, T) {
    let before = COUNTS.get();
    let result = run();
    let after = COUNTS.get();
    (Counts { calls: after.calls - before.calls, octets: after.octets - before.octets }, result)
}

const BURST_OCTETS: usize = 1 << 20;

/// About a megabyte of `command`, each with a tag, and how many there are.
fn burst(command: &str) -> (Vec<u8>, u64) {
    let mut octets = Vec::new();
    let mut commands = 0;
    while octets.len() < BURST_OCTETS {
        commands += 1;
        octets.extend_from_slice(format!("a{commands} {command}\r\n").as_bytes());
    }
    (octets, commands)
}

/// Decodes all commands of `octets`, of which `piece` more come each time.
fn decode(octets: &[u8], piece: usize) -> u64 {
    let mut decoder = Decoder::new(Limits::LOGGED_IN);
    let (mut commands, mut done, mut come) = (0, 0, 0);
    while come < octets.len() {
        come = (come + piece).min(octets.len());
        loop {
            let (consumed, decoded) = decoder.decode(&octets[done..come]);
            done += consumed;
            match decoded {
                Decoded::NeedMore => break,
                Decoded::Command(_) => commands += 1,
                Decoded::Continue => {}
                other => panic!("{other:?}"),
            }
        }
    }
    commands
}

#[test]
fn a_burst_of_imap_allocates_a_few_times_for_a_command_however_it_is_cut() {
    for (command, calls_each, octets_each) in [
        ("NOOP", 1, 16),
        ("CHECK", 1, 16),
        ("FETCH 1:* (UID FLAGS)", 3, 512),
        ("UID FETCH 1,3,5:9 (UID FLAGS INTERNALDATE RFC822.SIZE)", 4, 640),
        ("FETCH 7 BODY.PEEK[1.2.HEADER]<0.100>", 5, 640),
        ("STORE 1:7 +FLAGS.SILENT (\\Seen \\Deleted)", 2, 128),
        ("UID STORE 7 FLAGS ($Junk)", 5, 256),
        ("UID COPY 1:7 Archive", 4, 128),
        ("SEARCH UNSEEN SINCE 1-Jan-2026 NOT DELETED", 5, 1024),
        ("STATUS INBOX (MESSAGES UNSEEN)", 4, 128),
        ("SELECT INBOX", 3, 128),
        ("LIST \"\" %", 4, 256),
    ] {
        let (octets, commands) = burst(command);
        let (whole, decoded) = counted(|| decode(&octets, octets.len()));
        assert_eq!(decoded, commands);
        assert!(whole.calls <= commands * calls_each, "{command}: {} for {commands}", whole.calls);
        assert!(whole.octets <= commands * octets_each, "{command}: {} for {commands}", whole.octets);
        for piece in [61, 4000] {
            let (pieces, decoded) = counted(|| decode(&octets, piece));
            assert_eq!((pieces, decoded), (whole, commands), "{command} in pieces of {piece}");
        }
    }
}

#[test]
fn what_is_allocated_is_what_a_command_says() {
    // The octets of a text are there once, those of a number not at all, and what has not come whole costs nothing.
    let text = "x".repeat(60_000);
    for (command, octets_max) in [
        (format!("SEARCH SUBJECT \"{text}\""), 60_000 + 1024),
        (format!("SEARCH SUBJECT {{{}+}}\r\n{text}", text.len()), 60_000 + 1024),
        (format!("FETCH {} FLAGS", vec!["4294967295"; 5_000].join(",")), 16 * 8_192 + 1024),
        (format!("NOOP{}", " ".repeat(60_000)), 64),
        (format!("FETCH 1{}FLAGS", " ".repeat(60_000)), 512),
    ] {
        let octets = format!("a {command}\r\n").into_bytes();
        let (counts, commands) = counted(|| decode(&octets, octets.len()));
        assert_eq!(commands, 1);
        assert!(counts.octets <= octets_max && counts.calls <= 16, "{command:.40}: {counts:?}");
        let (counts, commands) = counted(|| decode(&octets[..octets.len() - 2], 100));
        // The tag, to see whether the command may have a literal.
        assert!(commands == 0 && counts.calls <= 1 && counts.octets <= 1, "{command:.40}: {counts:?}");
    }
}

#[test]
fn bursts_of_pop3_and_lmtp_allocate_for_what_they_say() {
    for (command, calls_each) in [("NOOP", 1), ("STAT", 1), ("RETR 7", 1), ("UIDL", 1), ("TOP 1 20", 1)] {
        let octets = format!("{command}\r\n").repeat(BURST_OCTETS / 32).into_bytes();
        let (counts, commands) = counted(|| {
            let mut decoder = pop3::Decoder::new();
            let (mut done, mut commands) = (0, 0);
            loop {
                let (consumed, decoded) = decoder.decode(&octets[done..]);
                done += consumed;
                match decoded {
                    pop3::Decoded::NeedMore => return commands,
                    pop3::Decoded::Ready(_) => commands += 1,
                    pop3::Decoded::Wrong(fault) => panic!("{fault:?}"),
                }
            }
        });
        assert_eq!(commands, BURST_OCTETS as u64 / 32);
        assert!(counts.calls <= calls_each * commands, "{command}: {counts:?}");
    }
    for (command, calls_each) in [("NOOP", 1), ("RSET", 1), ("DATA", 1), ("RCPT TO:<ann@example.org>", 6)] {
        let octets = format!("{command}\r\n").repeat(BURST_OCTETS / 32).into_bytes();
        let (counts, commands) = counted(|| {
            let mut decoder = lmtp::Decoder::new();
            let (mut done, mut commands) = (0, 0);
            loop {
                let (consumed, decoded) = decoder.decode(&octets[done..]);
                done += consumed;
                match decoded {
                    lmtp::Decoded::NeedMore => return commands,
                    lmtp::Decoded::Ready(_) => commands += 1,
                    lmtp::Decoded::Wrong(fault) => panic!("{fault:?}"),
                }
            }
        });
        assert_eq!(commands, BURST_OCTETS as u64 / 32);
        assert!(counts.calls <= calls_each * commands, "{command}: {counts:?}");
    }
}
