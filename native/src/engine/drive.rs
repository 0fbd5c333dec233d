//! What makes an engine go: timers, events of its connections, and what they transmit.

use super::connection::{Connection, Phase};
use super::endpoint::{Engine, Outgoing};
use super::event::{CloseKind, Event};
use super::initial_close::ClientInitial;
use super::socket::{GSO_BYTES_MAX, Socket};
use noq_proto::{ConnectionHandle, Transmit};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Batches that one connection sends before the others have their turn.
const TRANSMITS_PER_DRIVE: usize = 32;

/// The least batch of a handshake: a datagram for each of the three packet number spaces.
const HANDSHAKE_SEGMENTS: NonZeroUsize = NonZeroUsize::new(3).expect("three");

/// Closed connections are forgotten at multiples of this.
const DRAIN_STEP: Duration = Duration::from_millis(100);

impl Engine {
    /// Connections wait to be driven.
    pub fn has_work(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Serve timers and connections, without transmitting: what the events bring about, replies above
    /// all, then leaves in the same packets as the acknowledgements.
    pub fn settle(&mut self, now: Instant) {
        self.expire(now);
        let mut index = 0;
        while let Some(&dirty) = self.dirty.get(index) {
            // A handshake's outcome has consequences here; `drive` knows them.
            if let Some(connection) = self.connections.get_mut(dirty).and_then(Option::as_mut)
                && connection.phase == Phase::Open
            {
                connection.poll(now, &self.paths, &mut self.events);
            }
            index += 1;
        }
    }

    /// Serve timers, connections and transmissions. Returns whether work is left over.
    pub fn drive(&mut self, now: Instant) -> bool {
        if let Some(socket) = &mut self.socket {
            socket.flush();
        }
        self.expire(now);
        let mut work = std::mem::take(&mut self.dirty);
        for index in work.drain(..) {
            if let Some(connection) = self.connections.get_mut(index).and_then(Option::take) {
                self.connections[index] = self.drive_one(now, index, connection);
            }
        }
        if self.dirty.is_empty() {
            self.dirty = work; // Keeps the allocation.
        }
        !self.dirty.is_empty()
    }

    /// Before the loop sleeps: look at the socket for the moment in which that is better than sleeping, and take
    /// what comes. Returns whether work is left over.
    pub fn wait_actively(&mut self, batches: usize) -> bool {
        let Some(socket) = self.socket.as_mut() else { return false };
        let start = Instant::now();
        let Some(window) = self.active_wait.before_sleep(start, std::mem::take(&mut socket.traffic_bytes)) else {
            return false;
        };
        while !socket.is_readable() {
            if start.elapsed() >= window {
                self.active_wait.waited(false);
                return false;
            }
            std::thread::yield_now();
        }
        self.active_wait.waited(true);
        self.turn(Instant::now(), batches)
    }

    /// Receive, and serve what that brought; with events nothing is transmitted yet. Returns whether work is
    /// left over.
    pub fn turn(&mut self, now: Instant, batches: usize) -> bool {
        let more = self.receive(now, batches);
        self.settle(now);
        (self.events.is_empty() && self.drive(now)) || more
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(Some(connection)) = self.connections.get_mut(index) {
                connection.deadline = None;
                connection.on_timer(now, &self.paths, &mut self.events);
            }
            self.touch(index);
        }
    }

