//! All connections of one identity: how they begin, and what arrives for them ([`super::drive`] makes them go).

use super::active_wait::ActiveWait;
use super::admission::{Admission, Verdict};
use super::connection::{Connection, PathTimes, ServerHandshake, end_of};
use super::event::{CloseKind, Event};
use super::initial_close::ClientInitial;
use super::options::Options;
use super::protocols::Protocols;
use super::random::SeededCids;
use super::socket::{Datagram, Socket};
use super::transport::transport_config;
use crate::tls;
use aws_lc_rs::hmac;
use bytes::BytesMut;
use noq_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, FourTuple,
    HashedConnectionIdGenerator, Incoming, ServerConfig, Transmit, TransportConfig,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An accepted handshake that is not done by then is given up, so that clients which begin and never end
/// hold few places. Our choice: as long as a patient dialler waits.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

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
    pub(super) endpoint: noq_proto::Endpoint,
    pub(super) connections: Vec<Option<Box<Connection>>>,
    pub(super) serial: u64,
    pub(super) epoch: Option<Instant>,
    pub(super) dirty: Vec<usize>,
    pub(super) timers: BTreeSet<(Instant, usize)>,
    pub(super) protocols: Protocols,
    /// What accepts handshakes, if anything does. Kept, since a change of identity replaces its keys only.
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) transport: Arc<TransportConfig>,
    pub(super) initial_ids: Option<Arc<Mutex<SeededCids>>>,
    pub(super) admission: Admission,
    pub(super) half_open: usize,
    /// Connections that are not closed.
    pub(super) live: usize,
    pub(super) paths: PathTimes,
    /// Whether to look at the socket for a moment before the loop sleeps.
    pub active_wait: ActiveWait,
    pub(super) options: Options,
    pub(super) buffer: Vec<u8>,
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
        let protocols = Protocols::new(seed, &options)?;
        let transport = Arc::new(transport_config(&options)?);
        let socket = bind.map(|address| Socket::bind(address, options.mtu_max)).transpose()?;
        let mut endpoint_config = endpoint_config(seed);
        endpoint_config.grease_quic_bit(false); // The first byte tells QUIC from relay frames.
        endpoint_config.max_udp_payload_size(options.mtu_max.max(1472))?;
        endpoint_config.rng_seed(options.rng_seed);
        let initial_ids = options.rng_seed.map(|mut seed| {
            endpoint_config.cid_generator(Arc::new(move || Box::new(SeededCids::new(seed))));
            seed[0] ^= 0x5a; // Another sequence than that of our own ids.
            Arc::new(Mutex::new(SeededCids::new(seed)))
        });
        let server = options.accept.then(|| {
            let mut server = ServerConfig::with_crypto(protocols.server.clone());
            server.transport_config(transport.clone());
            Arc::new(server)
        });
        let allow_mtud = socket.as_ref().is_none_or(|socket| !socket.may_fragment());
        Ok(Self {
            endpoint: noq_proto::Endpoint::new(Arc::new(endpoint_config), server.clone(), allow_mtud),
            connections: Vec::new(),
            serial: 0,
            epoch: None,
            dirty: Vec::new(),
            timers: BTreeSet::new(),
            protocols,
            server,
            transport,
            initial_ids,
            admission: Admission::new(&options),
            half_open: 0,
            live: 0,
            active_wait: ActiveWait::new(options.active_wait, cores()),
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
        &self.protocols.public
    }

    /// Show the identity of `seed` in every handshake that begins from now on, made or accepted.
    ///
    /// Connections, handshakes that are under way and Retry tokens go on as they are: the key that protects tokens
    /// belongs to the endpoint, as do the numbers by which it recognises its connections. Nothing can be resumed under
    /// another identity, since nothing is ever resumed here (`tls::raw_key`, `tls::libp2p`: no tickets).
    pub fn set_identity(&mut self, seed: &[u8; 32]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let protocols = Protocols::new(seed, &self.options)?;
        if let Some(server) = &mut self.server {
            let mut replaced = ServerConfig::clone(server);
            replaced.crypto = protocols.server.clone();
            *server = Arc::new(replaced);
            self.endpoint.set_server_config(Some(server.clone()));
        }
        self.protocols = protocols;
        Ok(())
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
        let mut config = ClientConfig::new(self.protocols.client(alpn)?);
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
        let connection = Connection::new(quic, id, token, to, self.protocols.public, &self.options);
        self.connections[index] = Some(Box::new(connection));
        self.live += 1;
        self.touch(index);
        id
    }

    pub(super) fn touch(&mut self, index: usize) {
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
        let size = data.len();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // Our own address is left out: a wildcard socket survives a change of it unnoticed.
        let _ = to;
        match self.endpoint.handle(now, FourTuple::new(from, None), ecn, data, &mut buffer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(connection)) = self.connections.get_mut(handle.0) {
                    connection.quic.handle_event(event);
                    if connection.arrived(size) {
                        connection.poll(now, &self.paths, &mut self.events);
                    }
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
}

/// Cores of the machine, whichever of them this process may use: the peer may have the others.
fn cores() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
}

/// A node that restarts with the same key recognises the connections of its former life, and tells their
/// peers at once that they are over (stateless reset, RFC 9000, section 10.3.2).
fn endpoint_config(seed: &[u8; 32]) -> EndpointConfig {
    let reset = blake3::derive_key("kontinuum stateless reset v1", seed);
    let ids = blake3::derive_key("kontinuum connection ids v1", seed);
    let ids = u64::from_le_bytes(*ids.first_chunk().expect("32 bytes have eight"));
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    config.cid_generator(Arc::new(move || Box::new(HashedConnectionIdGenerator::from_key(ids))));
    config
}
