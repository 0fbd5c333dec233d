//! One connection: its streams, their events, and the bytes between them and QUIC.
//!
//! Every wake-up takes all that arrived out of QUIC (see [`super::stream`] for why) and turns it into
//! events; whatever breaks the protocol costs its stream, never the connection.

use super::commands::number_of;
use super::event::{CloseKind, Event, PathChange};
use super::initial_close::ClientInitial;
use super::options::Options;
use super::raw::Arrived;
use super::stream::{RecvHalf, SendHalf};
use super::wire::Kind;
use crate::tls;
use bytes::Bytes;
use noq_proto::{ConnectionError, ConnectionId, Dir, PathEvent, PathId, PathStatus, StreamId, VarInt};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Calls and streams that wait for the peer to allow another stream; beyond it they fail at once.
pub const OPENING_MAX: usize = 16_384;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The peer is not yet known.
    Handshaking,
    /// Both sides are verified.
    Open,
    /// Over; only the transport's last packets remain.
    Closed,
}

/// What a server remembers of a handshake in progress.
pub struct ServerHandshake {
    /// The client's first packet.
    pub initial: ClientInitial,
    /// Our connection id in what we already sent.
    pub source: Option<ConnectionId>,
    /// The address was proven by Retry.
    pub proven: bool,
}

/// The probing of several paths.
pub struct PathTimes {
    /// A path that is silent this long is given up.
    pub idle: Duration,
    /// Each path is probed this often.
    pub keep_alive: Duration,
}

pub(super) struct Stream {
    /// Names a call of ours.
    pub token: u64,
    pub kind: Option<Kind>,
    pub send: Option<SendHalf>,
    pub recv: Option<RecvHalf>,
    /// The peer opened it.
    pub inbound: bool,
    /// Python knows about it.
    pub announced: bool,
    /// What the frames of a raw stream weigh that were left in QUIC; see [`super::raw`].
    pub left_weight: u32,
}

pub(super) struct Opening {
    pub token: u64,
    pub kind: Kind,
    pub dir: Dir,
    pub first: Bytes,
    pub body: Bytes,
}

/// One connection and everything on it.
pub struct Connection {
    pub(super) quic: noq_proto::Connection,
    pub(super) id: u64,
    pub(super) token: Option<u64>,
    pub(super) phase: Phase,
    pub(super) dirty: bool,
    /// It takes one of the places for connections.
    pub(super) counted: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) handshake: Option<Box<ServerHandshake>>,
    /// An accepted handshake in progress: it counts as half open, and must be done by then.
    pub(super) half_open: Option<Instant>,
    pub(super) streams: FxHashMap<StreamId, Stream>,
    pub(super) opening: VecDeque<Opening>,
    /// Calls of ours in progress, by token; without a stream while they wait for one.
    pub(super) calls: FxHashMap<u64, Option<StreamId>>,
    /// Calls among `opening` that are no longer wanted.
    pub(super) unwanted: usize,
    address: SocketAddr,
    /// The identity that we showed in its handshake.
    pub(super) shown: [u8; 32],
    pub(super) control: Option<StreamId>,
    /// Streams of the peer that are not forgotten yet, by direction.
    pub(super) inbound: [u32; 2],
    pub(super) streams_max: u32,
    /// The peer may have opened a stream that we have not accepted.
    pub(super) accept: [bool; 2],
    /// Streams of bytes that received since the last flush.
    pub(super) fresh: Vec<StreamId>,
    pub(super) held: usize,
    pub(super) held_max: usize,
    /// The peer speaks libp2p: its streams are raw ones.
    pub(super) raw: bool,
    pub(super) raw_buffer_max: usize,
    pub(super) arrived: Arrived,
    pub(super) frame_weight: u32,
    /// The only path says something this often, if not as often as the transport has it.
    pub(super) keep_alive: Option<Duration>,
    probe_at: Option<Instant>,
}

/// Who ended a connection, with which code and words.
pub(super) fn end_of(reason: &ConnectionError) -> (CloseKind, u64, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            (CloseKind::Application, close.error_code.into_inner(), text(&close.reason))
        }
        ConnectionError::ConnectionClosed(close) => {
            (CloseKind::PeerTransport, close.error_code.into(), text(&close.reason))
        }
        ConnectionError::TransportError(error) => (CloseKind::OurTransport, error.code.into(), error.reason.clone()),
        ConnectionError::TimedOut => (CloseKind::TimedOut, 0, "timed out".into()),
        ConnectionError::Reset => (CloseKind::Reset, 0, "reset by peer".into()),
        other => (CloseKind::OurTransport, 0, other.to_string()),
    }
}

impl Connection {
    pub(super) fn new(
        quic: noq_proto::Connection,
        id: u64,
        token: Option<u64>,
        address: SocketAddr,
        shown: [u8; 32],
        options: &Options,
    ) -> Self {
        Self {
            quic,
            id,
            token,
            phase: Phase::Handshaking,
            dirty: false,
            counted: true,
            deadline: None,
            handshake: None,
            half_open: None,
            streams: FxHashMap::default(),
            opening: VecDeque::new(),
            calls: FxHashMap::default(),
            unwanted: 0,
            address,
            shown,
            control: None,
            inbound: [0; 2],
            streams_max: options.streams_max,
            accept: [false; 2],
            fresh: Vec::new(),
            held: 0,
            held_max: options.connection_buffer_max,
            raw: false,
            raw_buffer_max: options.raw_buffer_max,
            arrived: Arrived::default(),
            frame_weight: 2,
            keep_alive: None,
            probe_at: None,
        }
    }

