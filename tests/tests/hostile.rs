//! Bad input: a clear error or BYE as the RFC says, nothing changed, no memory kept, nobody else waits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::imap::{Imap, Status};
use tests::lmtp::Lmtp;
use tests::mail;
use tests::process;
use tests::server::{Addresses, Options, Server};
use tests::stream::{Fault, Stream};

/// Memory that handlers may hold on to beyond what they had before the attack.
const KEPT_OCTETS: u64 = 8 << 20;

/// Runs an attack several times and looks at the memory of all processes before and after; then a client must still work.
#[track_caller]
fn unharmed(server: &Server, times: usize, attack: impl Fn(&Server)) {
    server.deliver("ann", &mail::small("before"));
    attack(server);
    let before = if server.is_lode() { process::pss(&server.processes()) } else { 0 };
    let handlers = if server.is_lode() { server.handlers() } else { Vec::new() };
    for _ in 0..times {
        attack(server);
    }
    std::thread::sleep(Duration::from_millis(300));
    if server.is_lode() {
        let after = process::pss(&server.processes());
        println!("PSS before {} KiB, after {} KiB", before >> 10, after >> 10);
        assert!(
            after <= before + KEPT_OCTETS,
            "memory was kept: {before} before, {after} after{}",
            server.tail()
        );
        assert_eq!(handlers, server.handlers(), "a handler died{}", server.tail());
    }
    let mut imap = server.imap("ann");
    assert_eq!(imap.ok("SELECT INBOX").exists(), Some(1), "something was changed");
}

/// The connection ends, or the command is refused; either within the usual patience.
#[track_caller]
fn refused(result: Result<tests::imap::Reply, Fault>) {
    match result {
        Ok(reply) => assert_ne!(reply.status, Status::Ok, "{}", reply.text),
        Err(Fault::Closed(_)) => {}
        Err(Fault::Wrong(what)) => assert!(what.contains("BAD") || what.contains("BYE"), "{what}"),
        Err(fault) => panic!("{fault}"),
    }
}

#[test]
fn overlong_imap_lines() {
    let server = Server::start();
    unharmed(&server, 4, |server| {
        for logged_in in [false, true] {
            let mut imap = if logged_in {
                server.imap("ann")
            } else {
                Imap::connect(server.addresses().imap).expect("a greeting")
            };
            let line = vec![b'a'; 1 << 20];
            // A server may close while we still send: then this fails, which is an answer too.
            let mut closed = imap.stream().send(b"x SELECT ").is_err();
            for _ in 0..8 {
                closed = closed || imap.stream().send(&line).is_err();
            }
            if !closed && imap.stream().send(b"\r\n").is_ok() {
                let answer = imap.response();
                match answer {
                    Ok(line) => {
                        let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
                        assert!(
                            text.contains("BAD") || text.contains("BYE") || text.contains(" NO "),
                            "{text}"
                        );
                    }
                    Err(Fault::Closed(_)) => {}
                    Err(fault) => panic!("{fault}"),
                }
            }
        }
    });
}

#[test]
fn overlong_pop3_and_lmtp_lines() {
    let server = Server::start();
    unharmed(&server, 4, |server| {
        for address in [server.addresses().pop3, server.addresses().lmtp] {
            let mut stream = Stream::connect(address).expect("a connection");
            stream.line().expect("a greeting");
            let line = vec![b'a'; 1 << 20];
            let closed = (0..4).any(|_| stream.send(&line).is_err());
            if !closed && stream.send(b"\r\n").is_ok() {
                match stream.line() {
                    Ok(line) => {
                        assert!(line.starts_with(b"-ERR") || line.starts_with(b"5") || line.starts_with(b"4"))
                    }
                    Err(Fault::Closed(_)) => {}
                    Err(fault) => panic!("{fault}"),
                }
            }
        }
    });
}

