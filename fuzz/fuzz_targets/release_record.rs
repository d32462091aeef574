//! No release.json makes its reader panic or hang; one that it takes reads the same once written.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::release_record(text));
