//! The entry for fuzzers: any octets, read as commands, as a message and as chunks. What must hold is asserted, so a fuzzer needs
//! no more than to call it.

use super::trace::return_path;
use super::{COMMAND_OCTETS_MAX, ChunkDecoder, Command, DataDecoder, Decoded, Decoder, Reply};

/// Decodes `bytes` whole and octet by octet, as commands and as a message; both must agree. Every fault is answered,
/// every address written and read again.
pub fn fuzz_entry(bytes: &[u8]) {
    assert_eq!(commands(bytes, bytes.len().max(1)), commands(bytes, 1));
    assert_eq!(message(bytes, bytes.len().max(1)), message(bytes, 1));
    chunk(bytes);
}

/// A chunk gives back what it was given, up to its end.
fn chunk(bytes: &[u8]) {
    let (size, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    let mut chunk = ChunkDecoder::new(size as u64);
    let mut out = Vec::new();
    for piece in rest.chunks(3) {
        out.extend_from_slice(chunk.next(piece));
    }
    assert_eq!(out, &rest[..size.min(rest.len())]);
    assert_eq!(chunk.is_ended(), rest.len() >= size);
}

fn commands(bytes: &[u8], step: usize) -> Vec<Decoded> {
    let mut decoder = Decoder::new();
    let mut input = Vec::new();
    let mut seen = Vec::new();
    for chunk in bytes.chunks(step) {
        input.extend_from_slice(chunk);
        let mut done = 0;
        loop {
            let (consumed, decoded) = decoder.decode(&input[done..]);
            done += consumed;
            match &decoded {
                Decoded::NeedMore => break,
                Decoded::Ready(command) => check_addresses(command),
                Decoded::Wrong(fault) => {
                    let mut out = Vec::new();
                    Reply::from(*fault).write(&mut out);
                    assert!(out.starts_with(b"5") && out.ends_with(b"\r\n") && out.len() <= 512);
                }
            }
            seen.push(decoded);
        }
        input.drain(..done);
        assert!(input.len() < COMMAND_OCTETS_MAX + 2, "no more is kept than one line");
    }
    seen
}

fn check_addresses(command: &Command) {
    let address = match command {
        Command::Mail(mail) => mail.sender.as_ref(),
        Command::Rcpt { recipient } => Some(recipient),
        _ => None,
    };
    if let Some(address) = address {
        let written = format!("<{address}>");
        assert_eq!(super::address::path(&written), Ok((Some(address.clone()), "")));
        let mut out = Vec::new();
        return_path(&mut out, Some(address));
        assert_eq!(out.iter().filter(|octet| **octet == b'\n').count(), 1);
    }
}

fn message(bytes: &[u8], step: usize) -> (Vec<u8>, usize, bool) {
    let mut decoder = DataDecoder::new();
    let mut out = Vec::new();
    let mut taken = 0;
    for chunk in bytes.chunks(step) {
        taken += decoder.append(chunk, &mut out);
        if decoder.is_ended() {
            break;
        }
    }
    assert!(out.len() <= taken);
    (out, taken, decoder.is_ended())
}
