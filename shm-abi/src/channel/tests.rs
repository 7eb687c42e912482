//! Tests of the channel: records, descriptors, and what happens when there is no room for either.

use super::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::io::{Read, Seek, Write};

type Text = String;

#[test]
fn a_record_and_its_descriptors_arrive_together() {
    let (here, mut there) = Channel::pair().unwrap();
    let mut file = tempfile();
    file.write_all(b"through").unwrap();
    here.send(&"with two".to_string(), &[file.as_fd(), file.as_fd()]).unwrap();
    here.send(&"with none".to_string(), &[]).unwrap();
    let first = there.receive::<Text>().unwrap();
    assert_eq!((first.record.as_str(), first.descriptors.len()), ("with two", 2));
    let mut passed = File::from(first.descriptors.into_iter().next().unwrap());
    passed.rewind().unwrap();
    let mut read = String::new();
    passed.read_to_string(&mut read).unwrap();
    assert_eq!(read, "through");
    use nix::fcntl::{FcntlArg, fcntl};
    assert_eq!(fcntl(&passed, FcntlArg::F_GETFD).unwrap() & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    let second = there.receive::<Text>().unwrap();
    assert_eq!((second.record.as_str(), second.descriptors.len()), ("with none", 0));
}

#[test]
fn the_largest_record_fits_and_one_more_octet_is_refused() {
    let (here, mut there) = Channel::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let largest = "x".repeat(MAX_RECORD_OCTETS - 16);
    here.send(&largest, &[]).unwrap();
    assert_eq!(there.receive::<Text>().unwrap().record, largest);
    let error = here.send(&"x".repeat(MAX_RECORD_OCTETS + 1), &[]).unwrap_err();
    assert!(matches!(error, SendError::Wire(WireError::TooLarge)), "{error}");
}

#[test]
fn what_was_said_before_the_end_is_heard_also_when_the_other_had_not_read_everything() {
    let (here, mut there) = Channel::pair().unwrap();
    there.send(&"never read", &[]).unwrap();
    for word in ["last", "words"] {
        here.send(&word, &[]).unwrap();
    }
    drop(here);
    assert_eq!(there.receive::<Text>().unwrap().record, "last");
    assert_eq!(there.receive::<Text>().unwrap().record, "words");
    for _ in 0..2 {
        assert!(matches!(there.receive::<Text>(), Err(ReceiveError::Closed)));
    }
}

#[test]
fn nothing_there_full_and_gone_are_told_apart() {
    let (here, mut there) = Channel::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    here.set_nonblocking(true).unwrap();
    assert!(matches!(there.receive::<Text>(), Err(ReceiveError::WouldBlock)));
    let mut sent = 0;
    let error = loop {
        match here.send(&"x".repeat(1000), &[]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::WouldBlock) && sent > 0, "{error} after {sent}");
    drop(here);
    for _ in 0..sent {
        there.receive::<Text>().unwrap();
    }
    assert!(matches!(there.receive::<Text>(), Err(ReceiveError::Closed)));
    assert!(matches!(there.send(&"x", &[]), Err(SendError::Closed)));
}

#[test]
fn what_is_no_record_is_refused_and_its_descriptor_closed() {
    let (here, mut there) = Channel::pair().unwrap();
    here.send(&u64::MAX, &[here.as_fd()]).unwrap();
    assert!(matches!(there.receive::<Text>(), Err(ReceiveError::Wire(_))));
}

/// Runs itself again with few descriptors: the limit is the whole process's.
#[test]
fn a_receiver_without_descriptors_still_gets_the_record() {
    const INNER: &str = "LODE_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INNER).is_none() {
        let done = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "channel::tests::a_receiver_without_descriptors_still_gets_the_record"])
            .env(INNER, "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        return;
    }
    let (here, mut there) = Channel::pair().unwrap();
    here.send(&"lost".to_string(), &[here.as_fd(), here.as_fd()]).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let next = tempfile().as_raw_fd() as u64;
    setrlimit(Resource::RLIMIT_NOFILE, next + 1, hard).unwrap();
    match there.receive::<Text>() {
        Err(ReceiveError::DescriptorsLost(record)) => assert_eq!(record, "lost"),
        other => panic!("{other:?}"),
    }
    // The one that did fit was closed again.
    here.send(&"one".to_string(), &[here.as_fd()]).unwrap();
    assert_eq!(there.receive::<Text>().unwrap().descriptors.len(), 1);
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!(
        "lode-channel-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
