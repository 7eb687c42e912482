//! What commands touch, counted by the store: the promises that make Lode quick, which no clock could check.

mod changes;
mod content;
mod mailboxes;
mod touched;

use super::Rig;

/// Reads of files for 200 records that lie side by side, at most: 8 where it is done in one turn, and some more where a turn ended between
/// them, which is when it does on a busy machine.
const READS_OF_NEIGHBOURS_MAX: u64 = 40;

/// A message with a short text and an attachment of about `octets`.
fn with_attachment(octets: usize) -> Vec<u8> {
    let mut message = b"From: a@example.org\r\nSubject: big\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nA short text.\r\n\
        --b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    let line = [b"QUJD".repeat(19).as_slice(), b"\r\n"].concat();
    while message.len() < octets {
        message.extend_from_slice(&line);
    }
    message.extend_from_slice(b"--b--\r\n");
    message
}

#[test]
fn a_copy_of_a_big_message_writes_a_cell_and_a_small_frame() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", &with_attachment(25_000_000));
    client.ok("CREATE there");
    client.ok("SELECT INBOX");
    let counters = rig.shared.store.counters();
    let before = (
        counters.bucket_bytes_written.get(),
        counters.bucket_bytes_read.get(),
        counters.cells_added.get(),
        counters.journal_bytes_written.get(),
        counters.record_reads.get(),
    );
    client.ok("COPY 1 there");
    assert_eq!(counters.bucket_bytes_written.get(), before.0, "no message octet is written");
    assert_eq!(counters.bucket_bytes_read.get(), before.1, "no message octet is read");
    assert_eq!(counters.cells_added.get(), before.2 + 1, "one cell");
    let frame = counters.journal_bytes_written.get() - before.3;
    assert!((1..=256).contains(&frame), "one small frame, not {frame} octets");
    assert_eq!(counters.record_reads.get(), before.4, "no record is read");
}

#[test]
fn a_section_beside_a_big_attachment_is_read_alone() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", &with_attachment(25_000_000));
    client.ok("EXAMINE INBOX");
    let counters = rig.shared.store.counters();
    let (read, lent) = (counters.bucket_bytes_read.get(), counters.bucket_bytes_lent.get());
    let answer = client.ok("FETCH 1 BODY[1]");
    assert!(answer[0].contains("{13}"), "{answer:?}");
    let block = counters.bucket_bytes_read.get() - read;
    assert!((13..=16_384).contains(&block), "just the block that holds the section, to verify it: {block}");
    assert_eq!(counters.bucket_bytes_lent.get(), lent);
    client.ok("FETCH 1 BODY.PEEK[2]<1000000.100000>");
    assert_eq!(counters.bucket_bytes_read.get() - read, block, "a long range is sent from the file");
    assert_eq!(counters.bucket_bytes_lent.get() - lent, 100_000, "and no more of it than was asked for");
}

#[test]
fn flags_and_uids_come_from_the_cells_alone() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for number in 0..200 {
        client.append("INBOX", format!("Subject: {number}\r\n\r\ntext\r\n").as_bytes());
    }
    client.ok("SELECT INBOX");
    let counters = rig.shared.store.counters();
    let before = (counters.preads.get(), counters.record_reads.get(), counters.bucket_bytes_read.get());
    let answer = client.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)");
    assert_eq!(answer.len(), 201);
    client.ok("SEARCH UNSEEN LARGER 10 SINCE 1-Jan-2000 UID 1:100 NOT DELETED");
    let after = (counters.preads.get(), counters.record_reads.get(), counters.bucket_bytes_read.get());
    assert_eq!(before, after, "no record and no bucket is read");
}

