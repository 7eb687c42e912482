//! SORT and THREAD of real mail, held against a second reading of the RFCs: `python/sort.py`.
//!
//! Normally a third of all fixtures and the first thousand messages of some archives; with `LODE_FULL=1` every message of every archive.

use std::time::Duration;
use tests::corpus;
use tests::server::{PASSWORD, Server};
use tests::tool;

/// Archives larger than this are for the full run.
const QUICK_OCTETS: u64 = 2 << 20;

#[test]
fn orders_and_threads_agree_with_a_second_reading() {
    let Some(folder) = corpus::folder() else { return };
    let unpacked = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let files = corpus::lists_to_run(&folder, unpacked.path(), QUICK_OCTETS);
    assert!(files.len() > 10, "the corpus is not whole");
    let Some(mut compare) = tool::python("sort.py") else { return };
    let port = server.addresses().imap.port().to_string();
    compare.args(["127.0.0.1", &port, &server.user("ann"), PASSWORD]).arg(&folder).args(&files);
    if !tests::full() {
        compare.arg("--sample");
    }
    let said = tool::run(&mut compare, b"", Duration::from_secs(3600));
    println!("{}", said.text());
    assert!(said.success, "{}", said.err);
}
