//! No text is taken for a key that it is not.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::host_key(text));
