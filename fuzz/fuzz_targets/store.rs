//! What the store decodes from its files.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| store::fuzz::fuzz_entry(octets));
