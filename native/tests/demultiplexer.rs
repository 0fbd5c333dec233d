//! Two forms of identity behind one socket: the ALPN chooses, also when the ClientHello needs two packets.

use _native::tls::alpn::Demultiplexer;
use _native::tls::raw_key::{Configs, configs, name_of_key};
use bytes::BytesMut;
use noq_proto::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use noq_proto::{
    ClientConfig, Connection, DatagramEvent, Endpoint, EndpointConfig, Event, FourTuple, ServerConfig, TransportConfig,
};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An identity that speaks `alpn` only.
fn speaking(seed: u8, alpn: &[u8], post_quantum: bool) -> Configs {
    let mut both = configs(&[seed; 32], post_quantum, None).unwrap();
    both.server.alpn_protocols = vec![alpn.to_vec()];
    both.client.alpn_protocols = vec![alpn.to_vec()];
    both
}

fn datagrams(connection: &mut Connection, now: Instant) -> Vec<BytesMut> {
    let (mut all, mut buffer) = (vec![], vec![]);
    while let Some(transmit) = connection.poll_transmit(now, NonZeroUsize::new(3).unwrap(), &mut buffer) {
        all.extend(buffer.chunks(transmit.segment_size.unwrap_or(transmit.size)).map(BytesMut::from));
        buffer.clear();
    }
    all
}

/// What the server negotiated with a client of `alpn`, and in how many packets the hello came.
fn negotiate(alpn: &[u8], server_seed: u8, post_quantum: bool) -> (Option<Vec<u8>>, usize) {
    let now = Instant::now();
    let (at, from): (SocketAddr, SocketAddr) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
    let choices = [(1u8, &b"one/1"[..]), (2, b"two/1"), (3, b"three/1")].map(|(seed, alpn)| {
        (alpn.to_vec(), Arc::new(QuicServerConfig::try_from(speaking(seed, alpn, true).server).unwrap()))
    });
    let server_config = ServerConfig::with_crypto(Arc::new(Demultiplexer::new(choices.to_vec())));
    let mut server = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(server_config)), true);
    let mut client = Endpoint::new(Arc::new(EndpointConfig::default()), None, true);
    let tls = speaking(9, alpn, post_quantum).client;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.initial_rtt(Duration::from_millis(20));
    config.transport_config(Arc::new(transport));
    let expected = configs(&[server_seed; 32], true, None).unwrap().public;
    let (_, mut ours) = client.connect(now, config, at, &name_of_key(&expected)).unwrap();
    let mut theirs: Option<Connection> = None;
    let mut packets = 0;
    let mut buffer = vec![];
    for round in 0..6 {
        for datagram in datagrams(&mut ours, now) {
            packets += usize::from(round == 0);
            match server.handle(now, FourTuple::new(from, None), None, datagram, &mut buffer) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    theirs = server.accept(incoming, now, &mut buffer, None).ok().map(|(_, connection)| connection);
                }
                Some(DatagramEvent::ConnectionEvent(_, event)) => theirs.as_mut().unwrap().handle_event(event),
                _ => {}
            }
        }
        let Some(theirs) = theirs.as_mut() else { return (None, packets) };
        for datagram in datagrams(theirs, now) {
            if let Some(DatagramEvent::ConnectionEvent(_, event)) =
                client.handle(now, FourTuple::new(at, None), None, datagram, &mut buffer)
            {
                ours.handle_event(event);
            }
        }
        while let Some(event) = theirs.poll() {
            if matches!(event, Event::Connected) {
                let data = theirs.crypto_session().handshake_data().unwrap().downcast::<HandshakeData>().unwrap();
                return (data.protocol, packets);
            }
        }
    }
    (None, packets)
}

#[test]
fn the_alpn_chooses_the_identity_however_long_the_hello() {
    for (post_quantum, packets) in [(true, 2), (false, 1)] {
        for (seed, alpn) in [(1, &b"one/1"[..]), (2, b"two/1"), (3, b"three/1")] {
            assert_eq!(negotiate(alpn, seed, post_quantum), (Some(alpn.to_vec()), packets));
            assert_eq!(negotiate(alpn, seed % 3 + 1, post_quantum).0, None, "that identity does not speak it");
        }
        assert_eq!(negotiate(b"four/1", 1, post_quantum), (None, packets));
    }
}