    /// Bytes held for this peer.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Where the handshake took place.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When [`Self::on_timer`] is due.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        let open_until = self.half_open.filter(|_| self.phase == Phase::Handshaking);
        [self.quic.poll_timeout(), self.probe_at, open_until].into_iter().flatten().min()
    }

    pub(super) fn on_timer(&mut self, now: Instant, times: &PathTimes, events: &mut Vec<Event>) {
        self.quic.handle_timeout(now);
        if self.phase == Phase::Handshaking && self.half_open.is_some_and(|until| until <= now) {
            let reason = "the handshake took too long";
            self.quic.close(now, VarInt::from_u32(0), Bytes::from_static(reason.as_bytes()));
            self.close_with(CloseKind::TimedOut, 0, reason.into(), events);
        }
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probe_at = Some(now + times.keep_alive);
            for path in self.quic.paths() {
                let _ = self.quic.ping_path(path); // A path that just closed needs no probe.
            }
        }
    }

    /// Turn everything that QUIC has to say into events.
    pub(super) fn poll(&mut self, now: Instant, times: &PathTimes, events: &mut Vec<Event>) {
        self.weigh_arrived();
        while let Some(event) = self.quic.poll() {
            match event {
                noq_proto::Event::Connected => self.on_connected(events),
                noq_proto::Event::ConnectionLost { reason } => self.on_lost(&reason, events),
                noq_proto::Event::Stream(event) if self.phase != Phase::Closed => self.on_stream(event, events),
                noq_proto::Event::DatagramReceived => {
                    while let Some(data) = self.quic.datagrams().recv() {
                        if !self.raw {
                            events.push(Event::Datagram { connection: self.id, data });
                        }
                    }
                }
                noq_proto::Event::Path(event) => self.on_path(now, event, times, events),
                _ => {}
            }
        }
        if self.phase == Phase::Open {
            for dir in [Dir::Bi, Dir::Uni] {
                self.accept_streams(dir, events);
            }
        }
    }

    fn on_connected(&mut self, events: &mut Vec<Event>) {
        if self.phase != Phase::Handshaking {
            return; // We closed it while the last packet of the handshake was on its way.
        }
        let session = self.quic.crypto_session();
        let certificates = session
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok());
        let data =
            session.handshake_data().and_then(|any| any.downcast::<noq_proto::crypto::rustls::HandshakeData>().ok());
        let alpn: Bytes = data.as_ref().and_then(|data| data.protocol.clone()).unwrap_or_default().into();
        let peer = certificates.and_then(|chain| tls::identity_of(&alpn, chain.first()?));
        self.phase = Phase::Open;
        self.handshake = None;
        if alpn == tls::ALPN_LIBP2P {
            self.become_raw();
        }
        events.push(Event::Connected {
            connection: self.id,
            token: self.token.take(),
            peer: peer.expect("the verifier let only identities through"),
            alpn,
            key_exchange: tls::group_name(data.and_then(|data| data.negotiated_key_exchange_group)),
            address: self.address,
        });
    }

    fn on_lost(&mut self, reason: &ConnectionError, events: &mut Vec<Event>) {
        let (kind, code, text) = end_of(reason);
        self.close_with(kind, code, text, events);
    }

    /// The one place where a connection ends, so that its end is told exactly once.
    pub(super) fn close_with(&mut self, kind: CloseKind, code: u64, reason: String, events: &mut Vec<Event>) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.streams = FxHashMap::default();
        self.opening = VecDeque::new();
        self.calls = FxHashMap::default();
        self.fresh = Vec::new();
        self.accept = [false; 2];
        self.held = 0;
        self.probe_at = None;
        events.push(Event::Closed { connection: self.id, token: self.token.take(), kind, code, reason });
    }

    fn on_path(&mut self, now: Instant, event: PathEvent, times: &PathTimes, events: &mut Vec<Event>) {
        let (path, change, address) = match event {
            PathEvent::Established { id, .. } => (id, PathChange::Established, None),
            PathEvent::Abandoned { id, .. } => (id, PathChange::Abandoned, None),
            PathEvent::RemoteStatus { id, status: PathStatus::Available, .. } => (id, PathChange::PeerAvailable, None),
            PathEvent::RemoteStatus { id, .. } => (id, PathChange::PeerBackup, None),
            PathEvent::ObservedAddr { id, addr, .. } => (id, PathChange::Observed, Some(addr)),
            _ => return,
        };
        if matches!(change, PathChange::Established | PathChange::Abandoned) {
            self.watch_paths(now, times);
        }
        let address = address.or_else(|| self.quic.network_path(path).ok().map(|tuple| tuple.remote()));
        events.push(Event::Path { connection: self.id, path: number_of(path), change, address });
    }

    /// With several paths each is probed, and given up when silent. The only path is never given up
    /// before the connection is: then the connection's own timer counts.
    fn watch_paths(&mut self, now: Instant, times: &PathTimes) {
        let open: Vec<PathId> = self.quic.paths();
        let several = open.len() > 1;
        for path in open {
            // A path that just closed refuses; there is nothing left to watch on it.
            let _ = self.quic.set_path_max_idle_timeout(now, path, several.then_some(times.idle));
            let _ = self.quic.set_path_keep_alive_interval(path, self.keep_alive.filter(|_| !several));
        }
        self.probe_at = several.then(|| now + times.keep_alive);
    }
}
