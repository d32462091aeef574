//! No manifest makes its reader panic, hang or ask for much memory, and all that is wrong with it can be shown.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::manifest(text));
