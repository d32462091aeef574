//! SSH servers that are not as usual, for one user of a test host.
use std::net::TcpStream;
use std::time::Duration;

use super::{TestUser, skip, wait_for};

/// A server beside the host's own, on a port of its own, with the host's keys.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// sshd with these lines before those that are as usual: the first value of a keyword holds (sshd_config(5)).
    Sshd(&'a str),
    /// The same, and what its sessions see of the machine is bent by these properties (systemd.exec(5)).
    SshdIn(&'a str, &'a [&'a str]),
    /// dropbear, as Debian has it.
    Dropbear,
}

impl TestUser {
    /// From now on the user logs in at this server, which ends with the user. `false`, and a line that the test was
    /// skipped, where the host is the developer's own machine.
    pub fn behind(&mut self, server: Server<'_>) -> bool {
        if self.machine.is_none() {
            skip("the sshd of SHIPIT_TEST_HOST is not the test's to change");
            return false;
        }
        let port = self.unique_port();
        let unit = format!("test-sshd-{port}");
        let (config, properties, command) = match server {
            Server::Sshd(config) => (config, &[][..], "/usr/sbin/sshd -D -e -f $folder/config"),
            Server::SshdIn(config, properties) => {
                (config, properties, "/usr/sbin/sshd -D -e -f $folder/config")
            }
            Server::Dropbear => ("", &[][..], "/usr/sbin/dropbear -F -E -m -r $folder/key -p $port"),
        };
        let subsystem = match config.contains("Subsystem") {
            true => "",
            false => "Subsystem sftp /usr/lib/openssh/sftp-server",
        };
        let properties: String =
            properties.iter().map(|property| format!(" --property='{property}'")).collect();
        self.run_as_root(&format!(
            "set -eu
             port={port} folder=/run/{unit}
             mkdir -p $folder
             cat >$folder/config <<'CONFIG'
{config}
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
UseDNS no
PrintMotd no
{subsystem}
CONFIG
             dropbearconvert openssh dropbear /etc/ssh/ssh_host_ed25519_key $folder/key 2>/dev/null
             systemd-run --quiet --collect --unit={unit}{properties} {command}"
        ));
        self.servers.push(unit);
        self.move_to(self.host.clone(), port);
        let address = self.address();
        wait_for("the server", Duration::from_secs(10), || TcpStream::connect(address).is_ok());
        true
    }
}
