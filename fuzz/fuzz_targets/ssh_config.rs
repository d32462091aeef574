//! No text of a configuration file makes our own reader panic, hang or open another file.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::ssh_config(text));
