//! The keys that ssh-agent holds.

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::options::ConnectOptions;

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
            let mut client = AgentClient::connect_uds(socket).await?;
            // Keys that were added for certain hosts only are shown to who says where he is; agents that do not know of this
            // refuse, and show all they have.
            if let Some(binding) = binding
                && let Err(error) = client.bind_session(binding, false).await
            {
                tracing::debug!("the agent does not bind its keys to hosts: {error}");
            }
            let identities = client.request_identities().await?;
            Ok::<_, russh::keys::Error>(Self { client, identities })
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
