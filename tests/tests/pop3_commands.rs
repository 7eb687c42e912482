//! POP3 command by command: the conversations under `wire/pop3`.

use tests::server::Server;
use tests::wire::{Outcome, run, stage};

macro_rules! scripts {
    ($($name:ident: $path:literal,)*) => {
        $(#[test]
        fn $name() {
            play($path);
        })*
    };
}

scripts! {
    auth: "pop3/auth.txt",
    capa: "pop3/capa.txt",
    pipelining: "pop3/pipelining.txt",
    session: "pop3/session.txt",
}

#[track_caller]
fn play(script: &str) {
    let server = Server::start();
    match run(script, &stage(&server, "ann")) {
        Ok(Outcome::Passed) => {}
        Ok(Outcome::Differs(reason)) => println!("this server differs: {reason}"),
        Err(what) => panic!("{what}{}", server.tail()),
    }
}
