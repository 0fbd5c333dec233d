//! What the engine tells the floor above.

use bytes::Bytes;
use std::net::SocketAddr;

/// Codes with which a stream is reset or stopped. docs/protocols/rpc.md.
pub mod code {
    /// The caller no longer wants the answer.
    pub const CANCELLED: u32 = 1;
    /// Too much is buffered or running for this peer.
    pub const BUSY: u32 = 2;
    /// The bytes do not follow the protocol.
    pub const MALFORMED: u32 = 3;
    /// A request, reply or message is longer than allowed.
    pub const TOO_LARGE: u32 = 4;
    /// This version does not know that kind of stream.
    pub const UNKNOWN_KIND: u32 = 5;
    /// More was sent than the credit allowed.
    pub const FLOW_CONTROL: u32 = 6;
    /// On libp2p's streams: more was sent than is read. go-libp2p, `core/network/mux.go`.
    pub const LIBP2P_RESOURCE_LIMIT: u32 = 0x1002;
    /// On libp2p's streams: nothing that libp2p has. go-libp2p, `core/network/mux.go`.
    pub const LIBP2P_PROTOCOL_VIOLATION: u32 = 0x1004;
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseKind {
    /// We closed it.
    Local = 0,
    /// The peer closed it, with a code and a reason of its own.
    Application = 1,
    /// The peer's transport ended it.
    PeerTransport = 2,
    /// Our transport ended it: the peer broke the protocol, or the handshake failed.
    OurTransport = 3,
    /// Nothing was heard for too long.
    TimedOut = 4,
    /// The peer forgot the connection, most likely by a restart.
    Reset = 5,
    /// It could not be started.
    Failed = 6,
}

/// One thing that happened. Connections and streams are named by number.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Event {
    /// The reply to call `token` is whole.
    Reply { token: u64, status: u64, body: Bytes },
    /// The peer ended call `token` without a reply.
    CallFailed { token: u64, code: u64 },
    /// A whole request arrived.
    Call { connection: u64, stream: u64, protocol: Bytes, timeout_ms: u64, body: Bytes },
    /// There are bytes to read, or the end.
    Readable { connection: u64, stream: u64 },
    /// One whole message.
    Message { connection: u64, stream: u64, body: Bytes },
    /// The write queue fell below the low-water mark.
    Writable { connection: u64, stream: u64 },
    /// The stream asked for under `token` is open.
    Opened { connection: u64, stream: u64, token: u64 },
    /// The peer opened a stream of bytes or messages.
    Accepted { connection: u64, stream: u64, messages: bool, bidirectional: bool, protocol: Bytes },
    /// The peer opened a raw stream.
    AcceptedRaw { connection: u64, stream: u64 },
    /// More came on a raw stream than its reader took: what was unread is dropped, and the peer told to stop.
    Overflowed { connection: u64, stream: u64 },
    /// The peer finished its half of a message stream.
    Finished { connection: u64, stream: u64 },
    /// The peer gave up its half.
    WasReset { connection: u64, stream: u64, code: u64 },
    /// The peer refuses what we send; for a call that it made: it no longer wants the answer.
    Stopped { connection: u64, stream: u64, code: u64 },
    /// A datagram.
    Datagram { connection: u64, data: Bytes },
    /// The handshake is done and the peer's key is verified.
    Connected {
        connection: u64,
        token: Option<u64>,
        peer: [u8; 32],
        alpn: Bytes,
        key_exchange: &'static str,
        address: SocketAddr,
    },
    /// The connection is gone; nothing more will come of it or its streams. Number 0: it could not even begin.
    Closed { connection: u64, token: Option<u64>, kind: CloseKind, code: u64, reason: String },
    /// A path changed: see [`PathChange`].
    Path { connection: u64, path: u32, change: PathChange, address: Option<SocketAddr> },
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PathChange {
    /// It can carry data.
    Established = 0,
    /// It is given up.
    Abandoned = 1,
    /// The peer now prefers it.
    PeerAvailable = 2,
    /// The peer now keeps it in reserve.
    PeerBackup = 3,
    /// The peer sees us at this address.
    Observed = 4,
}