#[test]
fn huge_literals_are_refused_before_they_are_sent() {
    let server = Server::start();
    // Dovecot 2.3 asks for 4 GB and takes them.
    if server.skip_on_peer("a limit on literals") {
        return;
    }
    unharmed(&server, 20, |server| {
        for size in ["4294967295", "4294967296", "18446744073709551615", "99999999999999999999999999"] {
            let mut imap = server.imap("ann");
            refused(imap.command(&format!("APPEND INBOX {{{size}}}")));
            let mut imap = server.imap("ann");
            refused(imap.command(&format!("SELECT {{{size}}}")));
            let mut imap = Imap::connect(server.addresses().imap).expect("a greeting");
            refused(imap.command(&format!("LOGIN {{{size}}}")));
            // Wherever else octets are announced.
            for command in [
                format!("APPEND INBOX ~{{{size}}}"),
                format!("APPEND INBOX CATENATE (TEXT {{{size}}}"),
                format!("SETMETADATA INBOX (/private/comment {{{size}}}"),
                format!("SETMETADATA INBOX (/private/comment ~{{{size}}}"),
                format!("SEARCH SUBJECT {{{size}}}"),
                format!("REPLACE 1 INBOX {{{size}}}"),
            ] {
                refused(server.imap("ann").command(&command));
            }
            // With LITERAL+ the client sends at once; a hang-up in the middle keeps nothing.
            let mut imap = server.imap("ann");
            imap.begin(&format!("APPEND INBOX {{{size}+}}")).expect("sent");
            let _ = imap.stream().send(&[b'x'; 4096]);
        }
    });
}

#[test]
fn huge_chunks_are_refused_and_nothing_is_kept() {
    let server = Server::start();
    if server.skip_on_peer("a limit on chunks") {
        return;
    }
    unharmed(&server, 20, |server| {
        for size in ["4294967295", "18446744073709551615", "99999999999999999999999999"] {
            let mut lmtp = server.lmtp();
            assert_eq!(lmtp.command("MAIL FROM:<a@example.org>").expect("an answer").code, 250);
            assert_eq!(lmtp.command("RCPT TO:<ann>").expect("an answer").code, 250);
            // What is announced is read away, or the connection ends; either way it is refused once some of it came.
            lmtp.stream().send(format!("BDAT {size} LAST\r\n").as_bytes()).expect("sent");
            let _ = lmtp.stream().send(&[b'x'; 4096]);
            // And a size that MAIL announces.
            let mut lmtp = server.lmtp();
            let answer = lmtp.command(&format!("MAIL FROM:<a@example.org> SIZE={size}")).expect("an answer");
            assert!(answer.code >= 500, "{}", answer.code);
        }
    });
}

#[test]
fn what_a_session_keeps_for_its_client_has_an_end() {
    let server = Server::start();
    if server.skip_on_peer("limits of contexts and NOTIFY") {
        return;
    }
    unharmed(&server, 4, |server| {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        // Results that are kept up to date: so many, and no more; the search itself is answered.
        let refused = (0..40)
            .filter(|number| {
                let reply = imap.ok(&format!("SEARCH RETURN (UPDATE COUNT) NOT SUBJECT x{number}"));
                reply.untagged.iter().any(|line| line.windows(10).any(|at| at == b"NOUPDATE \""))
            })
            .count();
        assert!((1..40).contains(&refused), "{refused} of 40 were not kept");
        // NOTIFY of mailboxes named one by one: more than a line can have are not taken.
        let many: Vec<String> = (0..2000).map(|number| format!("box{number}")).collect();
        let _ = imap.command(&format!("NOTIFY SET (mailboxes ({}) (MessageNew))", many.join(" ")));
        // A pipeline whose replies nobody reads.
        let mut reader = server.imap("ann");
        reader.ok("SELECT INBOX");
        for _ in 0..200 {
            if reader.stream().send("x FETCH 1 BODY.PEEK[]\r\n".repeat(100).as_bytes()).is_err() {
                break;
            }
        }
    });
}

