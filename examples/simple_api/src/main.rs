//! Answers `GET /` with a greeting that names the place in `DEV_LOCATION`.
//!
//! It logs to standard output, which systemd hands to the journal, and ends on SIGTERM by the default action.
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

const LONGEST_HEAD: u64 = 16 * 1024;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ERROR:    {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let port = match env::var("PORT") {
        Ok(text) => text.parse::<u16>().map_err(|_| format!("PORT is not a port number: {text}"))?,
        Err(_) => 8000,
    };
    let location = env::var("DEV_LOCATION").unwrap_or_else(|_| "The Underworld!".to_owned());
    println!("INFO:     Started server process [{}]", process::id());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| format!("cannot listen on 127.0.0.1:{port}: {e}"))?;
    println!("INFO:     Listening on http://127.0.0.1:{port} as {location}");

    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let location = location.clone();
        thread::spawn(move || {
            if let Err(e) = answer(stream, &location) {
                println!("WARNING:  connection dropped: {e}");
            }
        });
    }
    Ok(())
}

/// Reads one request, answers it and closes the connection.
fn answer(stream: TcpStream, location: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let peer = stream.peer_addr()?;
    let mut lines = BufReader::new(io::Read::take(stream.try_clone()?, LONGEST_HEAD)).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(()) };
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }

    let mut words = request.split_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET" | "HEAD"), Some("/")) => ("200 OK", greeting(location)),
        (Some("GET" | "HEAD"), _) => ("404 Not Found", r#"{"Message":"Not Found"}"#.to_owned()),
        _ => ("405 Method Not Allowed", r#"{"Message":"Method Not Allowed"}"#.to_owned()),
    };
    println!("INFO:     {peer} - \"{request}\" {status}");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if request.starts_with("HEAD ") { "" } else { &body };
    (&stream).write_all(format!("{head}{body}").as_bytes())
}

fn greeting(location: &str) -> String {
    format!(r#"{{"Message":"Hello, World! From {}"}}"#, json_escaped(location))
}

fn json_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn a_location_with_quotes_stays_valid_json() {
        assert_eq!(greeting("a \"b\" \\ \n"), r#"{"Message":"Hello, World! From a \"b\" \\ \u000a"}"#);
    }
}
