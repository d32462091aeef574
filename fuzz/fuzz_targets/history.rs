//! No line of a host's history or journal makes its reader panic or hang.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::history(text));
