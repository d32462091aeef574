//! Promises that only hold, or break, on a real host. `make test` boots one; see `tests/hosts/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "../hosts/mod.rs"]
mod hosts;

mod confirm;
mod credentials;
mod disk;
mod env_file_parity;
mod example_web;
mod examples;
mod failing_units;
mod first_deploy;
mod fixture;
mod folders;
mod freeze;
mod hanging_units;
mod harness;
mod health;
mod history;
mod hooks;
mod host_faults;
mod host_keys;
mod hostile_values;
mod installed_files;
mod interrupt;
mod lingering_and_sudo;
mod lock;
mod logs_status;
mod manifest_secrets;
mod network;
mod odd_accounts;
mod odd_rights;
mod odd_servers;
mod outside_files;
mod plan_matches;
mod prepare;
mod prune;
mod remove;
mod repair;
mod rollback;
mod running;
mod second_factor;
mod secrets;
mod several_hosts;
mod several_units;
mod ssh_config;
mod system_scope;
mod transaction;
mod trial;
mod units_drop_ins;
mod units_instances;
mod units_kinds;
mod units_leave;
mod units_order;
mod wrong_binary;
mod zero_downtime;
