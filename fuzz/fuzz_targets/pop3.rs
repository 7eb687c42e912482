//! What POP3 clients send, and messages to them.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| protocol::pop3::fuzz::fuzz_entry(octets));
