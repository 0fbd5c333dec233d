//! What we receive on a stream: headers, frames, whole calls, however they were cut.
//!
//! Trust: every byte is hostile; what cannot become valid is a [`Violation`], and memory is bounded by the credit.

use super::super::wire::{self, Kind, MESSAGE_BYTES_MAX, STREAM_CREDIT};
use super::{CREDIT_STEP, may_exceed};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// What the receiving half made of a piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// The peer opened a stream of bytes or messages under this name.
    Opened(Bytes),
    /// There is more to read.
    Readable,
    /// One whole message.
    Message(Bytes),
    /// Credit update: stream and its consumed cost.
    Credit(u64, u64),
}

/// Why a stream must be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// See [`super::event::code::MALFORMED`].
    Malformed,
    /// See [`super::event::code::TOO_LARGE`].
    TooLarge,
    /// See [`super::event::code::UNKNOWN_KIND`].
    UnknownKind,
    /// See [`super::event::code::FLOW_CONTROL`].
    FlowControl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Kind,
    Name,
    FrameLength,
    FrameBody { left: usize },
    Whole,
    Credit,
    Anything,
}

/// What we receive.
#[derive(Debug)]
pub struct RecvHalf {
    expect: Expect,
    /// Known once the first byte was seen.
    pub kind: Option<Kind>,
    /// A part of a header, a message or a call.
    partial: BytesMut,
    /// A call that came in one piece.
    single: Option<Bytes>,
    /// Bytes to read: copied ones, then those that came since the last flush, as QUIC had them.
    ready: BytesMut,
    fresh: VecDeque<Bytes>,
    fresh_bytes: usize,
    /// Lengths and costs of the frames that the bytes came in.
    costs: VecDeque<(usize, u64)>,
    received_cost: u64,
    consumed_cost: u64,
    announced_cost: u64,
    /// Messages handed upwards and not yet consumed, in bytes.
    unconsumed: usize,
    /// The peer finished.
    pub ended: bool,
    /// It did not finish but gave up, with this code.
    pub reset: Option<u64>,
}

impl RecvHalf {
    /// The half of a stream that the peer opened: its first byte decides.
    pub fn inbound() -> Self {
        Self::with(Expect::Kind, None)
    }

    /// The half of a stream of `kind` that we opened: the peer answers without a header.
    pub fn outbound(kind: Kind) -> Self {
        let expect = match kind {
            Kind::Call => Expect::Whole,
            Kind::Control => Expect::Credit,
            Kind::Bytes | Kind::Messages => Expect::FrameLength,
            Kind::Raw => Expect::Anything,
        };
        Self::with(expect, Some(kind))
    }

    fn with(expect: Expect, kind: Option<Kind>) -> Self {
        Self {
            expect,
            kind,
            partial: BytesMut::new(),
            single: None,
            ready: BytesMut::new(),
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            costs: VecDeque::new(),
            received_cost: 0,
            consumed_cost: 0,
            announced_cost: 0,
            unconsumed: 0,
            ended: false,
            reset: None,
        }
    }

    /// Bytes held for the consumer, or for the rest of a message.
    pub fn held(&self) -> usize {
        self.partial.len() + self.single.as_ref().map_or(0, Bytes::len) + self.readable() + self.unconsumed
    }

    /// Bytes that can be read now.
    pub fn readable(&self) -> usize {
        self.ready.len() + self.fresh_bytes
    }

    /// Every message that was handed upwards has been consumed.
    pub fn is_drained(&self) -> bool {
        self.consumed_cost == self.received_cost
    }

    /// The stream may end here: no frame is incomplete.
    pub fn is_between_frames(&self) -> bool {
        self.expect == Expect::FrameLength && self.partial.is_empty()
    }

    /// The call, once the peer has finished.
    pub fn take_whole(&mut self) -> Bytes {
        self.single.take().unwrap_or_else(|| std::mem::take(&mut self.partial).freeze())
    }

