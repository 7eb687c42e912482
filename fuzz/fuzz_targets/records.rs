//! Records between router, handlers and tools.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| tests::fuzz::records(octets));
