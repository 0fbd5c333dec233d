//! All connections of one identity: datagrams in, datagrams out, one deadline.

use super::admission::{Admission, Verdict};
use super::connection::{Connection, PathTimes, Phase, ServerHandshake, end_of};
use super::event::{CloseKind, Event};
use super::initial_close::ClientInitial;
use super::options::Options;
use super::random::SeededCids;
use super::socket::{Datagram, GSO_BYTES_MAX, Socket};
use crate::tls;
use bytes::BytesMut;
use noq_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use noq_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, FourTuple, Incoming,
    MtuDiscoveryConfig, ServerConfig, Transmit, TransportConfig, VarInt, congestion, crypto,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Batches that one connection sends before the others have their turn.
const TRANSMITS_PER_DRIVE: usize = 32;

/// The least batch of a handshake: a datagram for each of the three packet number spaces.
const HANDSHAKE_SEGMENTS: NonZeroUsize = NonZeroUsize::new(3).expect("three");

/// An accepted handshake that is not done by then is given up, so that clients which begin and never end
/// hold few places. Our choice: as long as a patient dialler waits.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What an unread stream may keep in QUIC, in bytes: the credit and the frame headers within it (ADR 0003).
const STREAM_WINDOW_BYTES: u32 = 1_310_720;

/// What all streams of a connection may keep in QUIC, in bytes. They are emptied at every wake-up.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Sent and not yet acknowledged, in bytes, for one connection.
const SEND_WINDOW_BYTES: u64 = 8 << 20;

/// Closed connections are forgotten at multiples of this.
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// Datagrams that wait for packets, in bytes, each direction of a connection.
const DATAGRAM_BUFFER_BYTES: usize = 1 << 20;

/// A batch of datagrams to one destination, for endpoints without a socket.
pub struct Outgoing {
    /// Where to.
    pub destination: SocketAddr,
    /// From which of our addresses, if that matters.
    pub source: Option<IpAddr>,
    /// The datagrams.
    pub datagrams: Vec<Vec<u8>>,
}

/// The state machine of all connections, and its socket if it has one.
pub struct Engine {
    endpoint: noq_proto::Endpoint,
    connections: Vec<Option<Box<Connection>>>,
    serial: u64,
    epoch: Option<Instant>,
    dirty: Vec<usize>,
    timers: BTreeSet<(Instant, usize)>,
    client: tls::raw_key::Configs,
    client_quic: Arc<QuicClientConfig>,
    server_crypto: Arc<dyn crypto::ServerConfig>,
    transport: Arc<TransportConfig>,
    initial_ids: Option<Arc<Mutex<SeededCids>>>,
    admission: Admission,
    half_open: usize,
    /// Connections that are not closed.
    live: usize,
    paths: PathTimes,
    options: Options,
    buffer: Vec<u8>,
    /// What happened since this was last taken.
    pub events: Vec<Event>,
    /// What to send, for endpoints without a socket.
    pub outgoing: Vec<Outgoing>,
    /// The socket; without it the caller carries the datagrams.
    pub socket: Option<Socket>,
}

impl Engine {
    /// An engine for the identity of `seed`, bound to `bind`, or without a socket.
    pub fn new(
        seed: &[u8; 32],
        bind: Option<SocketAddr>,
        options: Options,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let key_log = match &options.keylog_path {
            Some(path) => Some(Arc::new(tls::key_log::KeyLogAt::open(path)?) as Arc<dyn rustls::KeyLog>),
            None => None,
        };
        let configs = tls::raw_key::configs(seed, options.post_quantum, key_log)?;
        let transport = Arc::new(transport_config(&options)?);
        let server_crypto: Arc<dyn crypto::ServerConfig> = Arc::new(tls::alpn::Demultiplexer::new(vec![(
            tls::ALPN_KONTINUUM.to_vec(),
            Arc::new(QuicServerConfig::try_from(configs.server.clone())?),
        )]));
        let client_quic = Arc::new(QuicClientConfig::try_from(configs.client.clone())?);

        let socket = bind.map(|address| Socket::bind(address, options.mtu_max)).transpose()?;
        let mut endpoint_config = EndpointConfig::default();
        endpoint_config.grease_quic_bit(false); // The first byte tells QUIC from relay frames.
        endpoint_config.max_udp_payload_size(options.mtu_max.max(1472))?;
        endpoint_config.rng_seed(options.rng_seed);
        let initial_ids = options.rng_seed.map(|mut seed| {
            endpoint_config.cid_generator(Arc::new(move || Box::new(SeededCids::new(seed))));
            seed[0] ^= 0x5a; // Another sequence than that of our own ids.
            Arc::new(Mutex::new(SeededCids::new(seed)))
        });
        let server = options.accept.then(|| {
            let mut server = ServerConfig::with_crypto(server_crypto.clone());
            server.transport_config(transport.clone());
            Arc::new(server)
        });
        let allow_mtud = socket.as_ref().is_none_or(|socket| !socket.may_fragment());
        Ok(Self {
            endpoint: noq_proto::Endpoint::new(Arc::new(endpoint_config), server, allow_mtud),
            connections: Vec::new(),
            serial: 0,
            epoch: None,
            dirty: Vec::new(),
            timers: BTreeSet::new(),
            client: configs,
            client_quic,
            server_crypto,
            transport,
            initial_ids,
            admission: Admission::new(&options),
            half_open: 0,
            live: 0,
            paths: PathTimes { idle: options.path_idle, keep_alive: options.path_keep_alive },
            options,
            buffer: Vec::with_capacity(64 << 10),
            events: Vec::new(),
            outgoing: Vec::new(),
            socket,
        })
    }

