//! The streams of a connection: bytes out of QUIC into events, and what is queued back into QUIC.
//!
//! Trust: a peer may open, fill, reset and stop streams in any order; each costs only itself.

use super::connection::{Connection, Opening, Stream};
use super::event::{Event, code};
use super::stream::{Received, RecvHalf, SendHalf, Violation};
use super::wire::{self, Kind};
use bytes::Bytes;
use noq_proto::{Dir, ReadError, StreamEvent, StreamId, VarInt, WriteError};

impl Connection {
    pub(super) fn on_stream(&mut self, event: StreamEvent, events: &mut Vec<Event>) {
        match event {
            StreamEvent::Opened { dir } => self.accept[dir as usize] = true,
            StreamEvent::Readable { id } if self.raw => self.on_raw_frame(id, events),
            StreamEvent::Readable { id } => self.receive(id, events),
            StreamEvent::Writable { id } => self.pump(id, events),
            StreamEvent::Available { dir } => self.open_waiting(dir, events),
            StreamEvent::Stopped { id, error_code } => self.on_stopped(id, error_code, events),
            StreamEvent::Finished { .. } => {}
        }
    }

    /// Take the streams that the peer opened. QUIC allows another one as soon as one has ended; we hold as
    /// many as were agreed and leave the rest in QUIC until a consumer is done with one, so that a peer
    /// that opens and ends streams faster than they are consumed cannot make us remember all of them.
    pub(super) fn accept_streams(&mut self, dir: Dir, events: &mut Vec<Event>) {
        let index = dir as usize;
        // One more for the control stream.
        let held_max = self.streams_max.saturating_add(u32::from(dir == Dir::Uni));
        while self.accept[index] && self.inbound[index] < held_max {
            let Some(id) = self.quic.streams().accept(dir) else {
                self.accept[index] = false;
                return;
            };
            if self.raw {
                self.accept_raw(id, events);
                continue;
            }
            let stream = Stream {
                token: 0,
                kind: None,
                send: None,
                recv: Some(RecvHalf::inbound()),
                inbound: true,
                announced: false,
                left_weight: 0,
            };
            self.streams.insert(id, stream);
            self.inbound[index] += 1;
            self.receive(id, events);
        }
    }

    /// The one place where a stream is forgotten.
    fn forget(&mut self, id: StreamId) {
        match self.streams.remove(&id) {
            Some(stream) if stream.inbound => self.inbound[id.dir() as usize] -= 1,
            Some(stream) if stream.kind == Some(Kind::Call) => {
                self.calls.remove(&stream.token);
            }
            _ => {}
        }
    }