#[test]
fn nested_parentheses() {
    let server = Server::start();
    unharmed(&server, 4, |server| {
        let deep = 10_000;
        let nested = |inner: &str| format!("{}{inner}{}", "(".repeat(deep), ")".repeat(deep));
        for command in [
            format!("SEARCH {}", nested("ALL")),
            format!("SEARCH {}ALL", "NOT ".repeat(deep)),
            format!("SEARCH {}ALL ALL", "OR ALL ".repeat(deep)),
            format!("FETCH 1 {}", nested("FLAGS")),
            format!("STORE 1 FLAGS {}", nested("\\Seen")),
            format!("ID {}", nested("\"a\" \"b\"")),
            format!("FETCH {}1 FLAGS", "1,".repeat(3000)),
        ] {
            let mut imap = server.imap("ann");
            imap.ok("EXAMINE INBOX");
            match imap.command(&command) {
                Ok(_) | Err(Fault::Closed(_)) => {}
                Err(Fault::Wrong(what)) => assert!(what.contains("BAD") || what.contains("BYE"), "{what}"),
                Err(fault) => panic!("{fault} at {}", &command[..20]),
            }
        }
    });
}

#[test]
fn unknown_commands_and_noise() {
    let server = Server::start();
    unharmed(&server, 4, |server| {
        let mut random = tests::random::Random::new(3);
        let Addresses { imap, pop3, lmtp } = server.addresses();
        // Dovecot 2.3 does not notice the end of an LMTP client that sent nonsense.
        let addresses = if server.is_lode() { vec![imap, pop3, lmtp] } else { vec![imap, pop3] };
        for address in addresses {
            for _ in 0..8 {
                let mut stream = Stream::connect(address).expect("a connection");
                stream.line().expect("a greeting");
                let noise: Vec<u8> = (0..2000).map(|_| random.bits() as u8).collect();
                let _ = stream.send(&noise);
                let _ = stream.send(b"\r\n");
                let _ = stream.finish_sending();
                match stream.rest() {
                    Ok(_) => {}
                    Err(fault) => panic!("after noise and a hang-up: {fault}"),
                }
            }
        }
    });
}

#[test]
fn octets_after_the_end() {
    let server = Server::start();
    unharmed(&server, 4, |server| {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        imap.stream().send(b"q LOGOUT\r\nq2 STORE 1 +FLAGS (\\Deleted)\r\nq3 EXPUNGE\r\n").expect("sent");
        let rest = imap.stream().rest().expect("a close");
        let text = String::from_utf8_lossy(&rest).into_owned();
        assert!(text.contains("* BYE") && text.contains("q OK"), "{text}");
        assert!(!text.contains("q2 OK") && !text.contains("q3 OK"), "{text}");
        let mut pop3 = server.pop3("ann");
        pop3.stream().send(b"QUIT\r\nDELE 1\r\nQUIT\r\n").expect("sent");
        let rest = pop3.stream().rest().expect("a close");
        assert_eq!(String::from_utf8_lossy(&rest).matches("+OK").count(), 1);
    });
}

#[test]
fn half_a_command_and_a_hang_up() {
    let server = Server::start();
    unharmed(&server, 20, |server| {
        for half in [
            "x APPEND INBOX {100}\r\n",
            "x APPEND INBOX {100+}\r\nhalf of the message",
            "x STORE 1 +FLAGS (\\Dele",
            "x LOGIN ann {6}\r\n",
            "x IDLE\r\n",
        ] {
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            imap.stream().send(half.as_bytes()).expect("sent");
        }
        let mut lmtp = server.lmtp();
        let user = server.user("ann");
        assert_eq!(lmtp.command("MAIL FROM:<a@example.org>").expect("an answer").code, 250);
        assert_eq!(lmtp.command(&format!("RCPT TO:<{user}>")).expect("an answer").code, 250);
        assert_eq!(lmtp.command("DATA").expect("an answer").code, 354);
        lmtp.stream().send(b"Subject: never finished\r\n\r\nhalf").expect("sent");
    });
}

#[test]
fn a_reader_that_hangs_up_in_the_middle_of_a_reply() {
    let server = Server::start();
    let mut imap = server.imap("bob");
    imap.append_ok("INBOX", "", &mail::sized("big", 4 << 20));
    unharmed(&server, 8, |server| {
        let mut imap = server.imap("bob");
        imap.ok("SELECT INBOX");
        imap.begin("FETCH 1 BODY.PEEK[]").expect("sent");
        imap.stream().exactly(1000).expect("the beginning");
    });
}

