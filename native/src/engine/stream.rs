//! The two halves of a stream: what waits to be sent, and what arrived and was not yet taken.
//!
//! A receiver takes everything out of the QUIC stream at once, so that the engine below never holds
//! unread chunks (it gives up a connection at 2,048 of them). What bounds memory instead is credit of
//! our own: a sender may be ahead of the consumer by [`STREAM_CREDIT`], in bytes and, since small
//! frames cost [`FRAME_COST_MIN`](super::wire::FRAME_COST_MIN), in frames. ADR 0003 has the argument.
//!
//! Pure: no engine types here; [`super::connection`] moves the bytes.

use super::wire::{self, Kind, MESSAGE_BYTES_MAX, STREAM_CREDIT};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// A writer is told to wait while this much is queued, in bytes.
pub const SEND_HIGH_WATER_BYTES: usize = 256 << 10;

/// A waiting writer goes on when less than this is queued, in bytes.
pub const SEND_LOW_WATER_BYTES: usize = 128 << 10;

/// Framed bytes that wait for the engine, at most about this many.
const FRAMED_BYTES_MAX: usize = 256 << 10;

/// Writes are gathered into frames of at most this many bytes.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// Credit is announced after this much was consumed, in cost units.
const CREDIT_STEP: u64 = STREAM_CREDIT / 4;

/// So little is unconsumed that one more message may exceed the credit, however large it is: consumption
/// below [`CREDIT_STEP`] is not announced, so a sender cannot wait for it.
fn may_exceed(unconsumed_cost: u64) -> bool {
    unconsumed_cost < CREDIT_STEP
}

/// What we send.
#[derive(Debug)]
pub struct SendHalf {
    /// Written, not yet framed: waits for credit.
    waiting: VecDeque<Bytes>,
    /// Framed, waits for the engine.
    framed: VecDeque<Bytes>,
    queued: usize,
    framed_bytes: usize,
    sent_cost: u64,
    consumed_cost: u64,
    shape: Shape,
    /// Our half shall end after what is queued.
    pub finish: bool,
    /// The engine was told that it ends.
    pub finished: bool,
    /// Somebody waits for the low-water mark.
    pub wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Raw,
    Bytes,
    Messages,
}

impl SendHalf {
    /// An empty half of a stream of `kind`.
    pub fn new(kind: Kind) -> Self {
        Self {
            waiting: VecDeque::new(),
            framed: VecDeque::new(),
            queued: 0,
            framed_bytes: 0,
            sent_cost: 0,
            consumed_cost: 0,
            shape: match kind {
                Kind::Control | Kind::Call => Shape::Raw,
                Kind::Bytes => Shape::Bytes,
                Kind::Messages => Shape::Messages,
            },
            finish: false,
            finished: false,
            wanted: false,
        }
    }

    /// Queue bytes that are sent as they are: a header, a whole call.
    pub fn push_raw(&mut self, data: Bytes) {
        self.queued += data.len();
        self.framed_bytes += data.len();
        self.framed.push_back(data);
    }

    /// Queue one write or one message.
    pub fn push(&mut self, data: Bytes) {
        if self.shape == Shape::Raw {
            return self.push_raw(data);
        }
        if data.is_empty() && self.shape == Shape::Bytes {
            return; // An empty frame says nothing, and would use up credit that no reader gives back.
        }
        self.queued += data.len();
        self.waiting.push_back(data);
    }

    /// Bytes that were written and not yet handed to the engine.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The peer consumed `cost` in all. An older or impossible figure changes nothing.
    pub fn on_credit(&mut self, cost: u64) {
        if cost <= self.sent_cost {
            self.consumed_cost = self.consumed_cost.max(cost);
        }
    }

    fn credit(&self) -> u64 {
        STREAM_CREDIT.saturating_sub(self.sent_cost - self.consumed_cost)
    }

