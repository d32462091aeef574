//! What systemd's own exit codes and the usual signals mean, and what usually causes each.
//!
//! The codes from 200 on are systemd's, for what goes wrong between fork and exec (systemd.exec(5), "Process Exit
//! Codes"); those below 8 are LSB's, which services only mean by chance, so they are not in the table.

/// What an end of a process means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// systemd's name of the code, or the signal's.
    pub name: &'static str,
    /// What it usually comes from, and what to look at.
    pub cause: &'static str,
}

/// The meaning of systemd's `ExecMainCode` (1 exited, 2 killed, 3 dumped: siginfo's `CLD_*`) and `ExecMainStatus`.
#[must_use]
pub fn meaning(code: &str, status: &str) -> Option<Meaning> {
    let status: u32 = status.parse().ok()?;
    match code {
        "1" => find(EXITS, status),
        "2" | "3" => find(SIGNALS, status),
        _ => None,
    }
}

fn find(table: &[(u32, &'static str, &'static str)], status: u32) -> Option<Meaning> {
    table.iter().find(|row| row.0 == status).map(|&(_, name, cause)| Meaning { name, cause })
}

const EXITS: &[(u32, &str, &str)] = &[
    (126, "126", "a shell found the program but could not run it: not executable, or for another machine"),
    (127, "127", "a shell did not find the program, or a shared library is missing: try `ldd` on the binary"),
    (200, "CHDIR", "WorkingDirectory= does not exist on the host, or the user may not enter it"),
    (201, "NICE", "Nice= could not be set"),
    (202, "FDS", "file descriptors could not be handed over: a socket that is not there?"),
    (
        203,
        "EXEC",
        "the program could not be started: ExecStart= points to nothing, it is not executable, its #! interpreter is \
         missing, it is for another machine, or its file system is mounted noexec",
    ),
    (204, "MEMORY", "out of memory before the program began"),
    (205, "LIMITS", "a Limit...= setting is above what the user may have"),
    (206, "OOM_ADJUST", "OOMScoreAdjust= could not be set: a user service may not lower it"),
    (207, "SIGNAL_MASK", "the signal mask could not be set"),
    (208, "STDIN", "StandardInput= could not be opened"),
    (209, "STDOUT", "StandardOutput= could not be opened: does the folder of the file exist?"),
    (210, "CHROOT", "RootDirectory= does not exist, or may not be used by a user service"),
    (211, "IOPRIO", "IOSchedulingClass= or IOSchedulingPriority= could not be set"),
    (212, "TIMERSLACK", "TimerSlackNSec= could not be set"),
    (213, "SECUREBITS", "SecureBits= could not be set"),
    (214, "SETSCHEDULER", "CPUSchedulingPolicy= could not be set: it takes privileges a user service lacks"),
    (215, "CPUAFFINITY", "CPUAffinity= names a processor that the host does not have"),
    (
        216,
        "GROUP",
        "Group= or a supplementary group does not exist, or this is a user service, which can't change it",
    ),
    (217, "USER", "User= does not exist on the host, or this is a user service, which can't change it"),
    (218, "CAPABILITIES", "capabilities could not be set: a user service has none to give"),
    (219, "CGROUP", "the service's cgroup could not be made"),
    (220, "SETSID", "a session could not be made"),
    (221, "CONFIRM", "the start was refused on the console"),
    (222, "STDERR", "StandardError= could not be opened: does the folder of the file exist?"),
    (224, "PAM", "PAMName= refused the session: see the system's auth log"),
    (225, "NETWORK", "PrivateNetwork= could not be set up"),
    (
        226,
        "NAMESPACE",
        "the sandbox could not be set up: a path in ReadWritePaths=, ReadOnlyPaths= or BindPaths= is missing, or user \
         namespaces are off on the host",
    ),
    (227, "NO_NEW_PRIVILEGES", "NoNewPrivileges= could not be set"),
    (
        228,
        "SECCOMP",
        "a system call filter could not be set: SystemCallFilter= names a call the kernel does not know",
    ),
    (229, "SELINUX_CONTEXT", "SELinuxContext= could not be set"),
    (230, "PERSONALITY", "Personality= could not be set"),
    (231, "APPARMOR_PROFILE", "the profile of AppArmorProfile= is not loaded"),
    (232, "ADDRESS_FAMILIES", "RestrictAddressFamilies= could not be set"),
    (233, "RUNTIME_DIRECTORY", "RuntimeDirectory= could not be made"),
    (235, "CHOWN", "a socket's owner could not be set"),
    (236, "SMACK_PROCESS_LABEL", "SmackProcessLabel= could not be set"),
    (237, "KEYRING", "the kernel keyring could not be set up"),
    (
        238,
        "STATE_DIRECTORY",
        "StateDirectory= could not be made: in the home directory of a user service, is it full?",
    ),
    (239, "CACHE_DIRECTORY", "CacheDirectory= could not be made"),
    (240, "LOGS_DIRECTORY", "LogsDirectory= could not be made"),
    (241, "CONFIGURATION_DIRECTORY", "ConfigurationDirectory= could not be made"),
    (242, "NUMA_POLICY", "NUMAPolicy= could not be set"),
    (243, "CREDENTIALS", "LoadCredential= or SetCredential= failed: does the file exist on the host?"),
    (245, "BPF", "a BPF restriction could not be set"),
];

const SIGNALS: &[(u32, &str, &str)] = &[
    (
        4,
        "ILL",
        "an instruction that this processor does not have: built for a newer one (-C target-cpu=native)?",
    ),
    (
        6,
        "ABRT",
        "the program gave up: a panic, an assertion or an uncaught exception; or the watchdog (WatchdogSec=)",
    ),
    (7, "BUS", "a memory-mapped file was cut short, or the disk is full"),
    (9, "KILL", "killed from outside: out of memory (see `journalctl -k`), or it did not stop in time"),
    (11, "SEGV", "the program used memory that is not its own"),
    (13, "PIPE", "it wrote to a pipe or a socket that nobody reads any more"),
    (15, "TERM", "it was told to stop"),
    (31, "SYS", "it made a system call that SystemCallFilter= forbids"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_signals_do_not_mix() {
        assert_eq!(meaning("1", "203").unwrap().name, "EXEC");
        assert_eq!(meaning("2", "9").unwrap().name, "KILL");
        assert_eq!(meaning("2", "203"), None);
        assert_eq!(meaning("1", "3"), None, "a service's own code means what the service says");
    }
}
