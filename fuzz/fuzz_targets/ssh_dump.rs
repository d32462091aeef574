//! Nothing that an ssh may print makes the reader of `ssh -G` panic or hang.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::ssh_dump(text));