#[test]
fn a_search_touches_no_more_than_its_keys_need() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for number in 0..200 {
        let message = format!("Subject: number {number}\r\nX-Odd: {}\r\n\r\ntext\r\n", number % 2);
        client.append("INBOX", message.as_bytes());
    }
    client.ok("SELECT INBOX");
    client.ok("STORE 7 +FLAGS.SILENT (\\Flagged)");
    let counters = rig.shared.store.counters();
    let mut touched = |command: &str| {
        let now = || {
            [
                counters.blocks_searched.get(),
                counters.cells_searched.get(),
                counters.record_reads.get(),
                counters.bucket_bytes_read.get(),
            ]
        };
        let before = now();
        client.ok(command);
        let after = now();
        let [blocks, cells, records, octets] = std::array::from_fn(|index| after[index] - before[index]);
        (blocks, cells, records, octets > 0)
    };
    // 200 messages are in 4 blocks.
    assert_eq!(touched("SEARCH FLAGGED"), (4, 0, 0, false), "flags are in the summaries of the blocks");
    assert_eq!(touched("UID SEARCH RETURN (COUNT) NOT FLAGGED UNSEEN"), (4, 0, 0, false));
    assert_eq!(touched("SEARCH 70:80"), (1, 0, 0, false), "only blocks with such numbers are visited");
    assert_eq!(touched("SEARCH UID 1:3,199 LARGER 1"), (2, 4, 0, false));
    assert_eq!(touched("SEARCH SUBJECT 7 FLAGGED"), (4, 1, 1, false), "the record is asked last");
    assert_eq!(touched("SEARCH SUBJECT \"number 19\""), (4, 200, 200, false));
    assert_eq!(
        touched("SEARCH RETURN (MIN) UNSEEN"),
        (1, 0, 0, false),
        "more than the first is not looked for"
    );
    assert_eq!(touched("SEARCH RETURN (PARTIAL 3:70) ALL"), (2, 0, 0, false));
    assert_eq!(touched("SEARCH RETURN (PARTIAL 1:2 MIN) HEADER X-Odd 1"), (1, 4, 4, true), "nor opened");
    assert_eq!(touched("SEARCH BODY text FLAGGED LARGER 1"), (4, 1, 1, true), "one message is opened");
    assert_eq!(touched("SEARCH BODY text ANSWERED"), (4, 0, 0, false), "none is opened");
    assert_eq!(touched("SEARCH 1:5 HEADER X-Odd 1"), (1, 5, 5, true));
    client.ok("SEARCH RETURN (SAVE) FLAGGED");
    let mut touched = |command: &str| {
        let before = counters.blocks_searched.get();
        client.ok(command);
        counters.blocks_searched.get() - before
    };
    assert_eq!(touched("SEARCH $ NOT SEEN"), 1);
    assert_eq!(touched("SEARCH NOT $"), 4);
}

#[test]
fn orders_and_threads_come_from_cells_and_records() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for number in 0..200 {
        let message = format!(
            "Message-ID: <{number}@x>\r\nReferences: <{}@x>\r\nSubject: {number}\r\n\r\ntext\r\n",
            number / 2
        );
        client.append("INBOX", message.as_bytes());
    }
    client.ok("SELECT INBOX");
    let counters = rig.shared.store.counters();
    let before = (counters.preads.get(), counters.record_reads.get(), counters.bucket_bytes_read.get());
    client.ok("UID SORT (REVERSE DATE ARRIVAL SIZE) UTF-8 ALL");
    let after = (counters.preads.get(), counters.record_reads.get(), counters.bucket_bytes_read.get());
    assert_eq!(before, after, "no record and no bucket is read");
    for command in [
        "UID SORT (SUBJECT FROM TO CC DISPLAYFROM DISPLAYTO) UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
    ] {
        let (preads, records) = (counters.preads.get(), counters.record_reads.get());
        client.ok(command);
        assert_eq!(counters.bucket_bytes_read.get(), before.2, "no bucket is read: {command}");
        assert_eq!(counters.record_reads.get(), records + 200, "each record once: {command}");
        let preads = counters.preads.get() - preads;
        assert!(
            preads <= READS_OF_NEIGHBOURS_MAX,
            "neighbours are read together, not by {preads} reads: {command}"
        );
    }
}

#[test]
fn envelopes_come_from_the_records_and_few_reads() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for number in 0..200 {
        client.append("INBOX", format!("Subject: {number}\r\n\r\ntext\r\n").as_bytes());
    }
    client.ok("SELECT INBOX");
    let counters = rig.shared.store.counters();
    let (preads, bucket) = (counters.preads.get(), counters.bucket_bytes_read.get());
    assert_eq!(client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)").len(), 201);
    assert_eq!(counters.bucket_bytes_read.get(), bucket, "no bucket is read");
    let preads = counters.preads.get() - preads;
    assert!(preads <= READS_OF_NEIGHBOURS_MAX, "neighbours are read together, not by {preads} reads");
}

#[test]
fn changes_of_many_clients_share_their_syncs() {
    let rig = Rig::start();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = rig.imap("ann");
                for _ in 0..25 {
                    client.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
                }
            });
        }
    });
    let counters = rig.shared.store.counters();
    assert!(counters.commits.get() >= 400);
    assert!(
        counters.syncs.get() < counters.commits.get(),
        "{} syncs for {} commits",
        counters.syncs.get(),
        counters.commits.get()
    );
}
