//! A minimal HTTP/1.1 client to push to a registry and to read a page: one request for each connection,
//! blocking, with a timeout.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const IDLE: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// One request. `target` is the path with its query.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) address: SocketAddr,
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
}

/// Status, headers with lower-case names, and the whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends `request` with `size` bytes of `body` and reads the answer to its end.
pub(crate) fn send(request: &Request<'_>, size: u64, body: &mut dyn Read) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&request.address, IDLE)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {size}\r\n",
        request.method, request.target, request.address,
    );
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    (&stream).write_all(head.as_bytes())?;
    io::copy(&mut body.take(size), &mut &stream)?;
    read_answer(BufReader::new(stream))
}

/// Sends a GET.
pub(crate) fn get(address: SocketAddr, target: &str) -> io::Result<Answer> {
    send(&Request { method: "GET", address, target, headers: Vec::new() }, 0, &mut io::empty())
}

fn read_answer(mut reader: BufReader<TcpStream>) -> io::Result<Answer> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut body = Vec::new();
    reader.take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
    Ok(Answer { status, headers, body })
}
