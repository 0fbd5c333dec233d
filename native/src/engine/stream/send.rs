//! What we send on a stream: writes, gathered into frames as far as the credit goes.

use super::super::wire::{self, Kind, STREAM_CREDIT};
use super::may_exceed;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A writer is told to wait while this much is queued, in bytes.
pub const SEND_HIGH_WATER_BYTES: usize = 256 << 10;

/// A waiting writer goes on when less than this is queued, in bytes.
pub const SEND_LOW_WATER_BYTES: usize = 128 << 10;

/// Framed bytes that wait for the engine, at most about this many.
const FRAMED_BYTES_MAX: usize = 256 << 10;

/// Writes are gathered into frames of at most this many bytes.
const FRAME_BYTES_MAX: usize = 64 << 10;

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
                Kind::Control | Kind::Call | Kind::Raw => Shape::Raw,
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
        if data.is_empty() {
            return;
        }
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
