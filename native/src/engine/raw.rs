//! Streams of a connection that speaks libp2p: bytes as they come, without headers, frames or credit of ours.
//!
//! QUIC's own flow control stops a sender here: beyond [`READ_AHEAD_BYTES`] unread, what arrives is left in QUIC until
//! its window is full. But noq-proto 1.4.0 gives up a connection with too many chunks unread (ADR 0003), one for each frame
//! that came in a packet of its own. So those frames are counted, and taken when they become many; who sends that many small
//! ones to somebody who does not read reaches the bound of our own buffer, and is told to stop. Its connection lives.
//!
//! Source: docs/adr/0040; libp2p specifications, `quic/README.md` and `connections/README.md`.
//! Bounds: [`Options::raw_buffer_max`](super::Options) for a stream, `connection_buffer_max` for all of a connection, and what
//! QUIC's windows let in besides; [`STREAMS_MAX`] streams of the peer.

use super::commands::Refusal;
use super::connection::{Connection, Opening, Phase, Stream};
use super::event::{Event, code};
use super::stream::RecvHalf;
use super::wire::Kind;
use bytes::Bytes;
use noq_proto::{Dir, PathId, ReadError, StreamId, VarInt};
use std::time::Duration;

/// Unread bytes of a stream beyond which more is left in QUIC. Our choice: a read takes this much at once.
pub const READ_AHEAD_BYTES: usize = 256 << 10;

/// Weight of the frames that may be left in QUIC. A frame out of full packets weighs 1: noq-proto gives up at 2,048, and
/// QUIC's window ends before this. One out of small packets weighs 2: of those that noq-proto cannot merge, 1,024 are too many.
const LEFT_WEIGHT_MAX: u32 = 1280;

/// Packets of at least this many bytes are full ones.
const FULL_PACKET_BYTES: usize = 1000;

/// Datagrams of one connection after which its streams are looked at, however many more wait in the socket.
const DATAGRAMS_PER_POLL: usize = 256;

/// Concurrent streams that a libp2p peer may open; as many as go-libp2p and rust-libp2p allow. More wait at the peer.
pub const STREAMS_MAX: u32 = 256;

/// An idle connection says something this often: rust-libp2p gives one up after 10 s, and does not ask first.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// What arrived since the streams were last looked at.
#[derive(Default)]
pub(super) struct Arrived {
    datagrams: usize,
    bytes: usize,
}

impl Connection {
    /// The handshake showed that the peer speaks libp2p.
    pub(super) fn become_raw(&mut self) {
        self.raw = true;
        self.streams_max = STREAMS_MAX;
        self.quic.set_max_concurrent_streams(Dir::Bi, VarInt::from_u32(STREAMS_MAX));
        self.keep_alive = Some(KEEP_ALIVE);
        // The first path is there as long as it is the only one.
        let _ = self.quic.set_path_keep_alive_interval(PathId::ZERO, self.keep_alive);
    }

    /// A datagram came. Returns whether the streams must be looked at before the next one.
    pub(super) fn arrived(&mut self, bytes: usize) -> bool {
        self.arrived.datagrams += 1;
        self.arrived.bytes += bytes;
        self.raw && self.arrived.datagrams >= DATAGRAMS_PER_POLL
    }

    /// The streams are looked at: what a frame weighs that came since the last time.
    pub(super) fn weigh_arrived(&mut self) {
        let Arrived { datagrams, bytes } = std::mem::take(&mut self.arrived);
        self.frame_weight = if bytes >= datagrams * FULL_PACKET_BYTES { 1 } else { 2 };
    }

    /// Open a stream: its number, or `None` if an event under `token` will tell it. The peer hears of it by its first byte.
    pub fn open_raw(&mut self, token: u64, events: &mut Vec<Event>) -> Result<Option<u64>, Refusal> {
        if !self.raw {
            return Err(if self.phase == Phase::Open { Refusal::OtherProtocol } else { Refusal::Gone });
        }
        let opening = Opening { token, kind: Kind::Raw, dir: Dir::Bi, first: Bytes::new(), body: Bytes::new() };
        self.open_or_wait(opening, events)
    }

    /// Take a stream that the peer opened, even if it is empty so far.
    pub(super) fn accept_raw(&mut self, id: StreamId, events: &mut Vec<Event>) {
        if id.dir() == Dir::Uni {
            // libp2p has none of these.
            let _ = self.quic.recv_stream(id).stop(VarInt::from_u32(code::LIBP2P_PROTOCOL_VIOLATION));
            return;
        }
        self.streams.insert(id, Stream::raw_inbound());
        self.inbound[id.dir() as usize] += 1;
        events.push(Event::AcceptedRaw { connection: self.id, stream: id.into() });
        self.receive_raw(id, events);
    }

    /// A frame came for a stream.
    pub(super) fn on_raw_frame(&mut self, id: StreamId, events: &mut Vec<Event>) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.left_weight = stream.left_weight.saturating_add(self.frame_weight);
            self.receive_raw(id, events);
        }
    }

    /// Take what arrived, unless the reader is behind and it may stay in QUIC.
    pub(super) fn receive_raw(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(recv) = stream.recv.as_mut().filter(|recv| !recv.ended) else { return };
        let all = stream.left_weight >= LEFT_WEIGHT_MAX;
        let before = recv.readable();
        let mut received = Vec::new();
        let mut end = None;
        {
            let mut quic = self.quic.recv_stream(id);
            let Ok(mut chunks) = quic.read(true) else { return };
            while all || recv.readable() < READ_AHEAD_BYTES {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => {
                        let _ = recv.push(chunk.bytes, &mut received); // There is nothing to violate.
                    }
                    Ok(None) => {
                        end = Some(None);
                        break;
                    }
                    Err(ReadError::Blocked) => {
                        stream.left_weight = 0;
                        break;
                    }
                    Err(ReadError::Reset(code)) => {
                        end = Some(Some(code.into_inner()));
                        break;
                    }
                }
            }
            // What the window update needs is transmitted by the next drive anyway.
            let _ = chunks.finalize();
        }
        let taken = recv.readable() - before;
        let too_much = recv.readable() > self.raw_buffer_max;
        self.held += taken;
        if taken > 0 {
            self.fresh.push(id);
        }
        match end {
            Some(Some(code)) => self.on_reset(id, code, events),
            _ if taken > 0 && (too_much || self.held > self.held_max) => self.overflow(id, events),
            Some(None) => self.on_end(id, events),
            None if taken > 0 => events.push(Event::Readable { connection: self.id, stream: id.into() }),
            None => {}
        }
    }

    /// Nobody reads what the peer sends: it is dropped, and the peer told to stop. What we send goes on.
    fn overflow(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let _ = self.quic.recv_stream(id).stop(VarInt::from_u32(code::LIBP2P_RESOURCE_LIMIT)); // It may have ended.
        events.push(Event::Overflowed { connection: self.id, stream: id.into() });
        self.drop_recv(id);
    }

    /// The reader took something: there is room for what was left in QUIC.
    pub(super) fn resume_raw(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.left_weight > 0) else { return };
        if stream.recv.as_ref().is_some_and(|recv| recv.readable() < READ_AHEAD_BYTES / 2) {
            self.receive_raw(id, events);
        }
    }
}

impl Stream {
    fn raw_inbound() -> Self {
        Self {
            token: 0,
            kind: Some(Kind::Raw),
            send: Some(super::stream::SendHalf::new(Kind::Raw)),
            recv: Some(RecvHalf::outbound(Kind::Raw)),
            inbound: true,
            announced: true,
            left_weight: 0,
        }
    }
}
