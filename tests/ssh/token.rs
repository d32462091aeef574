//! A FIDO key in an agent: what ssh-agent and a hardware token would do together is done here in software, up to the
//! signature that sshd checks. No token was touched.

use std::path::Path;
use std::sync::Arc;

use russh::keys::PrivateKey;
use russh::keys::signature::Signer as _;
use sha2::{Digest as _, Sha256};
use shipit::ssh::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::server::{Nobody, Server, keygen};

const KIND: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &str = "ssh:";

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut field = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    field.extend_from_slice(bytes);
    field
}

fn take<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, after) = rest.split_at(4);
    let (field, after) = after.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
    *rest = after;
    field
}

/// The public key of the token.
fn blob(key: &PrivateKey) -> Vec<u8> {
    let plain = key.public_key().to_bytes().unwrap();
    let mut rest = &plain[..];
    take(&mut rest);
    [string(KIND.as_bytes()), string(take(&mut rest)), string(APPLICATION.as_bytes())].concat()
}

/// What a token signs: not the data, but that it was shown it, and that somebody touched it (PROTOCOL.u2f).
fn sign(key: &PrivateKey, data: &[u8]) -> Vec<u8> {
    let (touched, counter) = ([1], 7_u32.to_be_bytes());
    let message =
        [&Sha256::digest(APPLICATION.as_bytes())[..], &touched, &counter, &Sha256::digest(data)].concat();
    let signature = key.try_sign(&message).unwrap();
    [string(KIND.as_bytes()), string(signature.as_bytes()), touched.to_vec(), counter.to_vec()].concat()
}

async fn serve(mut stream: UnixStream, key: Arc<PrivateKey>) -> std::io::Result<()> {
    loop {
        let length = stream.read_u32().await? as usize;
        let mut request = vec![0; length];
        stream.read_exact(&mut request).await?;
        let mut rest = &request[1..];
        let answer = match request[0] {
            REQUEST_IDENTITIES => {
                let odd = |kind: &str| [string(&string(kind.as_bytes())), string(b"odd")].concat();
                [
                    &[IDENTITIES_ANSWER][..],
                    &4_u32.to_be_bytes(),
                    &odd("ssh-ed448"),
                    &odd("made-up@example.com"),
                    &[string(b""), string(b"empty")].concat(),
                    &string(&blob(&key)),
                    &string(b"token"),
                ]
                .concat()
            }
            SIGN_REQUEST if take(&mut rest) == blob(&key) => {
                [vec![SIGN_RESPONSE], string(&sign(&key, take(&mut rest)))].concat()
            }
            // As agents do that know of no extensions.
            _ => vec![FAILURE],
        };
        stream.write_all(&string(&answer)).await?;
    }
}

fn start(socket: &Path, key: PrivateKey) {
    let listener = UnixListener::bind(socket).unwrap();
    let key = Arc::new(key);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&key)));
        }
    });
}

#[tokio::test]
async fn a_token_in_the_agent_logs_in_and_keys_of_unknown_kinds_do_not_hide_it() {
    let Some(server) = Server::start("") else { return };
    server.options();
    keygen(&server.path("seed"), "ed25519", "");
    let key = PrivateKey::read_openssh_file(server.path("seed")).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, blob(&key));
    std::fs::write(server.path("authorized_keys"), format!("{KIND} {encoded} token\n")).unwrap();
    start(&server.path("agent"), key);
    let mut options = server.options_with(Nobody);
    options.identities.clear();
    options.agent = Some(server.path("agent"));
    connect(&server.target(), &options).await.unwrap();
    server.wait_for("Accepted publickey for root");
    server.wait_for("ED25519-SK SHA256:");
}
