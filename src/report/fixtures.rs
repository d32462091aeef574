//! Plans and events for the tests of the reporters.
