//! A peer that writes whatever bytes it likes: noq-proto without the engine's manners, in memory, under virtual time.

#![allow(dead_code, reason = "each test uses a part of it")]

use _native::engine::{Engine, Event, Options};
use _native::tls::{libp2p, raw_key};
use bytes::{Bytes, BytesMut};
use noq_proto::crypto::rustls::QuicClientConfig;
use noq_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, FourTuple, StreamId,
    TransportConfig, VarInt,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const SERVER_SEED: [u8; 32] = [1; 32];
pub const CLIENT_SEED: [u8; 32] = [2; 32];

/// The address under which the engine sees the peer.
pub fn client_address() -> SocketAddr {
    "192.0.2.7:4433".parse().unwrap()
}

fn server_address() -> SocketAddr {
    "192.0.2.1:4433".parse().unwrap()
}

/// An engine with the manners that the tests attack.
pub fn engine(change: impl FnOnce(&mut Options)) -> Engine {
    let mut options = Options { rng_seed: Some([9; 32]), ..Options::default() };
    change(&mut options);
    Engine::new(&SERVER_SEED, None, options).unwrap()
}

/// The TLS configuration of an honest client with the identity of `seed`.
pub fn tls(seed: &[u8; 32]) -> rustls::ClientConfig {
    raw_key::configs(seed, true, None).unwrap().client
}

/// A raw client connected, or connecting, to an engine.
pub struct Raw {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    pub quic: Connection,
    pub now: Instant,
    /// What the engine told its floor above.
    pub seen: Vec<Event>,
    /// What our own transport said.
    pub events: Vec<noq_proto::Event>,
    to_us: VecDeque<Vec<u8>>,
}

impl Raw {
    /// Begin a handshake with `tls` and go on until nothing happens any more.
    pub fn dial(engine: &mut Engine, tls: rustls::ClientConfig) -> Self {
        Self::dial_with(engine, tls, |_| ())
    }

