//! No answer of a host makes its reader panic or hang, or the plan that is made from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| shipit::fuzzing::probe(text));
