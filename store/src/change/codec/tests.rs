//! Every change comes back from its octets, and no octets do harm.

use super::*;

fn mailbox(number: u32) -> MailboxId {
    MailboxId { user: UserId(300), number }
}

fn added(uid: u32) -> Added {
    Added {
        uid: Uid::new(uid).expect("not 0"),
        modseq: ModSeq(1 << 40),
        flags: Flags { system: SystemFlags::SEEN, keywords: 1 << 63 },
        internal_date: ZonedTime { seconds: -5, zone_minutes: -570 },
        save_seconds: 1_800_000_000,
        sent_date: None,
        size: u32::MAX,
        message: MessageId { page: PageId(20_000), index: 7 },
    }
}

fn entry(name: &str, modseq: u64, value: Option<&[u8]>) -> AnnotationEntry {
    AnnotationEntry { name: name.to_string(), modseq: ModSeq(modseq), value: value.map(<[u8]>::to_vec) }
}

fn one_of_each() -> Vec<Change> {
    let uid = |value| Uid::new(value).expect("not 0");
    vec![
        Change::Message { index: 7, header_size: 900 },
        Change::Add { mailbox: mailbox(1), added: added(1) },
        Change::Add { mailbox: mailbox(2), added: added(9) },
        Change::Add {
            mailbox: mailbox(3),
            added: Added {
                sent_date: Some(ZonedTime { seconds: 1 << 40, zone_minutes: 840 }),
                ..added(u32::MAX)
            },
        },
        Change::Flags {
            mailbox: mailbox(1),
            modseq: ModSeq(u64::MAX),
            messages: vec![(uid(1), Flags::default()), (uid(u32::MAX), added(1).flags)],
        },
        Change::Expunge { mailbox: mailbox(1), modseq: ModSeq(3), uids: vec![uid(2), uid(4)] },
        Change::Seen {
            mailbox: mailbox(1),
            reader: UserId(9),
            modseq: ModSeq(1 << 50),
            seen: true,
            ranges: vec![(uid(1), uid(1)), (uid(3), uid(700)), (uid(u32::MAX), uid(u32::MAX))],
        },
        Change::Annotations {
            mailbox: mailbox(1),
            reader: None,
            modseq: ModSeq(1 << 50),
            messages: vec![(uid(3), vec![entry("/comment", 1 << 50, Some(b"x\0"))]), (uid(u32::MAX), vec![])],
        },
        Change::Annotations {
            mailbox: mailbox(1),
            reader: Some(UserId(u32::MAX)),
            modseq: ModSeq(u64::MAX),
            messages: vec![(uid(1), vec![entry("/1/comment", 0, None), entry("", u64::MAX, Some(b""))])],
        },
        Change::Keyword { mailbox: mailbox(1), bit: 63, name: "$Junk".to_string() },
        Change::UserCreate { user: UserId(0), name: "ann".to_string() },
        Change::UserDelete { user: UserId(u32::MAX) },
        Change::MailboxCreate {
            mailbox: mailbox(4),
            list_version: 5,
            uid_validity: 6,
            name: "Entwürfe".to_string(),
            special_use: Some(SpecialUse::Drafts),
            placeholder: true,
        },
        Change::MailboxRename { mailbox: mailbox(4), list_version: 6, name: String::new() },
        Change::MailboxDelete { mailbox: mailbox(4), list_version: 7 },
        Change::MailboxNumbers { mailbox: mailbox(4), uid_next: 9, highest_modseq: ModSeq(1 << 40) },
        Change::Subscribe { user: UserId(1), list_version: 8, name: "a/b".to_string(), subscribed: true },
        Change::SpecialUse { mailbox: mailbox(4), list_version: 9, special_use: None },
        Change::MailboxSnapshot(Box::new(MailboxSnapshot {
            mailbox: mailbox(4),
            part: 1,
            parts: 2,
            uid_next: 90,
            highest_modseq: ModSeq(91),
            keywords: vec![(3, "$a".to_string())],
            cells: vec![
                SnapshotCell { added: added(5), expunged_at: None },
                SnapshotCell { added: added(8), expunged_at: Some(7) },
            ],
        })),
        Change::ListSnapshot {
            user: UserId(4),
            name: "dora".to_string(),
            list_version: 9,
            list: vec![1, 2, 3],
        },
        Change::Quota {
            user: UserId(1),
            list_version: 10,
            limits: Limits {
                octets: Limit::Most(Limit::HIGHEST),
                messages: Limit::Unlimited,
                mailboxes: Limit::Default,
                annotations: Limit::Default,
            },
        },
        Change::Quota {
            user: UserId(1),
            list_version: 10,
            limits: Limits { annotations: Limit::Most(9), ..Limits::default() },
        },
        Change::Attribute {
            user: UserId(1),
            list_version: 11,
            mailbox: Some(4),
            name: "meta/shared/comment".to_string(),
            value: Some(vec![0, 255, 13]),
        },
        Change::Attribute {
            user: UserId(1),
            list_version: 12,
            mailbox: None,
            name: "meta/private/comment".to_string(),
            value: Some(Vec::new()),
        },
        Change::Attribute {
            user: UserId(1),
            list_version: 13,
            mailbox: Some(u32::MAX),
            name: "x".to_string(),
            value: None,
        },
    ]
}

#[test]
fn what_is_encoded_is_decoded() {
    let changes = one_of_each();
    let mut bytes = Vec::new();
    encode(&changes, &mut bytes);
    assert_eq!(decode(&bytes), Ok(changes));
}

#[test]
fn the_same_message_for_other_recipients_is_short() {
    let users = [300, 301, 310, 0, u32::MAX, u32::MAX, 5];
    let numbers = [1, 2, 5_000, u32::MAX];
    let mut changes = Vec::new();
    for (user, number) in users.into_iter().flat_map(|user| numbers.map(|number| (user, number))) {
        for modseq in [1, 5_000, 5_001, 1 << 40, u64::MAX] {
            let flags = if modseq == 5_001 { Flags::default() } else { added(1).flags };
            let added = Added { modseq: ModSeq(modseq), flags, ..added(5_000) };
            changes.push(Change::Add { mailbox: MailboxId { user: UserId(user), number }, added });
        }
    }
    let mut bytes = Vec::new();
    encode(&changes, &mut bytes);
    assert_eq!(decode(&bytes), Ok(changes));

    let to = |user: u32| {
        let added = Added { modseq: ModSeq(6_000), ..added(5_000) };
        Change::Add { mailbox: MailboxId { user: UserId(user), number: 1 }, added }
    };
    let changes: Vec<Change> = (1..=1000).map(to).collect();
    bytes.clear();
    encode(&changes, &mut bytes);
    assert!(bytes.len() < 5_100, "{}", bytes.len());
}

#[test]
fn cut_or_altered_octets_never_panic() {
    let mut bytes = Vec::new();
    encode(&one_of_each(), &mut bytes);
    for len in 0..bytes.len() {
        let _ = decode(&bytes[..len]);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 14, 16, 0x7f, 0x80, 0x87, 0xff] {
            let mut altered = bytes.clone();
            altered[at] = value;
            let _ = decode(&altered);
        }
    }
}

#[test]
fn packed_dates_come_back() {
    for seconds in [0, -1, 1, 1_800_000_000, -(1 << 51), (1 << 52) - 1] {
        for zone_minutes in [-1023, -1, 0, 60, 1023] {
            let time = ZonedTime { seconds, zone_minutes };
            assert_eq!(ZonedTime::unpack(time.pack()), Some(time));
        }
    }
    assert_eq!(ZonedTime::unpack(0), None);
}
