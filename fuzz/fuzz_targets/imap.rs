//! What IMAP clients send.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| protocol::imap::fuzz::fuzz_entry(octets));
