//! What the floor above may ask of a connection. Each returns at once; bytes leave with the next drive.

use super::connection::{Connection, OPENING_MAX, Opening, Phase};
use super::event::{CloseKind, Event, code};
use super::wire::{self, Kind, MESSAGE_BYTES_MAX};
use bytes::Bytes;
use noq_proto::{Dir, FourTuple, PathId, PathStatus, StreamId, VarInt};
use std::net::SocketAddr;
use std::time::Instant;

/// Why a command did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection or the stream is gone.
    Gone,
    /// Too much waits already.
    Full,
    /// The message is longer than [`MESSAGE_BYTES_MAX`].
    TooLarge,
    /// The protocol of this connection has no such thing.
    OtherProtocol,
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// This many bytes are there.
    Bytes(usize),
    /// Nothing now; an event follows.
    Nothing,
    /// The peer finished.
    End,
}

fn stream_id(stream: u64) -> Option<StreamId> {
    VarInt::from_u64(stream).ok().map(StreamId::from)
}

impl Connection {
    /// Ask for a reply, which comes as an event under `token`.
    pub fn call(
        &mut self,
        token: u64,
        protocol: &[u8],
        timeout_ms: u64,
        body: Bytes,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let mut first = Vec::with_capacity(16 + protocol.len());
        wire::write_request_header(&mut first, timeout_ms, protocol);
        let (first, body) = joined(first, body);
        self.open_or_wait(Opening { token, kind: Kind::Call, dir: Dir::Bi, first, body }, events).map(|_| ())
    }

