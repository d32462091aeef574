//! No text of an env file makes its reader panic or hang, or shows a value.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::env_file(text));
