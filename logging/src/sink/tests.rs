//! Ways out that are full, closed, or of another kind.

use super::*;
use crate::levels::Level;
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;

fn line(number: usize) -> Line {
    let mut line = Line::new(Level::Info, "test", "filling", 0);
    line.add("number", &number);
    line.add("text", &"x".repeat(500));
    line
}

fn sink(way: Way) -> Sink {
    Sink { program: "test", shape: Shape::Text, way, is_torn: AtomicBool::new(false) }
}

#[test]
fn a_full_pipe_drops_lines_and_makes_nobody_wait() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let sink = sink(Way::of(writer.as_fd()));
    assert!(matches!(sink.way, Way::Reopened(_)));
    let taken = (0..1000).filter(|number| sink.write(&line(*number))).count();
    assert!((10..1000).contains(&taken), "{taken}");
    // The description that others share still waits.
    let flags = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert!(!OFlag::from_bits_truncate(flags).contains(OFlag::O_NONBLOCK));
    let mut octets = vec![0; 1 << 20];
    let mut reader = File::from(reader);
    let count = reader.read(&mut octets).unwrap();
    let text = String::from_utf8_lossy(&octets[..count]);
    assert!(text.lines().all(|line| line.starts_with("info filling number=")), "whole lines only");
    assert!(sink.write(&line(0)), "there is room again");
}

#[test]
fn a_closed_pipe_kills_nobody() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let sink = sink(Way::of(writer.as_fd()));
    drop(reader);
    assert!(!sink.write(&line(0)));
}

#[test]
fn a_full_journal_drops_entries() {
    let folder = tempfile::tempdir().unwrap();
    let journal = UnixDatagram::bind(folder.path().join("journal")).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(folder.path().join("journal")).unwrap();
    let sink = Sink { shape: Shape::Entry, ..sink(Way::Journal(socket)) };
    let taken = (0..10_000).filter(|number| sink.write(&line(*number))).count();
    assert!((1..10_000).contains(&taken), "{taken}");
    let mut entry = [0; 8192];
    let count = journal.recv(&mut entry).unwrap();
    assert!(String::from_utf8_lossy(&entry[..count]).contains("LODE_NUMBER=0\n"));
    assert!(sink.write(&line(1)));
}

#[test]
fn what_standard_error_is_decides_the_way() {
    let file = tempfile::tempfile().unwrap();
    assert!(matches!(Way::of(file.as_fd()), Way::Plain));
    let (socket, _other) = UnixStream::pair().unwrap();
    assert!(matches!(Way::of(socket.as_fd()), Way::Socket));
    assert!(!is_stderr("0:0") && !is_stderr("") && !is_stderr("x"));
}