    /// Open a stream of bytes or messages: its number, or `None` if an event under `token` will tell it.
    pub fn open(
        &mut self,
        token: u64,
        messages: bool,
        bidirectional: bool,
        protocol: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<Option<u64>, Refusal> {
        let kind = if messages { Kind::Messages } else { Kind::Bytes };
        let dir = if bidirectional { Dir::Bi } else { Dir::Uni };
        let mut first = Vec::with_capacity(8 + protocol.len());
        wire::write_stream_header(&mut first, kind, protocol);
        if !self.raw {
            self.open_control();
        }
        self.open_or_wait(Opening { token, kind, dir, first: first.into(), body: Bytes::new() }, events)
    }

    pub(super) fn open_or_wait(&mut self, opening: Opening, events: &mut Vec<Event>) -> Result<Option<u64>, Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::Gone);
        }
        if self.raw != (opening.kind == Kind::Raw) {
            return Err(Refusal::OtherProtocol);
        }
        let waiting = self.opening.iter().any(|other| other.dir == opening.dir);
        if !waiting && let Some(id) = self.quic.streams().open(opening.dir) {
            self.begin(id, &opening, events);
            return Ok(Some(id.into()));
        }
        if self.opening.len() >= OPENING_MAX {
            return Err(Refusal::Full);
        }
        if opening.kind == Kind::Call {
            self.calls.insert(opening.token, None);
        }
        self.opening.push_back(opening);
        Ok(None)
    }

    /// The caller no longer wants the reply to `token`.
    pub fn cancel(&mut self, token: u64) {
        match self.calls.remove(&token) {
            None => {}
            Some(Some(id)) => self.abandon(id, code::CANCELLED),
            Some(None) => {
                self.unwanted += 1;
                // Swept when half of what waits is unwanted, so that giving up many calls stays cheap.
                if self.unwanted * 2 > self.opening.len() {
                    let calls = &self.calls;
                    self.opening.retain(|opening| opening.kind != Kind::Call || calls.contains_key(&opening.token));
                    self.unwanted = 0;
                }
            }
        }
    }

    /// Answer a call. `Gone` when the caller no longer waits.
    pub fn reply(&mut self, stream: u64, status: u64, body: Bytes, events: &mut Vec<Event>) -> Result<(), Refusal> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let id = stream_id(stream).ok_or(Refusal::Gone)?;
        let call = self.streams.get_mut(&id).filter(|stream| stream.kind == Some(Kind::Call) && stream.inbound);
        let send = call.and_then(|stream| stream.send.as_mut()).ok_or(Refusal::Gone)?;
        let mut first = Vec::with_capacity(8);
        wire::write_varint(&mut first, status);
        let (first, body) = joined(first, body);
        send.push_raw(first);
        if !body.is_empty() {
            send.push_raw(body);
        }
        send.finish = true;
        self.pump(id, events);
        Ok(())
    }

    /// Queue one write, or one message: the bytes that are now queued on the stream.
    pub fn write(&mut self, stream: u64, data: Bytes, events: &mut Vec<Event>) -> Result<usize, Refusal> {
        let id = stream_id(stream).ok_or(Refusal::Gone)?;
        let stream = self.streams.get_mut(&id).ok_or(Refusal::Gone)?;
        if stream.kind == Some(Kind::Messages) && data.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let send = stream.send.as_mut().filter(|send| !send.finish).ok_or(Refusal::Gone)?;
        send.push(data);
        self.pump(id, events);
        let send = self.streams.get(&id).and_then(|stream| stream.send.as_ref());
        Ok(send.map_or(0, |send| send.queued()))
    }

    /// Ask for an event when the queue of this stream is low. False if it is low already.
    pub fn want_writable(&mut self, stream: u64) -> bool {
        let send = stream_id(stream).and_then(|id| self.streams.get_mut(&id)?.send.as_mut());
        let Some(send) = send else { return false };
        send.wanted = true;
        !send.may_wake()
    }

    /// End our half after what is queued.
    pub fn finish(&mut self, stream: u64, events: &mut Vec<Event>) {
        let Some(id) = stream_id(stream) else { return };
        if let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) {
            send.finish = true;
            self.pump(id, events);
        }
    }

    /// Give up our half; what is queued is not sent.
    pub fn reset(&mut self, stream: u64, code: u32) {
        let Some(id) = stream_id(stream) else { return };
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.send.take().is_some()
        {
            let _ = self.quic.send_stream(id).reset(VarInt::from_u32(code));
            self.forget_if_done(id);
        }
    }

    /// Refuse the peer's half; what was not read is dropped.
    pub fn stop(&mut self, stream: u64, code: u32) {
        let Some(id) = stream_id(stream) else { return };
        if self.streams.get(&id).is_some_and(|stream| stream.recv.is_some()) {
            let _ = self.quic.recv_stream(id).stop(VarInt::from_u32(code));
            self.drop_recv(id);
        }
    }

    /// What can be read on a stream of bytes.
    pub fn readable(&mut self, stream: u64) -> Result<Readable, Refusal> {
        let id = stream_id(stream).ok_or(Refusal::Gone)?;
        let recv = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()).ok_or(Refusal::Gone)?;
        Ok(match recv.readable() {
            0 if recv.ended => {
                self.drop_recv(id);
                Readable::End
            }
            0 => Readable::Nothing,
            count => Readable::Bytes(count),
        })
    }

    /// Fill `out`, which must not be longer than what [`Self::readable`] said.
    pub fn read(&mut self, stream: u64, out: &mut [u8], events: &mut Vec<Event>) {
        let Some(id) = stream_id(stream) else { return };
        if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
            recv.read(out);
            self.release_held(out.len());
            if self.raw {
                self.resume_raw(id, events);
            } else {
                self.announce_credit(id, events);
            }
        }
    }

    /// A message of `length` bytes was taken by its consumer: the peer may send another.
    pub fn consume(&mut self, stream: u64, length: usize, events: &mut Vec<Event>) {
        let Some(id) = stream_id(stream) else { return };
        if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
            let before = recv.held();
            recv.consume(length);
            let released = before - recv.held();
            self.release_held(released);
            self.announce_credit(id, events);
            self.end_messages(id, events);
        }
    }

    /// Send a datagram. `TooLarge` if no packet could carry it.
    pub fn send_datagram(&mut self, data: Bytes) -> Result<(), Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::Gone);
        }
        // The oldest queued datagram makes room: a late one is worth less than a new one.
        self.quic.datagrams().send(data, true).map_err(|_| Refusal::TooLarge)
    }

    /// Streams whose end the peer has not acknowledged yet.
    pub fn unacknowledged(&mut self) -> usize {
        if self.phase != Phase::Open {
            return 0;
        }
        let still_open = self.streams.iter().filter(|(id, stream)| match &stream.send {
            Some(send) => !send.finish,
            // A request that is not whole yet will be answered on a half that QUIC counts already.
            None => stream.inbound && id.dir() == Dir::Bi && stream.kind.is_none_or(|kind| kind == Kind::Call),
        });
        let still_open = still_open.count();
        self.quic.streams().send_streams().saturating_sub(still_open)
    }

    /// End the connection.
    pub fn close(&mut self, now: Instant, code: u32, reason: &str, events: &mut Vec<Event>) {
        if self.phase != Phase::Closed {
            self.quic.close(now, VarInt::from_u32(code), Bytes::copy_from_slice(reason.as_bytes()));
            self.close_with(CloseKind::Local, code.into(), reason.to_owned(), events);
        }
    }

    /// Open another path to the peer; only the side that dialled may.
    pub fn open_path(&mut self, now: Instant, to: SocketAddr, backup: bool) -> Result<u32, String> {
        let status = if backup { PathStatus::Backup } else { PathStatus::Available };
        let path = self.quic.open_path(FourTuple::from_remote(to), status, now);
        path.map(number_of).map_err(|error| error.to_string())
    }

    /// Prefer a path or keep it in reserve. Both sides must say so: each chooses for what it sends.
    pub fn set_path_backup(&mut self, path: u32, backup: bool) -> Result<(), String> {
        let status = if backup { PathStatus::Backup } else { PathStatus::Available };
        self.quic.set_path_status(PathId::from(path), status).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Give up a path.
    pub fn close_path(&mut self, now: Instant, path: u32) -> Result<(), String> {
        self.quic.close_path(now, PathId::from(path), VarInt::from_u32(0)).map_err(|error| error.to_string())
    }

    /// The identity that we showed in the handshake: who we are to this peer.
    pub fn shown(&self) -> &[u8; 32] {
        &self.shown
    }

    /// Secrets that both sides can derive and nobody else (RFC 8446, section 7.5).
    pub fn export_keying_material(&self, out: &mut [u8], label: &[u8], context: &[u8]) -> Result<(), Refusal> {
        let session = self.quic.crypto_session();
        session.export_keying_material(out, label, context).map_err(|_| Refusal::TooLarge)
    }
}

/// The number of a path. The engine shows it and keeps it private otherwise.
pub(super) fn number_of(path: PathId) -> u32 {
    path.to_string().parse().expect("a path is shown as its number")
}

/// A short body joins its header in one piece; a long one is not copied again.
fn joined(mut first: Vec<u8>, body: Bytes) -> (Bytes, Bytes) {
    if body.len() > 4096 {
        return (first.into(), body);
    }
    first.extend_from_slice(&body);
    (first.into(), Bytes::new())
}
