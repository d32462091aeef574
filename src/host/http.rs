//! One question over HTTP/1.1, on a stream that is open already; and the reading of an answer that came as text.
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::manifest::HttpQuestion;

/// How much of an answer is read.
const LONGEST: usize = 64 * 1024;

const AGENT: &str = concat!("shipit/", env!("CARGO_PKG_VERSION"));

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) body: String,
}

/// There was no answer; why.
#[derive(Debug)]
pub(super) struct HttpFailure(pub(super) String);

impl From<hyper::Error> for HttpFailure {
    fn from(error: hyper::Error) -> Self {
        Self(error.to_string())
    }
}

/// The headers of a question, those of the manifest last.
pub(super) fn headers(http: &HttpQuestion) -> Vec<(&str, String)> {
    let own = |name: &str| http.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let usual =
        [("Host", http.url.authority()), ("User-Agent", AGENT.to_owned()), ("Accept", "*/*".to_owned())];
    let usual = usual.into_iter().filter(|(name, _)| !own(name));
    usual.chain(http.headers.iter().map(|header| (header.name.as_str(), header.value.clone()))).collect()
}

/// Asks.
pub(super) async fn get<S>(stream: S, http: &HttpQuestion) -> Result<Answer, HttpFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(driver);
    let mut request = Request::get(http.url.path.as_str());
    for (name, value) in headers(http) {
        request = request.header(name, value);
    }
    // The manifest's reader lets through only what stands in a request.
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| HttpFailure(error.to_string()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    // The server's own words, where they are not the usual ones.
    let own = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = own.map(|own| String::from_utf8_lossy(own.as_bytes()).into_owned());
    let mut body = Vec::new();
    let mut frames = response.into_body();
    while let Some(Ok(frame)) = frames.frame().await {
        body.extend(frame.data_ref().map(|data| data.as_ref()).unwrap_or_default());
        if body.len() >= LONGEST {
            break;
        }
    }
    driver.abort();
    body.truncate(LONGEST);
    Ok(Answer {
        status: status.as_u16(),
        reason: reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned()),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Reads an answer of HTTP/1: its status line, headers, an empty line, its body.
pub(super) fn parse(text: &str) -> Option<Answer> {
    let (head, body) = ["\r\n\r\n", "\n\n"].iter().find_map(|gap| text.split_once(gap)).unwrap_or((text, ""));
    let line = head.lines().next()?.trim_end();
    let mut words = line.strip_prefix("HTTP/1.")?.splitn(3, ' ').skip(1);
    let status = words.next()?.parse().ok()?;
    Some(Answer { status, reason: words.next().unwrap_or_default().to_owned(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\n\ndatabase").unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (503, "Service Unavailable"));
        assert_eq!(answer.body, "no\n\ndatabase");
        assert_eq!(parse("HTTP/1.0 200\n\nok").unwrap().body, "ok");
        assert!(parse("SSH-2.0-OpenSSH").is_none() && parse("").is_none());
    }
}