#[test]
fn wrong_passwords_tell_nothing() {
    let server = Server::start();
    let ask = |user: &str| {
        let mut imap = Imap::connect(server.addresses().imap).expect("a greeting");
        imap.no(&format!("LOGIN {user} wrong")).text
    };
    // Whether the user exists must not show in the reply.
    let known = ask(&server.user("ann"));
    let unknown = ask("nobody-of-that-name");
    let plain = |text: &str| text.split(" (").next().unwrap_or_default().to_string();
    assert_eq!(plain(&known), plain(&unknown));
    let mut imap = server.imap("ann");
    imap.ok("NOOP");
}

#[test]
fn oversized_messages_are_refused() {
    let server = Server::with(Options::default().set("limits", "message_bytes", "1048576"));
    if server.skip_on_peer("limits.message_bytes") {
        return;
    }
    let big = mail::sized("big", 3 << 20);
    let mut imap = server.imap("ann");
    refused(imap.append("INBOX", "", &big));
    let mut lmtp: Lmtp = server.lmtp();
    let accepted = lmtp.deliver(&["ann"], &big).expect("a reply for the recipient");
    assert_eq!(accepted, [false]);
    assert_eq!(lmtp.deliver(&["ann"], &mail::small("fits")).expect("a reply"), [true]);
    assert_eq!(server.imap("ann").ok("SELECT INBOX").exists(), Some(1));
}

#[test]
fn slow_clients_do_not_slow_a_working_one() {
    let options = Options::default().handlers(12, 1000);
    let server = Server::with(options);
    let (slow_clients, pause, rounds) = if tests::full() {
        (10_000, Duration::from_secs(1), 40_000)
    } else {
        (200, Duration::from_millis(20), 400)
    };
    raise_descriptors();
    server.deliver("ann", &mail::small("m"));
    let work = |label: &str| {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        let begin = Instant::now();
        for _ in 0..rounds {
            imap.ok("FETCH 1 (FLAGS ENVELOPE BODY.PEEK[])");
        }
        let each = begin.elapsed() / rounds;
        println!("{label}: {each:?} a command");
        each
    };
    let alone = work("alone");
    // First none of them sends anything; then each sends an octet now and then while the other client works.
    let mut slow = Vec::new();
    for _ in 0..slow_clients {
        let stream = TcpStream::connect(server.addresses().imap).expect("a connection");
        stream.set_nonblocking(true).expect("nonblocking");
        slow.push(stream);
    }
    let beside_silent = work("beside silent clients");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            let line = b"x NOOP\r\n";
            for turn in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                for mut stream in &slow {
                    let _ = stream.write(&line[turn % line.len()..=turn % line.len()]);
                    let _ = stream.read(&mut [0u8; 256]);
                }
                std::thread::sleep(pause);
            }
        });
        let each = work("beside dripping clients");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        each
    });
    for (what, each) in [("silent", beside_silent), ("dripping", beside)] {
        assert!(
            each < alone * 10 + Duration::from_millis(5),
            "alone {alone:?}, beside {what} clients {each:?}"
        );
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let server = Server::start();
    let mut imap = server.imap("ann");
    for index in 0..4 {
        imap.append_ok("INBOX", "", &mail::sized(&format!("big{index}"), 2 << 20));
    }
    let stuck: Vec<Imap> = (0..16)
        .map(|_| {
            let mut imap = server.imap("ann");
            imap.ok("SELECT INBOX");
            for _ in 0..8 {
                imap.begin("FETCH 1:* BODY.PEEK[]").expect("sent");
            }
            imap
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    for _ in 0..20 {
        imap.ok("NOOP");
    }
    server.deliver("bob", &mail::small("m"));
    assert!(begin.elapsed() < Duration::from_secs(3), "others waited {:?}", begin.elapsed());
    if server.is_lode() {
        let pss = process::pss(&server.processes());
        println!("PSS with 16 stuck readers of 8 MB: {} KiB", pss >> 10);
        assert!(pss < 128 << 20, "replies are held in memory: {pss}");
    }
    drop(stuck);
}

fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
