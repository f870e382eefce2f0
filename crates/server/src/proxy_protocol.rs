//! The PROXY protocol, versions 1 and 2: the header with which a proxy in front tells the address of its
//! client, before the first byte of TLS or HTTP (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).
//!
//! Only a trusted proxy may send it, and must. So no client can choose its address, and a proxy that forgets
//! the header is noticed at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use telemetry::CloseReason;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The first bytes of version 1.
const TEXT: &[u8] = b"PROXY ";

/// The longest header of version 1, in bytes (section 2.1).
const LINE_BYTES_MAX: usize = 107;

/// The longest addresses and extensions of version 2 accepted, in bytes; proxies send a few dozen.
const ADDRESS_BYTES_MAX: usize = 4096;

/// The address of a client that the proxy does not know. No rule but one for all addresses contains it.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// The content of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The client's address.
    Client(SocketAddr),
    /// The connection is the proxy's own, such as a health check.
    Own,
}

/// Reads the header of a trusted proxy within `wait_max`, and returns the client's address. `peer` is the
/// proxy's.
pub(crate) async fn read_client(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    wait_max: Duration,
) -> Result<SocketAddr, (CloseReason, Option<io::Error>)> {
    match tokio::time::timeout(wait_max, read(stream)).await {
        Ok(Ok(Told::Client(client))) => Ok(client),
        Ok(Ok(Told::Own)) => Ok(peer),
        Ok(Err(error)) => Err((CloseReason::Malformed, Some(error))),
        Err(_) => Err((CloseReason::SlowHead, None)),
    }
}

/// Reads no byte behind the header.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Told> {
    // The shortest header of version 1 is longer than this.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if length > ADDRESS_BYTES_MAX {
            return Err(malformed("the header is too long"));
        }
        let mut addresses = vec![0; length];
        stream.read_exact(&mut addresses).await?;
        return parse_binary(rest[0], rest[1], &addresses);
    }
    if !start.starts_with(TEXT) {
        return Err(malformed(
            "a trusted proxy sent no PROXY header; turn it on there, or proxy_protocol off here",
        ));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_BYTES_MAX {
            return Err(malformed("the header is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line)
}

/// Parses a line of version 1, with its end.
fn parse_line(line: &[u8]) -> io::Result<Told> {
    let wrong = || malformed("the header is malformed");
    let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix("\r\n")).ok_or_else(wrong)?;
    let parts: Vec<&str> = text.split(' ').collect();
    match parts[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(Told::Client(UNKNOWN)),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, port, other_port] => {
            let source: IpAddr = source.parse().map_err(|_| wrong())?;
            let destination: IpAddr = destination.parse().map_err(|_| wrong())?;
            let port: u16 = port.parse().map_err(|_| wrong())?;
            other_port.parse::<u16>().map_err(|_| wrong())?;
            let is_v4 = family == "TCP4";
            if source.is_ipv4() != is_v4 || destination.is_ipv4() != is_v4 {
                return Err(wrong());
            }
            Ok(Told::Client(SocketAddr::new(source, port)))
        }
        _ => Err(wrong()),
    }
}

/// Parses the fields of version 2 behind its signature and length.
fn parse_binary(version_and_command: u8, family: u8, addresses: &[u8]) -> io::Result<Told> {
    match version_and_command {
        0x20 => return Ok(Told::Own),
        0x21 => {}
        _ => return Err(malformed("the header has an unknown version or command")),
    }
    let short = || malformed("the header is too short for its addresses");
    let told = match family {
        // TCP over IPv4: two addresses, then two ports.
        0x11 => {
            let source: [u8; 4] = addresses.get(..4).and_then(|it| it.try_into().ok()).ok_or_else(short)?;
            let ports = addresses.get(8..12).ok_or_else(short)?;
            let port = u16::from_be_bytes([ports[0], ports[1]]);
            SocketAddr::new(IpAddr::V4(Ipv4Addr::from(source)), port)
        }
        0x21 => {
            let source: [u8; 16] = addresses.get(..16).and_then(|it| it.try_into().ok()).ok_or_else(short)?;
            let ports = addresses.get(32..36).ok_or_else(short)?;
            let port = u16::from_be_bytes([ports[0], ports[1]]);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::from(source)), port)
        }
        _ => UNKNOWN,
    };
    Ok(Told::Client(told))
}

fn malformed(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests;
