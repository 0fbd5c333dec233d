//! However a sender writes, the wire cuts and a consumer reads: nothing is refused, lost or left waiting for ever.

#![no_main]

use _native::engine::stream::{Received, RecvHalf, SendHalf};
use _native::engine::wire::{Kind, MESSAGE_BYTES_MAX, STREAM_CREDIT};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

struct Pair {
    send: SendHalf,
    recv: RecvHalf,
    wire: Vec<u8>,
    taken: VecDeque<usize>,
    written: (usize, usize),
    consumed: (usize, usize),
}

impl Pair {
    /// Move up to `limit` bytes over the wire.
    fn carry(&mut self, limit: usize) {
        while let Some(front) = self.send.front() {
            let piece = front.split_to(front.len());
            self.wire.extend_from_slice(&piece);
            self.send.took(piece.len());
        }
        let piece: Vec<u8> = self.wire.drain(..limit.min(self.wire.len())).collect();
        let mut out = Vec::new();
        self.recv.push(piece.into(), &mut out).expect("an honest sender keeps its credit");
        self.taken.extend(out.iter().filter_map(|event| match event {
            Received::Message(body) => Some(body.len()),
            _ => None,
        }));
        assert!(self.recv.held() <= 2 * STREAM_CREDIT as usize);
    }

    /// The consumer takes something, and the sender hears of it if it is worth a packet.
    fn consume(&mut self, limit: usize) {
        if let Some(length) = self.taken.pop_front() {
            self.recv.consume(length);
            self.consumed = (self.consumed.0 + length, self.consumed.1 + 1);
        }
        let mut out = vec![0; self.recv.readable().min(limit)];
        self.recv.read(&mut out);
        self.consumed.0 += out.len();
        if let Some(cost) = self.recv.credit_due() {
            self.send.on_credit(cost);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, script)) = data.split_first() else { return };
    let kind = if first & 1 == 0 { Kind::Bytes } else { Kind::Messages };
    let mut pair = Pair {
        send: SendHalf::new(kind),
        recv: RecvHalf::outbound(kind),
        wire: vec![],
        taken: VecDeque::new(),
        written: (0, 0),
        consumed: (0, 0),
    };
    for step in script.chunks_exact(2).take(64) {
        let size = usize::from(step[1]);
        match step[0] % 8 {
            0 => pair.write(size),
            1 => (0..size).for_each(|_| pair.write(1)),
            2 => pair.write(MESSAGE_BYTES_MAX - size),
            3 => pair.write(size << 10),
            4 => pair.carry(size << 8),
            5 => pair.carry(usize::MAX),
            6 => pair.consume(size << 8),
            _ => (0..size).for_each(|_| pair.consume(1 << 20)),
        }
    }
    // At most this many frames and bytes were written; each round moves at least one of them.
    for _ in 0..200_000 {
        if pair.send.is_empty() && pair.consumed == pair.written {
            return;
        }
        pair.carry(usize::MAX);
        pair.consume(usize::MAX);
    }
    panic!("{} bytes wait for ever", pair.send.queued());
});

impl Pair {
    fn write(&mut self, size: usize) {
        self.send.push(Bytes::from(vec![7; size]));
        let messages = usize::from(matches!(self.recv.kind, Some(Kind::Messages)));
        self.written = (self.written.0 + size, self.written.1 + messages);
    }
}
