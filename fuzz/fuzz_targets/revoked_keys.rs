//! No list of revoked keys, and no KRL, makes its reader panic, hang or ask for much memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::revoked_keys(text));