    /// Returns the connection unless it is gone for good.
    fn drive_one(&mut self, now: Instant, index: usize, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let handle = ConnectionHandle(index);
        let before = connection.phase;
        connection.dirty = false;
        let mut gone = false;
        let mut budget = TRANSMITS_PER_DRIVE;
        connection.settle_streams();
        loop {
            let mut again = false;
            while let Some(event) = connection.quic.poll_endpoint_events() {
                gone |= event.is_drained();
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    connection.quic.handle_event(event);
                    again = true;
                }
            }
            let mark = self.events.len();
            connection.poll(now, &self.paths, &mut self.events);
            if before == Phase::Handshaking && connection.phase == Phase::Closed {
                self.close_unheard(&mut connection, mark);
            }
            if gone {
                break;
            }
            again |= self.transmit(now, &mut connection, &mut budget);
            if budget == 0 {
                connection.dirty = true;
                self.dirty.push(index);
                break;
            }
            if !again {
                break;
            }
        }
        if (gone || connection.phase != Phase::Handshaking) && connection.half_open.take().is_some() {
            self.half_open -= 1;
        }
        if (gone || connection.phase == Phase::Closed) && std::mem::take(&mut connection.counted) {
            self.live -= 1;
        }
        if gone {
            if let Some(at) = connection.deadline {
                self.timers.remove(&(at, index));
            }
            let text = "the connection was drained".into();
            connection.close_with(CloseKind::OurTransport, 0, text, &mut self.events);
            return None;
        }
        let mut deadline = connection.next_deadline();
        if connection.phase == Phase::Closed {
            let epoch = *self.epoch.get_or_insert(now);
            deadline = deadline.map(|at| end_of_drain(epoch, at));
        }
        if deadline != connection.deadline {
            if let Some(at) = connection.deadline {
                self.timers.remove(&(at, index));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, index));
            }
            connection.deadline = deadline;
        }
        Some(connection)
    }

    fn transmit(&mut self, now: Instant, connection: &mut Connection, budget: &mut usize) -> bool {
        // noq-proto 1.4.0 ends a handshake with a packet of each of its spaces, and begins again with the first
        // one until all fit one batch: for ever, if a batch were a single datagram.
        let segments = match connection.phase {
            Phase::Open => self.segments_max(),
            _ => self.segments_max().max(HANDSHAKE_SEGMENTS),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut sent = false;
        while *budget > 0 {
            buffer.clear();
            let Some(transmit) = connection.quic.poll_transmit(now, segments, &mut buffer) else { break };
            if let Some(handshake) = &mut connection.handshake
                && handshake.source.is_none()
            {
                handshake.source = ClientInitial::source_of(&buffer);
            }
            self.send(&transmit, &buffer[..transmit.size]);
            *budget -= 1;
            sent = true;
        }
        self.buffer = buffer;
        sent
    }

    fn segments_max(&self) -> NonZeroUsize {
        let kernel = self.socket.as_ref().map_or(10, Socket::gso_segments);
        let fits = GSO_BYTES_MAX / usize::from(self.options.mtu_max.max(1500));
        NonZeroUsize::new(kernel.min(self.options.gso_segments_max).min(fits).max(1)).expect("at least one")
    }

    /// See [`super::initial_close`]: the handshake failed here and the engine keeps silent about it.
    fn close_unheard(&mut self, connection: &mut Connection, mark: usize) {
        let Some(handshake) = connection.handshake.take().filter(|handshake| !handshake.proven) else { return };
        let failure = self.events[mark..].iter().find_map(|event| match event {
            Event::Closed { kind: CloseKind::OurTransport, code, reason, .. } => Some((*code, reason.clone())),
            _ => None,
        });
        let Some((code, reason)) = failure else { return };
        let source = handshake.source.unwrap_or_else(|| noq_proto::ConnectionId::new(&[0; 8]));
        if let Some(packet) = handshake.initial.close(&*self.protocols.server, source, code, &reason) {
            let transmit = Transmit {
                destination: connection.address(),
                ecn: None,
                size: packet.len(),
                segment_size: None,
                src_ip: None,
            };
            self.send(&transmit, &packet);
        }
    }

    pub(super) fn send(&mut self, transmit: &Transmit, contents: &[u8]) {
        if let Some(socket) = &mut self.socket {
            return socket.send(transmit, contents);
        }
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        self.outgoing.push(Outgoing {
            destination: transmit.destination,
            source: transmit.src_ip,
            datagrams: contents.chunks(segment).map(<[u8]>::to_vec).collect(),
        });
    }
}

/// A closed connection only waits to be forgotten: many are forgotten in one wake-up.
fn end_of_drain(epoch: Instant, at: Instant) -> Instant {
    let steps = at.saturating_duration_since(epoch).as_nanos().div_ceil(DRAIN_STEP.as_nanos());
    epoch + DRAIN_STEP * u32::try_from(steps).unwrap_or(u32::MAX)
}
