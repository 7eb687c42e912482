//! What mail servers send: commands and messages.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| protocol::lmtp::fuzz::fuzz_entry(octets));
