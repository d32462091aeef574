//! shipit deploys services over SSH.
//!
//! Data flows one way, and so do the dependencies of the modules:
//!
//! ```text
//! manifest -> facts -> plan -> rollout -> report
//! ```
//!
//! | module | responsible for | may use |
//! | --- | --- | --- |
//! | [`manifest`] | `deploy.yaml` and the files it names: reading them, and what is wrong with them | |
//! | [`release`] | the artifacts of one release, their hashes, its id and its record | manifest |
//! | [`plan`] | facts of a host in, steps out; pure | manifest, release |
//! | [`ssh`] | a verified, authenticated connection; the only user of russh | |
//! | [`host`] | what a remote machine is: programs run on it, uploads, activation | ssh, plan, release |
//! | [`report`] | the typed events of a run, and those who show them | plan |
//! | [`rollout`] | takes the hosts of an environment through their plans | plan, host, report's events |
//! | [`cli`] | arguments in, exit code out; the only place that prints | all of them |
//!
//! `ARCHITECTURE.md` has the reasons.
pub mod cli;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod host;
pub mod manifest;
pub mod plan;
pub mod release;
pub mod report;
pub mod rollout;
pub mod ssh;
