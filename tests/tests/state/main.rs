//! Many sessions with what they have enabled, of the owner and of a guest, on two mailboxes, each with a model of what the server told it.
//!
//! A model is made of untagged replies alone, which are read strictly: what a session must not be sent, or must not be sent now, fails. At
//! checkpoints every model must be what a new session fetches. Sessions lose their connection at any time and go on from what they
//! kept (RFC 7162): what they are told then must bring the old model up to date.
//!
//! One thread decides everything, from one seed. It often sends the commands of several sessions before it reads the reply of any, so
//! that they race in the server; what these races come to is not in the seed. `LODE_STATE_MINUTES` makes a long run.

mod client;
mod hear;
mod kind;
mod model;
mod reply;
mod steps;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::mail;
use tests::random::{Random, seed};
use tests::server::{Options, Server};

use self::client::Client;
use self::kind::Kind;
use self::model::Flags;

/// The mailboxes that all sessions use.
const MAILBOXES: [&str; 2] = ["Box", "Other"];
/// Rounds between two checkpoints.
const ROUNDS: usize = 40;

/// What the mailboxes have been, as far as anybody was told.
#[derive(Default)]
pub(crate) struct World {
    /// UIDs that a session was told are gone, for each mailbox.
    pub(crate) gone: [BTreeSet<u32>; 2],
}

/// A message as a new session sees it.
type Seen = (u32, Flags, u64);

/// What is in a mailbox: UIDVALIDITY, HIGHESTMODSEQ and the messages.
fn truth(server: &Server, kind: Kind, mailbox: usize) -> (u32, u64, Vec<Seen>) {
    let mut imap = server.imap(kind.user());
    let reply = imap.ok(&format!("EXAMINE {} (CONDSTORE)", kind.mailbox(mailbox)));
    let validity = reply.code_number("UIDVALIDITY", 0).expect("UIDVALIDITY");
    let highest = reply.code("HIGHESTMODSEQ").expect("HIGHESTMODSEQ")[0].parse().expect("a number");
    if reply.exists() == Some(0) {
        return (validity, highest, Vec::new());
    }
    let fetched = imap.ok("FETCH 1:* (UID FLAGS MODSEQ)").fetches();
    let seen = fetched.iter().map(|fetch| {
        let modseq = fetch.item("MODSEQ").and_then(|value| value.items().first()?.number()).expect("MODSEQ");
        (fetch.uid().expect("UID"), model::flags(fetch.item("FLAGS").expect("FLAGS")), modseq)
    });
    (validity, highest, seen.collect())
}

/// All models are what is there.
fn check(server: &Server, clients: &mut [Client], world: &mut World) {
    // The owner's kind and a guest's, if there are guests.
    let mut kinds: Vec<Kind> = Vec::new();
    for client in clients.iter() {
        if kinds.iter().all(|kind| kind.guest != client.kind.guest) {
            kinds.push(client.kind);
        }
    }
    let all = || -> Vec<_> {
        let each = kinds.iter().flat_map(|kind| (0..MAILBOXES.len()).map(move |number| (*kind, number)));
        each.map(|(kind, number)| (kind.guest, number, truth(server, kind, number))).collect()
    };
    let mut before = all();
    // A command of a connection that was cut may still be going on.
    let mut tries = 0;
    let truths = loop {
        for client in clients.iter_mut() {
            client.settle(world);
        }
        let now = all();
        if now == before {
            break now;
        }
        tries += 1;
        assert!(tries < 100, "the mailboxes change while nobody changes them");
        before = now;
    };
    for (guest, number, (_, highest, seen)) in truths {
        for (uid, ..) in &seen {
            let mailbox = MAILBOXES[number];
            assert!(
                !world.gone[number].contains(uid),
                "{mailbox}: UID {uid} was told to be gone, and is there"
            );
        }
        for client in clients.iter_mut().filter(|client| client.has_selected(number)) {
            if client.kind.guest == guest {
                client.compare(&seen, highest);
            }
        }
    }
}

#[test]
fn what_sessions_were_told_is_what_is_there() {
    let seed = seed();
    let minutes = std::env::var("LODE_STATE_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    let time = minutes.map_or(Duration::from_secs(10), |minutes| Duration::from_secs_f64(minutes * 60.0));
    // Tombstones are given back at once, so that sessions that come back do not find all of them.
    let server = Server::with(Options::default().handlers(3, 8).set("store", "history_days", "0"));
    if server.skip_on_peer("all of the extensions") {
        return;
    }
    let kinds = Kind::offered(&server);
    let mut setup = server.imap("ann");
    for mailbox in MAILBOXES {
        setup.ok(&format!("CREATE {mailbox}"));
        for count in 0..10 {
            setup.append_ok(mailbox, "", &mail::small(&format!("{mailbox}-{count}")));
        }
    }
    if kinds.iter().any(|kind| kind.guest) {
        for mailbox in MAILBOXES {
            setup.ok(&format!("SETACL {mailbox} bob lrswipkxte"));
        }
    }
    drop(setup);
    let mut random = Random::new(seed);
    let mut world = World::default();
    let mut clients: Vec<Client> =
        kinds.iter().enumerate().map(|(number, kind)| Client::new(&server, number, *kind)).collect();
    let end = Instant::now() + time;
    let (mut commands, mut checkpoints) = (0, 0);
    while Instant::now() < end {
        for _ in 0..ROUNDS {
            // Half of the time one session alone, else several at once.
            let others = if random.below(2) == 0 { 1 } else { 2 + random.below(clients.len() - 1) };
            let mut chosen = BTreeSet::new();
            for _ in 0..others {
                chosen.insert(random.below(clients.len()));
            }
            for number in &chosen {
                clients[*number].begin_step(&server, &mut random);
            }
            for number in &chosen {
                clients[*number].end_step(&server, &mut world, &mut random);
            }
            commands += chosen.len();
        }
        check(&server, &mut clients, &mut world);
        checkpoints += 1;
        if random.below(4) == 0 {
            steps::collect(&server, &mut clients, &mut world, &mut random);
        }
    }
    check(&server, &mut clients, &mut world);
    let gone: usize = world.gone.iter().map(BTreeSet::len).sum();
    println!(
        "{commands} commands of {} sessions, {checkpoints} checkpoints, {gone} messages gone",
        clients.len()
    );
    assert!(checkpoints > 0 && gone > 0);
}
