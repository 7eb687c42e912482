//! How long SORT and THREAD of a large mailbox take, over a socket pair, the reply read to its end. Run by hand:
//!
//! `cargo test --release -p handler sort_speed -- --ignored --nocapture`, with `LODE_MESSAGES` for another number than 100,000.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use store::change::{SystemFlags, ZonedTime};
use store::txn::Delivery;

use super::{Client, Rig};
use crate::maildrops::inbox_of;

const RUNS: usize = 7;
const WORDS: [&str; 16] = [
    "meeting", "report", "patch", "release", "invoice", "question", "about", "broken", "kernel", "lunch",
    "Größe", "travel", "draft", "minutes", "review", "café",
];
const NAMES: [&str; 8] = [
    "Ann Smith",
    "Bob Jones",
    "\"Doe, Jane\"",
    "=?utf-8?q?J=C3=BCrgen_M=C3=BCller?=",
    "carol",
    "D. Evans",
    "E F",
    "Zoë",
];

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % limit
    }
}

/// What a message needs to know of an earlier one that it answers.
#[derive(Clone)]
struct Earlier {
    references: Vec<u64>,
    subject: String,
}

/// A message as lists and people send them: two thirds are answers, mostly to what came lately.
fn message(number: u64, earlier: &mut Vec<Earlier>, numbers: &mut Numbers) -> String {
    let mut text = String::new();
    let answered = (number > 0 && numbers.below(3) > 0).then(|| {
        let back = 1 + numbers.below(200.min(number)) * numbers.below(4) / 3;
        earlier[(number - back.min(number)) as usize].clone()
    });
    let (mut references, subject) = match answered {
        Some(Earlier { references, subject }) => (references, subject),
        None => {
            let words = 2 + numbers.below(5);
            let words: Vec<_> = (0..words).map(|_| WORDS[numbers.below(16) as usize]).collect();
            (Vec::new(), format!("{} {}", words.join(" "), number % 977))
        }
    };
    let id = |number: u64| format!("<{number:x}.{:x}@mail{}.example.org>", number * 0x9E37_79B9, number % 7);
    for hop in 0..3 {
        let _ = write!(
            text,
            "Received: from relay{hop}.example.org (relay{hop}.example.org [192.0.2.{hop}])\r\n\tby mx.example.org with ESMTPS id {number:x}\r\n\tfor <list@example.org>; Mon, 1 Jan 2024 10:00:0{hop} +0000\r\n"
        );
    }
    let (day, hour) = (1 + number / 4000 % 28, number / 167 % 24);
    let _ = write!(
        text,
        "Date: {day} Jan 2024 {hour:02}:{:02}:{:02} +0{}00\r\nMessage-ID: {}\r\n",
        number / 3 % 60,
        number % 60,
        number % 3,
        id(number)
    );
    if let Some(&parent) = references.last() {
        let all: Vec<_> = references.iter().map(|&number| id(number)).collect();
        let _ = write!(
            text,
            "In-Reply-To: {}\r\nReferences: {}\r\nSubject: Re: [list] {subject}\r\n",
            id(parent),
            all.join("\r\n ")
        );
    } else {
        let _ = write!(text, "Subject: [list] {subject}\r\n");
    }
    let person = |number: u64| {
        format!("{} <user{}@example{}.org>", NAMES[number as usize % 8], number % 613, number % 5)
    };
    let _ = write!(
        text,
        "From: {}\r\nTo: {}, list@example.org\r\n",
        person(numbers.below(5000)),
        person(numbers.below(5000))
    );
    if numbers.below(2) == 0 {
        let _ = write!(text, "Cc: {}, {}\r\n", person(numbers.below(5000)), person(numbers.below(5000)));
    }
    text.push_str("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello.\r\n--=_b--\r\n");
    references.push(number);
    let first = references.len().saturating_sub(12);
    if first > 0 {
        // As programs do: the first one stays.
        references.drain(1..=first);
    }
    earlier.push(Earlier { references, subject });
    text
}

fn fill(rig: &Rig, count: u64) {
    let store = &rig.shared.store;
    let user = store.find_user("ann").expect("the store is read").expect("ann has logged in");
    let (mut earlier, mut numbers) = (Vec::new(), Numbers(1));
    for number in 0..count {
        let mut draft = store.draft().expect("a draft");
        draft.write(message(number, &mut earlier, &mut numbers).as_bytes()).expect("written");
        let content = draft.finish().expect("finished");
        let mut txn = store.begin();
        let internal_date = ZonedTime { seconds: 1_700_000_000 + number as i64, zone_minutes: 0 };
        let (mailbox, flags) = (inbox_of(user), SystemFlags::default());
        txn.deliver(content, vec![Delivery { mailbox, flags, keywords: Vec::new(), internal_date }]);
        txn.commit().expect("committed");
    }
}

/// The octets of the answer, and how long it took: by the clock, and of the processor, the client's part included.
fn timed(client: &mut Client, command: &str) -> (usize, Duration, Duration) {
    let processor = || Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock"));
    let mut buffer = vec![0; 1 << 20];
    let mut tail = Vec::new();
    let mut octets = 0;
    let (begin, begin_processor) = (Instant::now(), processor());
    client.stream.write_all(format!("z {command}\r\n").as_bytes()).expect("the handler reads");
    loop {
        let read = client.stream.read(&mut buffer).expect("the handler answers");
        octets += read;
        tail.extend_from_slice(&buffer[read.saturating_sub(100)..read]);
        tail.drain(..tail.len().saturating_sub(100));
        let text = String::from_utf8_lossy(&tail);
        if text.ends_with("\r\n") && text.contains("z OK") {
            return (octets, begin.elapsed(), processor() - begin_processor);
        }
        assert!(!text.contains("z NO") && !text.contains("z BAD"), "{text}");
    }
}

#[test]
#[ignore = "a measurement, to be run by hand"]
fn sort_speed() {
    let count = std::env::var("LODE_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    let begin = Instant::now();
    fill(&rig, count);
    println!("{count} messages made in {:?}", begin.elapsed());
    client.ok("SELECT INBOX");
    for command in [
        "SEARCH ALL",
        "SEARCH SUBJECT zzz",
        "UID SORT (DATE) UTF-8 ALL",
        "UID SORT (REVERSE ARRIVAL) UTF-8 ALL",
        "UID SORT (SUBJECT) UTF-8 ALL",
        "UID SORT (SUBJECT DATE) UTF-8 ALL",
        "UID SORT (FROM REVERSE DATE) UTF-8 ALL",
        "UID SORT (DISPLAYFROM DATE) UTF-8 ALL",
        "UID SORT (DISPLAYTO) UTF-8 ALL",
        "UID SORT (CC) UTF-8 ALL",
        "UID SORT RETURN (PARTIAL 1:100) (SUBJECT) UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
    ] {
        let runs: Vec<_> = (0..RUNS).map(|_| timed(&mut client, command)).collect();
        let least = runs.iter().map(|run| run.1).min().unwrap_or_default();
        let processor = runs.iter().map(|run| run.2).min().unwrap_or_default();
        println!(
            "{command:52} {:7.1} ms, of the processor {:7.1} ms, {:7} octets",
            least.as_secs_f64() * 1000.0,
            processor.as_secs_f64() * 1000.0,
            runs[0].0
        );
    }
    let counters = rig.shared.store.counters();
    println!(
        "octets of records read: {} in {} records",
        counters.record_bytes_read.get(),
        counters.record_reads.get()
    );
}