    /// As [`Self::dial`], with other settings of QUIC at our end.
    pub fn dial_with(
        engine: &mut Engine,
        tls: rustls::ClientConfig,
        change: impl FnOnce(&mut TransportConfig),
    ) -> Self {
        let expected = raw_key::name_of_key(engine.public_key());
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport.initial_rtt(Duration::from_millis(20)).max_concurrent_uni_streams(VarInt::from_u32(100));
        change(&mut transport);
        config.transport_config(Arc::new(transport));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true);
        let now = Instant::now();
        let (handle, quic) = endpoint.connect(now, config, server_address(), &expected).unwrap();
        let mut raw = Self { endpoint, handle, quic, now, seen: vec![], events: vec![], to_us: VecDeque::new() };
        raw.settle(engine);
        raw
    }

    /// A whole handshake of an honest identity.
    pub fn connected(engine: &mut Engine) -> Self {
        let raw = Self::dial(engine, tls(&CLIENT_SEED));
        assert!(raw.seen.iter().any(|event| matches!(event, Event::Connected { .. })), "{:?}", raw.seen);
        raw
    }

    /// A whole handshake of an honest identity by libp2p's certificates.
    pub fn connected_by_libp2p(engine: &mut Engine, change: impl FnOnce(&mut TransportConfig)) -> Self {
        let raw = Self::dial_with(engine, libp2p::configs(&CLIENT_SEED, true, None).unwrap().client, change);
        assert!(raw.seen.iter().any(|event| matches!(event, Event::Connected { .. })), "{:?}", raw.seen);
        raw
    }

    /// Put everything that we have to send into `packets`, which the engine has not received yet.
    pub fn transmit_into(&mut self, packets: &mut Vec<Vec<u8>>) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.quic.poll_transmit(self.now, NonZeroUsize::MIN, &mut buffer) {
            packets.push(buffer[..transmit.size].to_vec());
            buffer.clear();
        }
    }

    /// Exchange datagrams as long as there are any, without any time passing.
    pub fn exchange(&mut self, engine: &mut Engine) {
        while self.round(engine) {}
    }

    /// Exchange datagrams until both sides have nothing to say, then once more after delayed acknowledgements.
    pub fn settle(&mut self, engine: &mut Engine) {
        for _ in 0..4 {
            while self.round(engine) {}
            self.now += Duration::from_millis(30);
            self.quic.handle_timeout(self.now);
        }
    }

    /// Let `time` pass.
    pub fn pass(&mut self, engine: &mut Engine, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle(engine);
            self.now += Duration::from_millis(500);
        }
    }

    fn round(&mut self, engine: &mut Engine) -> bool {
        let mut active = false;
        let mut buffer = Vec::new();
        while let Some(event) = self.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(event);
            }
        }
        while let Some(transmit) = self.quic.poll_transmit(self.now, NonZeroUsize::MIN, &mut buffer) {
            engine.input(self.now, client_address(), None, None, BytesMut::from(&buffer[..transmit.size]));
            buffer.clear();
            active = true;
        }
        while engine.drive(self.now) {}
        self.seen.append(&mut engine.events);
        for batch in std::mem::take(&mut engine.outgoing) {
            self.to_us.extend(batch.datagrams);
        }
        while let Some(datagram) = self.to_us.pop_front() {
            active = true;
            let from = FourTuple::new(server_address(), None);
            let datagram = BytesMut::from(&datagram[..]);
            if let Some(DatagramEvent::ConnectionEvent(_, event)) =
                self.endpoint.handle(self.now, from, None, datagram, &mut buffer)
            {
                self.quic.handle_event(event);
            }
            buffer.clear();
        }
        while let Some(event) = self.quic.poll() {
            self.events.push(event);
        }
        active
    }

    /// Open a stream and write `bytes`, all of them or as many as flow control takes.
    pub fn write(&mut self, engine: &mut Engine, dir: Dir, bytes: &[u8], finish: bool) -> StreamId {
        let id = self.quic.streams().open(dir).expect("the engine allows another stream");
        self.write_on(engine, id, bytes);
        if finish {
            let _ = self.quic.send_stream(id).finish();
        }
        self.settle(engine);
        id
    }

    /// Write `bytes` on a stream, waiting for flow control; false once the engine refuses the stream.
    pub fn write_on(&mut self, engine: &mut Engine, id: StreamId, mut bytes: &[u8]) -> bool {
        for _ in 0..200 {
            match self.quic.send_stream(id).write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(noq_proto::WriteError::Blocked) => {}
                Err(_) => return false,
            }
            if bytes.is_empty() {
                return true;
            }
            self.settle(engine);
        }
        false
    }

    /// The code with which the engine stopped what we send on `id`.
    pub fn stopped(&self, id: StreamId) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            noq_proto::Event::Stream(noq_proto::StreamEvent::Stopped { id: other, error_code }) if *other == id => {
                Some(error_code.into_inner())
            }
            _ => None,
        })
    }

    /// Everything the engine sent on `id`, and whether it ended.
    pub fn read(&mut self, id: StreamId) -> (Vec<u8>, Result<bool, u64>) {
        let mut got = Vec::new();
        let mut stream = self.quic.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return (got, Ok(true)) };
        let end = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => got.extend_from_slice(&chunk.bytes),
                Ok(None) => break Ok(true),
                Err(noq_proto::ReadError::Blocked) => break Ok(false),
                Err(noq_proto::ReadError::Reset(code)) => break Err(code.into_inner()),
            }
        };
        let _ = chunks.finalize();
        (got, end)
    }

    /// Make an honest call on this connection, which the engine answers with what was asked.
    pub fn honest_call_works(&mut self, engine: &mut Engine) {
        let mut request = vec![];
        _native::engine::wire::write_request_header(&mut request, 1000, b"echo");
        request.extend_from_slice(b"still here?");
        let mark = self.seen.len();
        let id = self.write(engine, Dir::Bi, &request, true);
        let found = self.seen[mark..].iter().find_map(|event| match event {
            Event::Call { connection, stream, body, .. } => Some((*connection, *stream, body.clone())),
            _ => None,
        });
        let (connection, stream, body) = found.expect("the call arrives");
        assert_eq!(body, Bytes::from_static(b"still here?"));
        let (connection, events) = engine.connection(connection).unwrap();
        connection.reply(stream, 0, body, events).unwrap();
        self.settle(engine);
        assert_eq!(self.read(id), (b"\0still here?".to_vec(), Ok(true)));
    }

    /// The code and reason with which the engine's transport ended our connection.
    pub fn closed_by_engine(&self) -> Option<(u64, String)> {
        self.events.iter().find_map(|event| match event {
            noq_proto::Event::ConnectionLost { reason: noq_proto::ConnectionError::ConnectionClosed(close) } => {
                Some((close.error_code.into(), String::from_utf8_lossy(&close.reason).into_owned()))
            }
            _ => None,
        })
    }

    /// How the engine saw a connection end.
    pub fn engine_saw_end(&self) -> Option<(_native::engine::event::CloseKind, u64, String)> {
        self.seen.iter().find_map(|event| match event {
            Event::Closed { kind, code, reason, .. } => Some((*kind, *code, reason.clone())),
            _ => None,
        })
    }

    /// The engine's number of the only connection.
    pub fn connection(&self) -> u64 {
        self.seen
            .iter()
            .find_map(|event| match event {
                Event::Connected { connection, .. } => Some(*connection),
                _ => None,
            })
            .expect("connected")
    }
}
