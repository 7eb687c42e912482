//! SEARCH over real mail gives the same answers as a second, independent reading: `python/search.py`, slow and plain.
//!
//! Normally the single messages and the small archives with some searches each; with `LODE_FULL=1` every archive and many searches.

use std::path::Path;
use std::time::Duration;

use tests::server::{PASSWORD, Server};
use tests::{corpus, tool};

/// Archives larger than this are for the full run.
const QUICK_OCTETS: u64 = 1 << 20;

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('.', "-")
}

#[test]
fn search_agrees_with_a_second_reading() {
    let Some(folder) = corpus::folder() else { return };
    let unpacked = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    if server.skip_on_peer("lode import") {
        return;
    }
    let Some(mut compare) = tool::python("search.py") else { return };
    let port = server.addresses().imap.port().to_string();
    compare.args(["127.0.0.1", &port, &server.user("ann"), PASSWORD]);
    if tests::full() {
        compare.arg("--full");
    }
    compare.arg(&folder);
    for file in corpus::lists_to_run(&folder, unpacked.path(), QUICK_OCTETS) {
        server.lode(&["import", "--user", "ann", "--mailbox", &name(&file), &file.display().to_string()]);
        compare.arg(name(&file));
    }
    let said = tool::run(&mut compare, b"", Duration::from_secs(3600));
    println!("{}", said.text());
    assert!(said.success, "{}", said.err);
}
