//! The least client that can press a server: one connection kept alive, requests written by hand.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use liftlock::forge::signature;

use crate::figure::Fallible;

/// The secret of every server that this harness starts.
pub(crate) const SECRET: &str = "7d1f0e5b9c3a4826b1d05e7f9a2c4b68";
/// Largest head and body of an answer.
const ANSWER: usize = 16 << 10;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(to: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; ANSWER] })
    }

    /// Sends one request and answers the status, once the whole answer is here.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Fallible<u16> {
        self.stream.write_all(request).await?;
        let mut held = 0;
        loop {
            let room = self.answer.get_mut(held..).filter(|room| !room.is_empty()).ok_or("a long answer")?;
            let count = self.stream.read(room).await?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            held += count;
            if let Some(status) = complete(self.answer.get(..held).unwrap_or_default())? {
                return Ok(status);
            }
        }
    }
}

/// The status, when head and body are complete.
fn complete(answer: &[u8]) -> Fallible<Option<u16>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let length = head
        .lines()
        .find_map(|line| {
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        })
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
    if answer.len() < end + 4 + length {
        return Ok(None);
    }
    let status = head.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
    Ok(Some(status))
}

/// A webhook as a host sends it, without its id.
pub(crate) struct Hook {
    before_id: String,
    after_id: Vec<u8>,
}

impl Hook {
    pub(crate) fn new(door: &str, event: &str, body: &[u8]) -> Fallible<Self> {
        let signature = signature::sign(SECRET.as_bytes(), body)?;
        let before_id = format!(
            "POST /webhook/{door} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             user-agent: GitHub-Hookshot/044aadd\r\nx-github-hook-id: 412374901\r\nx-github-event: {event}\r\n\
             {header}: {signature}\r\ncontent-length: {length}\r\nx-github-delivery: ",
            header = signature::HEADER,
            length = body.len(),
        );
        let mut after_id = b"\r\n\r\n".to_vec();
        after_id.extend_from_slice(body);
        Ok(Self { before_id, after_id })
    }

    /// The bytes of the request with this id, in place of what `request` held.
    pub(crate) fn write(&self, id: &str, request: &mut Vec<u8>) {
        request.clear();
        request.extend_from_slice(self.before_id.as_bytes());
        request.extend_from_slice(id.as_bytes());
        request.extend_from_slice(&self.after_id);
    }
}
