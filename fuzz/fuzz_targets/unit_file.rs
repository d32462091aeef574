//! No unit file makes its reader panic or hang, and all that is wrong with it can be shown.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::unit_file(text));
