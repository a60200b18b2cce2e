//! Frames between this process and a worker: header length and body length (four bytes each, big endian), a JSON
//! header, and raw bytes.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Raised with every change the worker must know about.
pub(crate) const PROTOCOL: u32 = 3;

/// A header is a question or an announcement; nothing honest comes near this many bytes.
const MAX_HEADER: usize = 4 << 20;

/// Sends one frame and puts it on the wire.
pub(crate) fn send(out: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len()).map_err(|_| io::Error::other("a frame of more than 4 GiB"))
    };
    out.write_all(&length(&header)?.to_be_bytes())?;
    out.write_all(&length(body)?.to_be_bytes())?;
    out.write_all(&header)?;
    out.write_all(body)?;
    out.flush()
}

/// What came in.
pub(crate) enum Received<T> {
    Frame(T, Vec<u8>),
    /// The body has so many bytes, which is more than the budget; it was not read.
    TooLarge(T, u64),
}

/// Reads one frame whose body is at most `budget` bytes.
pub(crate) fn receive<T: DeserializeOwned>(
    input: &mut impl Read,
    budget: u64,
) -> io::Result<Received<T>> {
    let header_length = length(input)? as usize;
    let body_length = length(input)?;
    if header_length > MAX_HEADER {
        return Err(io::Error::other(format!(
            "a header of {header_length} bytes"
        )));
    }
    let mut header = vec![0; header_length];
    input.read_exact(&mut header)?;
    let header = serde_json::from_slice(&header)?;
    if u64::from(body_length) > budget {
        return Ok(Received::TooLarge(header, u64::from(body_length)));
    }
    let mut body = vec![0; body_length as usize];
    input.read_exact(&mut body)?;
    Ok(Received::Frame(header, body))
}

fn length(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0_u8; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