    /// A message may go when its cost fits. One that is nearly as large as the whole credit would wait
    /// for ever for the last step, which the receiver does not announce; see [`may_exceed`].
    fn may_send_message(&self, cost: u64) -> bool {
        cost <= self.credit() || may_exceed(self.sent_cost - self.consumed_cost)
    }

    /// The next bytes for the engine.
    pub fn front(&mut self) -> Option<&mut Bytes> {
        if self.framed_bytes < FRAMED_BYTES_MAX {
            self.frame();
        }
        self.framed.front_mut()
    }

    /// The engine took `count` bytes off the front.
    pub fn took(&mut self, count: usize) {
        self.queued -= count;
        self.framed_bytes -= count;
        if self.framed.front().is_some_and(Bytes::is_empty) {
            self.framed.pop_front();
        }
    }

    /// Nothing is queued any more.
    pub fn is_empty(&self) -> bool {
        self.framed.is_empty() && self.waiting.is_empty()
    }

    /// Forget what is queued: the peer does not want it, or the stream was reset.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.framed.clear();
        self.queued = 0;
        self.framed_bytes = 0;
    }

    /// A waiting writer may go on; true once.
    pub fn may_wake(&mut self) -> bool {
        let wake = self.wanted && self.queued < SEND_LOW_WATER_BYTES;
        self.wanted &= !wake;
        wake
    }

    fn frame(&mut self) {
        while let Some(first) = self.waiting.front() {
            let cost = wire::frame_cost(first.len());
            if self.shape == Shape::Messages {
                if !self.may_send_message(cost) {
                    return;
                }
                let message = self.waiting.pop_front().expect("looked at it");
                self.sent_cost += cost;
                self.push_frame(message);
            } else {
                let credit = self.credit();
                if wire::frame_cost(0) > credit {
                    return;
                }
                let room = (credit as usize).min(FRAME_BYTES_MAX);
                let frame = self.gather(room);
                self.sent_cost += wire::frame_cost(frame.len());
                self.push_frame(frame);
            }
            if self.framed_bytes >= FRAMED_BYTES_MAX {
                return;
            }
        }
    }

    /// Up to `room` bytes of what waits: one large piece as it is, small ones joined.
    fn gather(&mut self, room: usize) -> Bytes {
        let first = self.waiting.front_mut().expect("the caller looked");
        if first.len() >= room {
            let piece = first.split_to(room);
            if first.is_empty() {
                self.waiting.pop_front();
            }
            return piece;
        }
        let first = self.waiting.pop_front().expect("the caller looked");
        if self.waiting.is_empty() {
            return first;
        }
        let mut joined = BytesMut::with_capacity(room);
        joined.extend_from_slice(&first);
        while let Some(next) = self.waiting.front_mut() {
            let fits = next.len().min(room - joined.len());
            joined.extend_from_slice(&next.split_to(fits));
            if !next.is_empty() {
                break;
            }
            self.waiting.pop_front();
        }
        joined.freeze()
    }

    fn push_frame(&mut self, payload: Bytes) {
        let mut prefix = Vec::with_capacity(8);
        wire::write_varint(&mut prefix, payload.len() as u64);
        self.queued += prefix.len();
        self.framed_bytes += prefix.len() + payload.len();
        self.framed.push_back(prefix.into());
        if !payload.is_empty() {
            self.framed.push_back(payload);
        }
    }
}

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
    /// Bytes to read, and the cost of the frames they came in.
    ready: BytesMut,
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
        self.partial.len() + self.single.as_ref().map_or(0, Bytes::len) + self.ready.len() + self.unconsumed
    }

    /// Bytes that can be read now.
    pub fn readable(&self) -> usize {
        self.ready.len()
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
            self.ready.extend_from_slice(&piece);
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

    /// Copy up to `out.len()` readable bytes into `out` and count them as consumed.
    pub fn read(&mut self, out: &mut [u8]) {
        let mut count = out.len();
        out.copy_from_slice(&self.ready[..count]);
        self.ready.advance(count);
        if self.ready.is_empty() {
            self.ready = BytesMut::new();
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
