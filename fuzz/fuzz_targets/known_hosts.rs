//! No file of known hosts makes its reader panic, hang, or pass over a revocation.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::known_hosts(text));
