//! Damage behind a running server: no client gets what was not stored, `lode check` says where it is, `lode export` goes on behind it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::mail;
use tests::server::Server;
use tests::tool;

/// The bucket below `folder` that holds `needle`, and where.
fn find(folder: &Path, needle: &[u8]) -> Option<(PathBuf, u64)> {
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, needle) {
                return Some(found);
            }
        } else if path.file_name()?.to_string_lossy().starts_with("bucket.") {
            let octets = std::fs::read(&path).ok()?;
            if let Some(at) = octets.windows(needle.len()).position(|window| window == needle) {
                return Some((path, at as u64));
            }
        }
    }
    None
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("a bucket");
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).expect("readable");
    file.write_all_at(&[octet[0] ^ 1], at).expect("writable");
}

#[test]
fn what_is_damaged_is_refused_and_named_and_the_rest_goes_on() {
    let server = Server::start();
    if server.skip_on_peer("lode check") {
        return;
    }
    let mut imap = server.imap("ann");
    for (id, octets) in [("one", 2_000), ("two", 90_000), ("three", 2_000)] {
        imap.append_ok("INBOX", "", &mail::sized(id, octets));
    }
    imap.ok("SELECT INBOX");
    let whole = imap.ok("UID FETCH 1:* BODY.PEEK[]").fetches().len();
    assert_eq!(whole, 3);
    let sound = tool::run(&mut server.lode_command(&["check"]), b"", Duration::from_secs(60));
    assert!(sound.success && sound.text().contains("all is well"), "{} {}", sound.text(), sound.err);
    let second = mail::sized("two", 90_000);
    let (bucket, at) = find(server.folder(), &second[..200]).expect("the message is in a bucket");
    flip(&bucket, at + 50_000);
    // The message is refused, its undamaged parts and the others are not.
    imap.no("UID FETCH 2 BODY.PEEK[]");
    imap.no("UID FETCH 2 BODY.PEEK[]<49000.4000>");
    assert_eq!(imap.ok("UID FETCH 2 (FLAGS BODY.PEEK[HEADER])").fetches().len(), 1);
    assert_eq!(imap.ok("UID FETCH 1,3 BODY.PEEK[]").fetches().len(), 2);
    let said = tool::run(&mut server.lode_command(&["check"]), b"", Duration::from_secs(60));
    let bucket_name = bucket.display().to_string();
    assert!(!said.success);
    for part in [bucket_name.as_str(), "user ann, mailbox INBOX, UID 2", "offset"] {
        assert!(said.text().contains(part), "{part:?} is not in {}", said.text());
    }
    let json =
        tool::run(&mut server.lode_command(&["check", "--json", "--repair"]), b"", Duration::from_secs(60));
    assert!(!json.success && json.text().contains("\"sound\": false"), "{}", json.text());
    let quick = tool::run(&mut server.lode_command(&["check", "--quick"]), b"", Duration::from_secs(60));
    assert!(quick.success, "{}", quick.text());
    // An export has all but that message, says so, and fails.
    let target = server.folder().join("export.mbox");
    let path = target.display().to_string();
    let arguments = ["export", "--user", "ann", "--mailbox", "INBOX", "-o", &path];
    let said = tool::run(&mut server.lode_command(&arguments), b"", Duration::from_secs(60));
    assert!(!said.success);
    assert!(said.err.contains("message 2 of INBOX") && said.err.contains(&bucket_name), "{}", said.err);
    let exported = std::fs::read(&target).expect("written");
    let text = String::from_utf8_lossy(&exported);
    assert_eq!(
        text.matches("\nMessage-ID:").count() + text.matches("\nMessage-Id:").count(),
        2,
        "{}",
        said.err
    );
    flip(&bucket, at + 50_000);
    assert_eq!(imap.ok("UID FETCH 1:* BODY.PEEK[]").fetches().len(), 3);
}
