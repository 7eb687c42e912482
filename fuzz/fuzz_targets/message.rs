//! Messages, and the records that the store keeps of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| message::fuzz::fuzz_entry(octets));
