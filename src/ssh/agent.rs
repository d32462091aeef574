//! The keys that ssh-agent holds.

use std::io;

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::key::parse_public_key;
use russh::keys::ssh_key::public::KeyData;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ending::printable;
use super::options::ConnectOptions;

/// Of draft-ietf-sshm-ssh-agent, section 6.1.
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

/// As ssh(1) has it.
const LARGEST_ANSWER: usize = 256 << 10;

/// An agent that answers.
pub(super) struct Agent {
    pub(super) client: AgentClient<UnixStream>,
    pub(super) identities: Vec<AgentIdentity>,
}

impl Agent {
    /// Asks the agent what it has. One that is not there, or of no use, is no error: the second value says what is
    /// wrong with it.
    pub(super) async fn connect(
        options: &ConnectOptions,
        binding: Option<&AgentSessionBinding>,
    ) -> (Option<Self>, Option<String>) {
        let Some(socket) = &options.agent else { return (None, None) };
        let ask = async {
            let mut stream = UnixStream::connect(socket).await?;
            // Keys that were added for certain hosts only are shown to who says where he is; agents that do not know of this
            // refuse, and show all they have.
            if let Some(binding) = binding
                && let Err(error) = AgentClient::connect(&mut stream).bind_session(binding, false).await
            {
                tracing::debug!("the agent does not bind its keys to hosts: {error}");
            }
            let identities = list(&mut stream).await?;
            Ok::<_, io::Error>(Self { client: AgentClient::connect(stream), identities })
        };
        match timeout(options.authentication_timeout, ask).await {
            Ok(Ok(agent)) if agent.identities.is_empty() => (None, Some("the agent holds no keys".into())),
            Ok(Ok(agent)) => (Some(agent), None),
            Ok(Err(error)) => {
                tracing::debug!("no use of the agent at {}: {error}", socket.display());
                (None, Some(format!("the agent at {} does not work: {error}", socket.display())))
            }
            Err(_) => (None, Some(format!("the agent at {} does not answer", socket.display()))),
        }
    }
}

/// Lists its keys. russh would give up at the first of a kind that it does not know, and so hide all others.
async fn list(stream: &mut UnixStream) -> io::Result<Vec<AgentIdentity>> {
    let mut request = 1_u32.to_be_bytes().to_vec();
    request.push(REQUEST_IDENTITIES);
    stream.write_all(&request).await?;
    let length = stream.read_u32().await? as usize;
    if length > LARGEST_ANSWER {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    identities(&answer).ok_or_else(|| io::Error::other("its answer makes no sense"))
}

fn identities(answer: &[u8]) -> Option<Vec<AgentIdentity>> {
    let (&kind, mut rest) = answer.split_first()?;
    if kind != IDENTITIES_ANSWER {
        return None;
    }
    let count = number(&mut rest)?;
    let mut identities = Vec::new();
    for _ in 0..count {
        let blob = string(&mut rest)?;
        let comment = String::from_utf8_lossy(string(&mut rest)?).into_owned();
        match parse_public_key(blob) {
            Ok(key) => identities.push(match key.key_data() {
                KeyData::Certificate(certificate) => {
                    AgentIdentity::Certificate { certificate: (**certificate).clone(), comment }
                }
                _ => AgentIdentity::PublicKey { key, comment },
            }),
            Err(error) => {
                tracing::debug!("the agent's key {:?} is of no use: {error}", printable(&comment));
            }
        }
    }
    Some(identities)
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_an_agent_says_does_no_harm(mut answer in prop::collection::vec(any::<u8>(), 0..200), count in 0_u8..4) {
            let _ = identities(&answer);
            answer.splice(..0, [IDENTITIES_ANSWER, 0, 0, 0, count, 0, 0, 0]);
            let _ = identities(&answer);
        }
    }
}
