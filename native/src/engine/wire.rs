//! The bytes at the start of a stream, and between its messages.
//!
//! Source: docs/protocols/rpc.md. Integers are QUIC variable-length integers (RFC 9000, section 16).
//! Trust: every byte is hostile. A parser returns a value, "not yet", or [`Malformed`].

use bytes::Bytes;

/// Longest protocol name, in bytes. Our choice (docs/protocols/rpc.md); longer: the stream is stopped.
pub const PROTOCOL_NAME_BYTES_MAX: usize = 128;

/// Longest request, reply or message, in bytes. The design's "requests up to 1 MiB"; a longer one is
/// refused before it is buffered.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What a peer may have sent on one stream without us having consumed it, in cost units (bytes, see
/// [`frame_cost`]). Our choice (ADR 0003); a stream that exceeds it is stopped.
pub const STREAM_CREDIT: u64 = 1 << 20;

/// The least a frame costs, so that at most 1,024 frames of a stream are unread: half of the chunks
/// at which noq-proto 1.4.0 gives up a connection (ADR 0003).
pub const FRAME_COST_MIN: u64 = 1024;

/// Longest header of a stream: kind, timeout and name with their lengths.
pub const HEADER_BYTES_MAX: usize = 1 + 8 + 8 + PROTOCOL_NAME_BYTES_MAX;

/// The first byte of a stream says what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Credit updates; the first unidirectional stream of each side.
    Control = 0,
    /// One request until FIN, answered by one reply until FIN.
    Call = 1,
    /// A protocol name, then frames whose borders mean nothing.
    Bytes = 2,
    /// A protocol name, then frames that are messages.
    Messages = 3,
    /// No first byte, no frames: a stream of another protocol, which has its own. Never on the wire of ours.
    Raw = 0xff,
}

impl Kind {
    /// The kind that `byte` names, if this version knows it.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Control,
            1 => Self::Call,
            2 => Self::Bytes,
            3 => Self::Messages,
            _ => return None,
        })
    }
}

/// The bytes can never become valid, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Read one integer: its value and length, or `None` when bytes are missing.
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

/// Append `value` in its shortest form. Values of 2^62 and more cannot be encoded.
pub fn write_varint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => {
            assert!(value < 1 << 62, "no QUIC integer is that large");
            out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes());
        }
    }
}

/// What a frame of `payload` bytes takes from the credit of its stream.
pub fn frame_cost(payload: usize) -> u64 {
    (payload as u64).max(FRAME_COST_MIN)
}

/// A request as it stands on the wire, after the kind byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Milliseconds that the caller is willing to wait from now on; 0 is no limit of its own.
    pub timeout_ms: u64,
    /// The protocol, 1 to 128 bytes of UTF-8.
    pub protocol: Bytes,
    /// The request itself.
    pub body: Bytes,
}

/// Begin a request: the body follows.
pub fn write_request_header(out: &mut Vec<u8>, timeout_ms: u64, protocol: &[u8]) {
    out.push(Kind::Call as u8);
    write_varint(out, timeout_ms.min((1 << 62) - 1));
    write_varint(out, protocol.len() as u64);
    out.extend_from_slice(protocol);
}

/// Parse a whole request, without its kind byte.
pub fn read_request(bytes: &Bytes) -> Result<Request, Malformed> {
    let (timeout_ms, at) = read_varint(bytes).ok_or(Malformed)?;
    let (end, protocol) = read_name(&bytes[at..])?.ok_or(Malformed)?;
    let start = at + end - protocol;
    Ok(Request { timeout_ms, protocol: bytes.slice(start..start + protocol), body: bytes.slice(at + end..) })
}

/// Parse a whole reply: its status and its body.
pub fn read_reply(bytes: &Bytes) -> Result<(u64, Bytes), Malformed> {
    let (status, at) = read_varint(bytes).ok_or(Malformed)?;
    Ok((status, bytes.slice(at..)))
}

/// Begin a stream of frames under the name of its protocol.
pub fn write_stream_header(out: &mut Vec<u8>, kind: Kind, protocol: &[u8]) {
    out.push(kind as u8);
    write_varint(out, protocol.len() as u64);
    out.extend_from_slice(protocol);
}

/// Parse a length-prefixed protocol name: where it ends and how long it is; `None` when bytes are missing.
pub fn read_name(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let Some((length, at)) = read_varint(bytes) else { return Ok(None) };
    if length == 0 || length > PROTOCOL_NAME_BYTES_MAX as u64 {
        return Err(Malformed);
    }
    let length = length as usize;
    let Some(name) = bytes.get(at..at + length) else { return Ok(None) };
    std::str::from_utf8(name).map_err(|_| Malformed)?;
    Ok(Some((at + length, length)))
}

/// One credit update: `consumed` cost units of stream `stream` in all.
pub fn write_credit(out: &mut Vec<u8>, stream: u64, consumed: u64) {
    write_varint(out, stream);
    write_varint(out, consumed);
}

/// Read one credit update: stream, consumed cost, length; `None` when bytes are missing.
pub fn read_credit(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (stream, first) = read_varint(bytes)?;
    let (consumed, second) = read_varint(&bytes[first..])?;
    Some((stream, consumed, first + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000, appendix A.1 gives these four.
    #[test]
    fn integers_match_the_rfc() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(read_varint(bytes), Some((value, bytes.len())));
            let mut out = vec![];
            write_varint(&mut out, value);
            assert_eq!(out, bytes);
            for cut in 0..bytes.len() {
                assert_eq!(read_varint(&bytes[..cut]), None);
            }
        }
        assert_eq!(read_varint(&[0x40, 0x25]), Some((37, 2)), "a longer form is allowed");
    }

    #[test]
    fn a_request_survives_the_wire() {
        let mut out = vec![];
        write_request_header(&mut out, 30_000, b"bench/echo");
        out.extend_from_slice(b"hello");
        let request = read_request(&Bytes::from(out).slice(1..)).unwrap();
        assert_eq!(
            (request.timeout_ms, &request.protocol[..], &request.body[..]),
            (30_000, &b"bench/echo"[..], &b"hello"[..])
        );
    }

    #[test]
    fn bad_names_are_malformed() {
        assert_eq!(read_name(&[0]), Err(Malformed), "empty");
        assert_eq!(read_name(&[0x40, 129]), Err(Malformed), "too long");
        assert_eq!(read_name(&[1, 0xff]), Err(Malformed), "not UTF-8");
        assert_eq!(read_name(&[2, b'a']), Ok(None), "not all there");
        let mut longest = vec![0x40, 128];
        longest.extend([b'x'; 128]);
        assert_eq!(read_name(&longest), Ok(Some((130, 128))));
    }

    #[test]
    fn truncated_requests_are_malformed_and_never_panic() {
        let mut out = vec![];
        write_request_header(&mut out, 70_000, b"protocol/name");
        let whole = Bytes::from(out).slice(1..);
        for cut in 0..whole.len() {
            assert_eq!(read_request(&whole.slice(..cut)), Err(Malformed), "cut at {cut}");
        }
    }
}