    /// Take everything out of QUIC's receive buffer of one stream.
    fn receive(&mut self, id: StreamId, events: &mut Vec<Event>) {
        enum Outcome {
            More,
            End,
            Reset(u64),
            Violated(u32),
        }
        let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) else { return };
        if recv.ended {
            return;
        }
        let before = recv.held();
        let mut received = Vec::new();
        let mut outcome = Outcome::More;
        {
            let mut quic = self.quic.recv_stream(id);
            let Ok(mut chunks) = quic.read(true) else { return };
            loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => {
                        if let Err(violation) = recv.push(chunk.bytes, &mut received) {
                            outcome = Outcome::Violated(match violation {
                                Violation::Malformed => code::MALFORMED,
                                Violation::TooLarge => code::TOO_LARGE,
                                Violation::UnknownKind => code::UNKNOWN_KIND,
                                Violation::FlowControl => code::FLOW_CONTROL,
                            });
                            break;
                        }
                    }
                    Ok(None) => {
                        outcome = Outcome::End;
                        break;
                    }
                    Err(ReadError::Blocked) => break,
                    Err(ReadError::Reset(code)) => {
                        outcome = Outcome::Reset(code.into_inner());
                        break;
                    }
                }
            }
            // What the window update needs is transmitted by the next drive anyway.
            let _ = chunks.finalize();
        }
        if matches!((recv.kind, id.dir()), (Some(Kind::Control), Dir::Bi) | (Some(Kind::Call), Dir::Uni)) {
            outcome = Outcome::Violated(code::MALFORMED); // A kind of the other direction.
        }
        let after = recv.held();
        if recv.readable() > 0 && after > before {
            self.fresh.push(id);
        }
        self.held = (self.held + after).saturating_sub(before);
        if self.held > self.held_max && after > before {
            outcome = Outcome::Violated(code::BUSY);
        }
        for item in received {
            self.on_received(id, item, events);
        }
        match outcome {
            Outcome::More => {}
            Outcome::End => self.on_end(id, events),
            Outcome::Reset(code) => self.on_reset(id, code, events),
            Outcome::Violated(code) => self.refuse(id, code, events),
        }
    }

    fn on_received(&mut self, id: StreamId, item: Received, events: &mut Vec<Event>) {
        let connection = self.id;
        match item {
            Received::Opened(protocol) => {
                let Some(stream) = self.streams.get_mut(&id) else { return };
                let kind = stream.recv.as_ref().and_then(|recv| recv.kind).expect("it had a header");
                stream.kind = Some(kind);
                stream.announced = true;
                if id.dir() == Dir::Bi {
                    stream.send = Some(SendHalf::new(kind));
                }
                events.push(Event::Accepted {
                    connection,
                    stream: id.into(),
                    messages: kind == Kind::Messages,
                    bidirectional: id.dir() == Dir::Bi,
                    protocol,
                });
                self.open_control();
            }
            Received::Readable => events.push(Event::Readable { connection, stream: id.into() }),
            Received::Message(body) => events.push(Event::Message { connection, stream: id.into(), body }),
            Received::Credit(stream, cost) => {
                let Ok(stream) = VarInt::from_u64(stream) else { return };
                let stream = StreamId::from(stream);
                if let Some(send) = self.streams.get_mut(&stream).and_then(|stream| stream.send.as_mut()) {
                    send.on_credit(cost);
                    self.pump(stream, events);
                }
            }
        }
    }

    /// What readers did not take by now waits in memory of its own.
    pub(super) fn settle_streams(&mut self) {
        for id in std::mem::take(&mut self.fresh) {
            if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
                recv.settle();
            }
        }
    }

    /// The peer finished its half.
    pub(super) fn on_end(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(recv) = stream.recv.as_mut() else { return };
        recv.ended = true;
        match recv.kind {
            Some(Kind::Call) => {
                let (inbound, token, whole) = (stream.inbound, stream.token, recv.take_whole());
                self.held = self.held.saturating_sub(whole.len());
                if inbound { self.on_request(id, &whole, events) } else { self.on_reply(id, token, &whole, events) }
            }
            Some(Kind::Raw) => events.push(Event::Readable { connection: self.id, stream: id.into() }),
            Some(Kind::Bytes) if recv.is_between_frames() => {
                events.push(Event::Readable { connection: self.id, stream: id.into() });
            }
            Some(Kind::Messages) if recv.is_between_frames() => self.end_messages(id, events),
            Some(Kind::Control) => self.drop_recv(id),
            _ => self.refuse(id, code::MALFORMED, events),
        }
    }

    /// The peer has ended a stream of messages: say so once they are consumed. Until then it counts as one
    /// of the peer's streams, and the messages as held.
    pub(super) fn end_messages(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let recv = self.streams.get(&id).and_then(|stream| stream.recv.as_ref());
        let Some(recv) = recv.filter(|recv| recv.ended && recv.is_drained()) else { return };
        let (connection, stream) = (self.id, id.into());
        events.push(match recv.reset {
            Some(code) => Event::WasReset { connection, stream, code },
            None => Event::Finished { connection, stream },
        });
        self.drop_recv(id);
    }

    fn end_messages_with(&mut self, id: StreamId, code: u64, events: &mut Vec<Event>) {
        if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
            let before = recv.held();
            recv.end_with(code);
            let released = before - recv.held();
            self.release_held(released);
            self.end_messages(id, events);
        }
    }

    fn on_request(&mut self, id: StreamId, whole: &Bytes, events: &mut Vec<Event>) {
        let Ok(wire::Request { timeout_ms, protocol, body }) = wire::read_request(whole) else {
            return self.refuse(id, code::MALFORMED, events);
        };
        if body.len() > wire::MESSAGE_BYTES_MAX {
            return self.refuse(id, code::TOO_LARGE, events);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.kind = Some(Kind::Call);
            stream.recv = None;
            stream.send = Some(SendHalf::new(Kind::Call));
        }
        events.push(Event::Call { connection: self.id, stream: id.into(), protocol, timeout_ms, body });
    }

    fn on_reply(&mut self, id: StreamId, token: u64, whole: &Bytes, events: &mut Vec<Event>) {
        self.forget(id);
        events.push(match wire::read_reply(whole) {
            Ok((status, body)) => Event::Reply { token, status, body },
            Err(wire::Malformed) => Event::CallFailed { token, code: code::MALFORMED.into() },
        });
    }

    /// The peer gave up its half.
    pub(super) fn on_reset(&mut self, id: StreamId, code: u64, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.kind == Some(Kind::Call) && !stream.inbound {
            events.push(Event::CallFailed { token: stream.token, code });
            self.abandon(id, code::CANCELLED);
        } else if stream.kind == Some(Kind::Messages) {
            self.end_messages_with(id, code, events);
        } else if stream.announced {
            events.push(Event::WasReset { connection: self.id, stream: id.into(), code });
            self.drop_recv(id);
        } else {
            self.abandon(id, code::CANCELLED);
        }
    }

    /// The peer refuses what we send. QUIC leaves it to us to answer with a reset.
    fn on_stopped(&mut self, id: StreamId, error_code: VarInt, events: &mut Vec<Event>) {
        let _ = self.quic.send_stream(id).reset(error_code); // Already gone is as good.
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let code = error_code.into_inner();
        if stream.kind == Some(Kind::Call) {
            events.push(if stream.inbound {
                Event::Stopped { connection: self.id, stream: id.into(), code }
            } else {
                Event::CallFailed { token: stream.token, code }
            });
            return self.abandon(id, code::CANCELLED);
        }
        stream.send = None;
        if stream.announced {
            events.push(Event::Stopped { connection: self.id, stream: id.into(), code });
        }
        self.forget_if_done(id);
    }

    /// The peer broke the protocol on this stream, or asks too much: refuse it, keep the connection.
    fn refuse(&mut self, id: StreamId, code: u32, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (connection, number) = (self.id, id.into());
        if stream.kind == Some(Kind::Call) && !stream.inbound {
            events.push(Event::CallFailed { token: stream.token, code: code.into() });
        } else if stream.announced {
            // A writer may wait on the other half: it must hear as well.
            if stream.send.take().is_some() {
                events.push(Event::Stopped { connection, stream: number, code: code.into() });
            }
            if stream.kind == Some(Kind::Messages) {
                self.end_quic(id, code);
                self.end_messages_with(id, code.into(), events);
                return self.forget_if_done(id);
            }
            if stream.recv.is_some() {
                events.push(Event::WasReset { connection, stream: number, code: code.into() });
            }
        }
        self.abandon(id, code);
    }

    /// End both halves at once and forget the stream.
    pub(super) fn abandon(&mut self, id: StreamId, code: u32) {
        self.drop_recv(id);
        self.forget(id);
        self.end_quic(id, code);
    }

    fn end_quic(&mut self, id: StreamId, code: u32) {
        let code = VarInt::from_u32(code);
        if id.dir() == Dir::Bi || id.initiator() == self.quic.side() {
            let _ = self.quic.send_stream(id).reset(code);
        }
        if id.dir() == Dir::Bi || id.initiator() != self.quic.side() {
            let _ = self.quic.recv_stream(id).stop(code);
        }
    }

    pub(super) fn drop_recv(&mut self, id: StreamId) {
        if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.take()) {
            self.held = self.held.saturating_sub(recv.held());
        }
        self.forget_if_done(id);
    }

    pub(super) fn forget_if_done(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|stream| stream.recv.is_none() && stream.send.is_none()) {
            self.forget(id);
        }
    }

    /// Hand what is queued on a stream to QUIC, as far as it takes it.
    pub(super) fn pump(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(send) = stream.send.as_mut() else { return };
        let mut quic = self.quic.send_stream(id);
        while let Some(front) = send.front() {
            let before = front.len();
            match quic.write_chunks(&mut &mut std::slice::from_mut(front)[..]) {
                Ok(_) => {
                    let taken = before - front.len();
                    send.took(taken);
                }
                Err(WriteError::Blocked) => break,
                Err(_) => {
                    send.clear(); // Stopped or closed: its own event follows.
                    break;
                }
            }
        }
        if send.finish && !send.finished && send.is_empty() {
            send.finished = true;
            let _ = quic.finish(); // Stopped meanwhile: its own event follows.
        }
        let wake = send.may_wake();
        if send.finished {
            stream.send = None;
            self.forget_if_done(id);
        }
        if wake {
            events.push(Event::Writable { connection: self.id, stream: id.into() });
        }
    }

    /// Open what waits, as far as the peer allows.
    fn open_waiting(&mut self, dir: Dir, events: &mut Vec<Event>) {
        let mut index = 0;
        while let Some(opening) = self.opening.get(index) {
            if opening.dir != dir {
                index += 1;
                continue;
            }
            if opening.kind == Kind::Call && !self.calls.contains_key(&opening.token) {
                self.opening.remove(index);
                self.unwanted -= 1;
                continue;
            }
            let Some(id) = self.quic.streams().open(dir) else { return };
            let opening = self.opening.remove(index).expect("looked at it");
            self.begin(id, &opening, events);
            if opening.kind != Kind::Call {
                events.push(Event::Opened { connection: self.id, stream: id.into(), token: opening.token });
            }
        }
    }

    pub(super) fn begin(&mut self, id: StreamId, opening: &Opening, events: &mut Vec<Event>) {
        let mut send = SendHalf::new(opening.kind);
        send.push_raw(opening.first.clone());
        if opening.kind == Kind::Call {
            if !opening.body.is_empty() {
                send.push_raw(opening.body.clone());
            }
            send.finish = true;
            self.calls.insert(opening.token, Some(id));
        }
        let stream = Stream {
            token: opening.token,
            kind: Some(opening.kind),
            send: Some(send),
            recv: (opening.dir == Dir::Bi).then(|| RecvHalf::outbound(opening.kind)),
            inbound: false,
            announced: opening.kind != Kind::Call,
            left_weight: 0,
        };
        self.streams.insert(id, stream);
        self.pump(id, events);
    }

    /// The stream on which we announce credit; the first unidirectional one, so that it always fits.
    pub(super) fn open_control(&mut self) -> Option<StreamId> {
        if self.control.is_none() {
            let id = self.quic.streams().open(Dir::Uni)?;
            let mut send = SendHalf::new(Kind::Control);
            send.push_raw(Bytes::from_static(&[Kind::Control as u8]));
            let stream = Stream {
                token: 0,
                kind: Some(Kind::Control),
                send: Some(send),
                recv: None,
                inbound: false,
                announced: false,
                left_weight: 0,
            };
            self.streams.insert(id, stream);
            self.control = Some(id);
        }
        self.control
    }

    /// Tell the peer that it may send more on `id`, when it is worth a packet.
    pub(super) fn announce_credit(&mut self, id: StreamId, events: &mut Vec<Event>) {
        let Some(control) = self.open_control() else { return };
        let recv = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut());
        let Some(cost) = recv.and_then(RecvHalf::credit_due) else { return };
        let mut update = Vec::with_capacity(16);
        wire::write_credit(&mut update, id.into(), cost);
        if let Some(send) = self.streams.get_mut(&control).and_then(|stream| stream.send.as_mut()) {
            send.push_raw(update.into());
        }
        self.pump(control, events);
    }

    pub(super) fn release_held(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }
}
