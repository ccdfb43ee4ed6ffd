//! A GET as `curl` would send it, so that no test depends on `curl`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Said, say};

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn get(to: SocketAddr, path: &str) -> Result<()> {
    say(&asked(to, path)
        .unwrap_or_else(|error| Said::Refused { code: "(http)".to_owned(), message: format!("{error:#}") }))
}

fn asked(to: SocketAddr, path: &str) -> Result<Said> {
    let mut stream = TcpStream::connect_timeout(&to, LIMIT).context("connect")?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read")?;
    let (head, body) = text.split_once("\r\n\r\n").context("no response")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok(Said::Answer { status, body: body.to_owned() })
}