    /// The peer gave up, or we gave up on it: what is incomplete will stay so, the whole messages count.
    pub fn end_with(&mut self, code: u64) {
        if let Expect::FrameBody { left } = self.expect {
            self.received_cost -= wire::frame_cost(self.partial.len() + left);
        }
        self.partial = BytesMut::new();
        self.expect = Expect::FrameLength;
        self.ended = true;
        self.reset = Some(code);
    }

    /// Take the next piece of the stream.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut Vec<Received>) -> Result<(), Violation> {
        while !chunk.is_empty() {
            match self.expect {
                Expect::Kind => self.on_kind(chunk.get_u8())?,
                Expect::Whole => return self.on_whole(chunk),
                Expect::Anything => {
                    self.push_bytes(std::mem::take(&mut chunk));
                    out.push(Received::Readable);
                }
                Expect::Name => {
                    let parse = |bytes: &[u8]| match wire::read_name(bytes) {
                        Ok(found) => {
                            Ok(found.map(|(end, length)| (Bytes::copy_from_slice(&bytes[end - length..end]), end)))
                        }
                        Err(wire::Malformed) => Err(Violation::Malformed),
                    };
                    if let Some(name) = self.header(&mut chunk, parse)? {
                        out.push(Received::Opened(name));
                        self.expect = Expect::FrameLength;
                    }
                }
                Expect::Credit => {
                    let parse = |bytes: &[u8]| Ok(wire::read_credit(bytes).map(|(id, cost, end)| ((id, cost), end)));
                    if let Some((stream, cost)) = self.header(&mut chunk, parse)? {
                        out.push(Received::Credit(stream, cost));
                    }
                }
                Expect::FrameLength => {
                    if let Some(length) = self.header(&mut chunk, |bytes| Ok(wire::read_varint(bytes)))? {
                        self.on_frame(length, out)?;
                    }
                }
                Expect::FrameBody { left } => {
                    let piece = chunk.split_to(left.min(chunk.len()));
                    self.on_body(piece, left, out);
                }
            }
        }
        Ok(())
    }

    /// Parse a header that may have been cut anywhere; what is missing waits in `partial`.
    fn header<T>(
        &mut self,
        chunk: &mut Bytes,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Violation>,
    ) -> Result<Option<T>, Violation> {
        let before = self.partial.len();
        let look = chunk.len().min(wire::HEADER_BYTES_MAX - before);
        let found = if before == 0 {
            parse(chunk)?
        } else {
            self.partial.extend_from_slice(&chunk[..look]);
            parse(&self.partial)?
        };
        match found {
            Some((value, end)) => {
                chunk.advance(end - before);
                self.partial = BytesMut::new();
                Ok(Some(value))
            }
            None => {
                if before == 0 {
                    self.partial.extend_from_slice(&chunk[..look]);
                }
                chunk.advance(look);
                Ok(None)
            }
        }
    }

    fn on_kind(&mut self, byte: u8) -> Result<(), Violation> {
        let kind = Kind::from_byte(byte).ok_or(Violation::UnknownKind)?;
        self.kind = Some(kind);
        self.expect = match kind {
            Kind::Call => Expect::Whole,
            Kind::Control => Expect::Credit,
            Kind::Bytes | Kind::Messages => Expect::Name,
            Kind::Raw => unreachable!("no first byte names it"),
        };
        Ok(())
    }

    fn on_whole(&mut self, chunk: Bytes) -> Result<(), Violation> {
        let so_far = self.partial.len() + self.single.as_ref().map_or(0, Bytes::len);
        if so_far + chunk.len() > MESSAGE_BYTES_MAX + wire::HEADER_BYTES_MAX {
            return Err(Violation::TooLarge);
        }
        if so_far == 0 {
            self.single = Some(chunk);
            return Ok(());
        }
        if let Some(single) = self.single.take() {
            self.partial.extend_from_slice(&single);
        }
        self.partial.extend_from_slice(&chunk);
        Ok(())
    }

    fn on_frame(&mut self, length: u64, out: &mut Vec<Received>) -> Result<(), Violation> {
        if length > MESSAGE_BYTES_MAX as u64 {
            return Err(Violation::TooLarge);
        }
        let length = length as usize;
        let unconsumed = self.received_cost - self.consumed_cost;
        let cost = wire::frame_cost(length);
        if unconsumed + cost > STREAM_CREDIT && !(self.kind == Some(Kind::Messages) && may_exceed(unconsumed)) {
            return Err(Violation::FlowControl);
        }
        self.received_cost += cost;
        if length > 0 {
            self.expect = Expect::FrameBody { left: length };
        } else if self.kind == Some(Kind::Messages) {
            out.push(Received::Message(Bytes::new()));
        } else {
            self.consumed_cost += wire::frame_cost(0);
        }
        if length > 0 && self.kind == Some(Kind::Bytes) {
            self.costs.push_back((length, wire::frame_cost(length)));
        }
        Ok(())
    }

    fn on_body(&mut self, piece: Bytes, left: usize, out: &mut Vec<Received>) {
        let left = left - piece.len();
        self.expect = if left == 0 { Expect::FrameLength } else { Expect::FrameBody { left } };
        if self.kind == Some(Kind::Bytes) {
            self.push_bytes(piece);
            if out.last() != Some(&Received::Readable) {
                out.push(Received::Readable);
            }
        } else if left > 0 {
            self.partial.extend_from_slice(&piece);
        } else {
            let message = if self.partial.is_empty() {
                piece
            } else {
                self.partial.extend_from_slice(&piece);
                std::mem::take(&mut self.partial).freeze()
            };
            self.unconsumed += message.len();
            out.push(Received::Message(message));
        }
    }

    /// Keep bytes for the reader.
    fn push_bytes(&mut self, piece: Bytes) {
        self.fresh_bytes += piece.len();
        self.fresh.push_back(piece);
    }

    /// Copy what the reader did not take at once: as it came, each piece keeps a whole batch of datagrams alive.
    pub fn settle(&mut self) {
        self.ready.reserve(self.fresh_bytes);
        for chunk in self.fresh.drain(..) {
            self.ready.extend_from_slice(&chunk);
        }
        self.fresh_bytes = 0;
    }

    /// Copy up to `out.len()` readable bytes into `out` and count them as consumed.
    pub fn read(&mut self, out: &mut [u8]) {
        let mut count = out.len();
        let (first, mut rest) = out.split_at_mut(count.min(self.ready.len()));
        first.copy_from_slice(&self.ready[..first.len()]);
        self.ready.advance(first.len());
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
        }
        while !rest.is_empty() {
            let chunk = self.fresh.front_mut().expect("the caller asked how much there is");
            let (part, after) = rest.split_at_mut(chunk.len().min(rest.len()));
            part.copy_from_slice(&chunk.split_to(part.len()));
            if chunk.is_empty() {
                self.fresh.pop_front();
            }
            self.fresh_bytes -= part.len();
            rest = after;
        }
        while count > 0 {
            let Some((left, cost)) = self.costs.front_mut() else { break };
            let part = count.min(*left);
            count -= part;
            *left -= part;
            if *left == 0 {
                self.consumed_cost += *cost;
                self.costs.pop_front();
            }
        }
    }

    /// A message of `length` bytes was consumed.
    pub fn consume(&mut self, length: usize) {
        self.unconsumed = self.unconsumed.saturating_sub(length);
        self.consumed_cost = (self.consumed_cost + wire::frame_cost(length)).min(self.received_cost);
    }

    /// The consumed cost to announce, when it is time to.
    pub fn credit_due(&mut self) -> Option<u64> {
        if self.ended || self.consumed_cost - self.announced_cost < CREDIT_STEP {
            return None;
        }
        self.announced_cost = self.consumed_cost;
        Some(self.consumed_cost)
    }
}
