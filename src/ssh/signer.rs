//! Who signs for a key: the key itself, an agent that holds it, or nobody yet.

use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::{Signature, private::KeypairData};
use russh::keys::{HashAlg, PrivateKey};
use russh::{SendError, Signer};
use tokio::net::UnixStream;

/// Signs what the server wants signed, once it has said that it would take the key.
pub(super) enum KeyHolder<'a> {
    /// We hold the key.
    Here(Arc<PrivateKey>),
    /// An agent does. The identity is the one that it knows the key by, which need not be what is offered: a certificate
    /// from a file is signed for with the bare key.
    Agent(&'a mut AgentClient<UnixStream>, &'a AgentIdentity),
    /// The key is locked. Being asked is all there is to know.
    Locked,
}

/// Why there is no signature.
pub(super) enum Unsigned {
    /// The server would take the key, if only there were one to sign.
    Wanted,
    Impossible(String),
    /// The connection is gone.
    Gone,
}

impl From<SendError> for Unsigned {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for KeyHolder<'_> {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        match self {
            Self::Here(key) => signed(key, hash, data).map_err(Unsigned::Impossible),
            Self::Agent(agent, identity) => agent
                .sign_request(identity, hash, data)
                .await
                .map_err(|error| Unsigned::Impossible(error.to_string())),
            Self::Locked => Err(Unsigned::Wanted),
        }
    }
}

/// The data with its signature behind it.
fn signed(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, String> {
    let signature: Signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
        other => other.try_sign(&data),
    }
    .map_err(|error| error.to_string())?;
    let mut blob = Vec::new();
    signature.encode(&mut blob).map_err(|error| error.to_string())?;
    blob.encode(&mut data).map_err(|error| error.to_string())?;
    Ok(data)
}
