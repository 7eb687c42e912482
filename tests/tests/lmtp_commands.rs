//! LMTP command by command: the conversations under `wire/lmtp`.

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
    deliver: "lmtp/deliver.txt",
    order: "lmtp/order.txt",
    pipelining: "lmtp/pipelining.txt",
    smtputf8: "lmtp/smtputf8.txt",
    unknown_user: "lmtp/unknown-user.txt",
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