    /// Our identity.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.client.public
    }

    /// Handshakes judged so far, and in progress.
    pub fn admission(&self) -> (super::admission::Counters, usize) {
        (self.admission.counters, self.half_open)
    }

    /// Connections that exist, closing ones included.
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Bytes held for all peers.
    pub fn held(&self) -> usize {
        self.connections.iter().flatten().map(|connection| connection.held()).sum()
    }

    /// Streams of all connections whose end the peer has not acknowledged yet.
    pub fn unacknowledged(&mut self) -> usize {
        self.connections.iter_mut().flatten().map(|connection| connection.unacknowledged()).sum()
    }

    /// When [`Self::drive`] is due, if it is.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The connection numbered `id` and the event queue, marked for the next drive.
    pub fn connection(&mut self, id: u64) -> Option<(&mut Connection, &mut Vec<Event>)> {
        let index = (id & 0xff_ffff) as usize;
        let connection = self.connections.get_mut(index)?.as_mut()?;
        if connection.id != id {
            return None;
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(index);
        }
        Some((connection, &mut self.events))
    }

    /// Begin a handshake with `peer` at `to`: the connection's number, 0 if it could not even begin. The
    /// outcome is an event under `token` either way.
    pub fn connect(&mut self, now: Instant, token: u64, to: SocketAddr, peer: &[u8; 32], alpn: &[u8]) -> u64 {
        self.try_connect(now, token, to, peer, alpn).unwrap_or_else(|reason| {
            self.events.push(Event::Closed {
                connection: 0,
                token: Some(token),
                kind: CloseKind::Failed,
                code: 0,
                reason,
            });
            0
        })
    }

    fn try_connect(
        &mut self,
        now: Instant,
        token: u64,
        to: SocketAddr,
        peer: &[u8; 32],
        alpn: &[u8],
    ) -> Result<u64, String> {
        if self.live >= self.options.connections_max {
            return Err("as many connections are open as are allowed".into());
        }
        let quic = if alpn == tls::ALPN_KONTINUUM {
            self.client_quic.clone()
        } else {
            let mut client = self.client.client.clone();
            client.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(QuicClientConfig::try_from(client).map_err(|error| error.to_string())?)
        };
        let mut config = ClientConfig::new(quic);
        config.transport_config(self.transport.clone());
        if let Some(ids) = &self.initial_ids {
            let ids = ids.clone();
            let draw = move || ids.lock().expect("nobody panics while drawing").draw(16);
            config.initial_dst_cid_provider(Arc::new(draw));
        }
        let name = tls::raw_key::name_of_key(peer);
        let (handle, quic) = self.endpoint.connect(now, config, to, &name).map_err(|error| error.to_string())?;
        Ok(self.insert(handle, quic, Some(token), to))
    }

    fn insert(
        &mut self,
        handle: ConnectionHandle,
        quic: noq_proto::Connection,
        token: Option<u64>,
        to: SocketAddr,
    ) -> u64 {
        self.serial += 1;
        let index = handle.0;
        assert!(index < 1 << 24, "connections_max is far below that");
        let id = self.serial << 24 | index as u64;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        let connection = Connection::new(quic, id, token, to, &self.options);
        self.connections[index] = Some(Box::new(connection));
        self.live += 1;
        self.touch(index);
        id
    }

    fn touch(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Receive up to `batches` from the socket. Returns whether there may be more.
    pub fn receive(&mut self, now: Instant, batches: usize) -> bool {
        let Some(mut socket) = self.socket.take() else { return false };
        let mut more = false;
        for _ in 0..batches {
            more = socket.receive(|datagram| {
                let Datagram { from, to, ecn, data } = datagram;
                self.input(now, from, to, ecn, data);
            });
            if !more {
                break;
            }
        }
        self.socket = Some(socket);
        // Retry, refusals and version negotiation answer a datagram while the socket is taken: send them now.
        for Outgoing { destination, source, datagrams } in std::mem::take(&mut self.outgoing) {
            for datagram in datagrams {
                let transmit =
                    Transmit { destination, ecn: None, size: datagram.len(), segment_size: None, src_ip: source };
                self.send(&transmit, &datagram);
            }
        }
        more
    }

    /// Take one datagram.
    pub fn input(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        data: BytesMut,
    ) {
        let initial = ClientInitial::parse(&data);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // Our own address is left out: a wildcard socket survives a change of it unnoticed.
        let _ = to;
        match self.endpoint.handle(now, FourTuple::new(from, None), ecn, data, &mut buffer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(connection)) = self.connections.get_mut(handle.0) {
                    connection.quic.handle_event(event);
                    self.touch(handle.0);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.on_incoming(now, incoming, initial, &mut buffer),
            Some(DatagramEvent::Response(transmit)) => self.send(&transmit, &buffer[..transmit.size]),
            None => {}
        }
        self.buffer = buffer;
    }

    fn on_incoming(&mut self, now: Instant, incoming: Incoming, initial: Option<ClientInitial>, buffer: &mut Vec<u8>) {
        let (from, proven) = (incoming.remote_address(), incoming.remote_address_validated());
        // Those that only wait to be forgotten take no place, unless they are as many again.
        let open = self.live.max(self.open_connections() / 2);
        let response = match self.admission.judge(now, from, proven, self.half_open, open) {
            Verdict::Accept => match self.endpoint.accept(incoming, now, buffer, None) {
                Ok((handle, quic)) => {
                    self.insert(handle, quic, None, from);
                    self.half_open += 1;
                    if let Some(Some(connection)) = self.connections.get_mut(handle.0) {
                        connection.half_open = Some(now + HANDSHAKE_MAX);
                        connection.handshake =
                            initial.map(|initial| Box::new(ServerHandshake { initial, source: None, proven }));
                    }
                    None
                }
                Err(error) => {
                    let (kind, code, reason) = end_of(&error.cause);
                    self.events.push(Event::Closed { connection: 0, token: None, kind, code, reason });
                    error.response
                }
            },
            Verdict::Retry => match self.endpoint.retry(incoming, buffer) {
                Ok(transmit) => Some(transmit),
                Err(error) => Some(self.endpoint.refuse(error.into_incoming(), buffer)),
            },
            Verdict::Refuse => Some(self.endpoint.refuse(incoming, buffer)),
            Verdict::Ignore => {
                self.endpoint.ignore(incoming);
                None
            }
        };
        if let Some(transmit) = response {
            self.send(&transmit, &buffer[..transmit.size]);
        }
    }

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
        if let Some(packet) = handshake.initial.close(&*self.server_crypto, source, code, &reason) {
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

    fn send(&mut self, transmit: &Transmit, contents: &[u8]) {
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

fn transport_config(options: &Options) -> Result<TransportConfig, Box<dyn Error + Send + Sync>> {
    let mut config = TransportConfig::default();
    let streams = VarInt::from_u32(options.streams_max);
    config
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(VarInt::from_u32(options.streams_max.saturating_add(1))) // and the control stream
        .max_idle_timeout(Some(options.idle_timeout.try_into()?))
        .keep_alive_interval(Some(options.keep_alive))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        .initial_rtt(options.initial_rtt);
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(options.mtu_max);
    config.mtu_discovery_config(Some(mtu));
    // BBR draws its probing times from the operating system and offers no seed: it would end every replay.
    if options.bbr && options.rng_seed.is_none() {
        config.congestion_controller_factory(Arc::new(congestion::Bbr3Config::default()));
    }
    if options.paths_max > 1 {
        config.max_concurrent_multipath_paths(options.paths_max);
    }
    if let Some(dir) = &options.qlog_dir {
        config.qlog_from_path(dir, "kontinuum");
    }
    Ok(config)
}
