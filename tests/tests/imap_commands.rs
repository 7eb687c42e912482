//! IMAP command by command and extension by extension: the conversations under `wire/imap`.

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
    append: "imap/append.txt",
    authenticate: "imap/authenticate.txt",
    capability: "imap/capability.txt",
    check_close: "imap/check-close.txt",
    children: "imap/children.txt",
    copy: "imap/copy.txt",
    create_delete: "imap/create-delete.txt",
    enable: "imap/enable.txt",
    expunge: "imap/expunge.txt",
    extensions: "imap/extensions.txt",
    fetch: "imap/fetch.txt",
    id: "imap/id.txt",
    idle: "imap/idle.txt",
    list: "imap/list.txt",
    list_extended: "imap/list-extended.txt",
    list_status: "imap/list-status.txt",
    literal_plus: "imap/literal-plus.txt",
    login: "imap/login.txt",
    move_messages: "imap/move.txt",
    names: "imap/names.txt",
    namespace: "imap/namespace.txt",
    noop_logout: "imap/noop-logout.txt",
    pipeline: "imap/pipeline.txt",
    rename: "imap/rename.txt",
    search: "imap/search.txt",
    select: "imap/select.txt",
    sessions: "imap/sessions.txt",
    special_use: "imap/special-use.txt",
    starttls: "imap/starttls.txt",
    status: "imap/status.txt",
    store: "imap/store.txt",
    subscribe: "imap/subscribe.txt",
    syntax: "imap/syntax.txt",
    uid: "imap/uid.txt",
    uidplus: "imap/uidplus.txt",
    unselect: "imap/unselect.txt",
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
