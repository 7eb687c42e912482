//! The entry for fuzzers: any octets, read as what a client sends and as a message that is sent to it. What must hold
//! is asserted, so a fuzzer needs no more than to call it.

use super::{Decoded, Decoder, DotStuffer, Exchange, Mechanism, Response, Step, reply};

/// Decodes `bytes` whole and octet by octet, which must agree, answers every fault, runs SASL over every response,
/// and stuffs `bytes` in two ways, which must agree.
pub fn fuzz_entry(bytes: &[u8]) {
    assert_eq!(commands(bytes, bytes.len().max(1)), commands(bytes, 1));
    responses(bytes);
    let top = bytes.first().map_or(0, |octet| u64::from(octet % 8));
    for stuffer in [DotStuffer::whole(), DotStuffer::top(top)] {
        assert_eq!(stuffed(stuffer.clone(), bytes, bytes.len().max(1)), stuffed(stuffer, bytes, 1));
    }
}

fn commands(bytes: &[u8], step: usize) -> Vec<String> {
    let mut decoder = Decoder::new();
    let mut input = Vec::new();
    let mut seen = Vec::new();
    for chunk in bytes.chunks(step) {
        input.extend_from_slice(chunk);
        let mut done = 0;
        loop {
            let (consumed, decoded) = decoder.decode(&input[done..]);
            done += consumed;
            match decoded {
                Decoded::NeedMore => break,
                Decoded::Ready(command) => seen.push(format!("{command:?}")),
                Decoded::Wrong(fault) => {
                    let mut out = Vec::new();
                    reply::fault(&mut out, &fault);
                    assert!(out.ends_with(b"\r\n") && out.len() <= 512);
                    seen.push(format!("{fault:?}"));
                }
            }
        }
        input.drain(..done);
        assert!(input.len() < super::AUTH_OCTETS_MAX + 2, "no more is kept than one line");
    }
    seen
}

fn responses(bytes: &[u8]) {
    let mut decoder = Decoder::new();
    let mut unread = bytes;
    loop {
        let (consumed, decoded) = decoder.decode_response(unread);
        unread = &unread[consumed..];
        match decoded {
            Decoded::NeedMore => break,
            Decoded::Wrong(_) | Decoded::Ready(Response::Cancelled) => {}
            Decoded::Ready(Response::Octets(octets)) => {
                for mechanism in [Mechanism::Plain, Mechanism::Login] {
                    let step = Exchange::start(mechanism).map(|exchange| exchange.step(octets.clone()));
                    if let Some(Step::Done(credentials)) = step {
                        assert!(!credentials.name.is_empty());
                    }
                }
            }
        }
    }
}

fn stuffed(mut stuffer: DotStuffer, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(step) {
        stuffer.push(chunk, &mut out);
    }
    stuffer.finish(&mut out);
    assert!(out.len() <= 2 * bytes.len() + 5 && out.ends_with(b".\r\n"));
    out
}
