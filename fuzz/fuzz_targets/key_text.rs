//! No text makes the reader of private keys panic or hang, or shows in what it says.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::key_text(text));
