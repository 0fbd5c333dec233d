//! An endpoint that goes over to another identity: what has begun goes on, what begins shows the new one.

mod raw;

use _native::engine::{Engine, Event, Options};
use _native::tls::{ALPN_KONTINUUM, ALPN_LIBP2P, raw_key};
use bytes::BytesMut;
use raw::{CLIENT_SEED, Raw, SERVER_SEED, engine};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const NEXT_SEED: [u8; 32] = [42; 32];

fn public(seed: &[u8; 32]) -> [u8; 32] {
    raw_key::configs(seed, false, None).unwrap().public
}

/// Two engines and the datagrams between them.
struct Pair {
    client: Engine,
    server: Engine,
    now: Instant,
}

impl Pair {
    fn new(change: impl Fn(&mut Options)) -> Self {
        let make = |seed, rng| {
            let mut options = Options { libp2p: true, rng_seed: Some([rng; 32]), ..Options::default() };
            change(&mut options);
            Engine::new(seed, None, options).unwrap()
        };
        Self { client: make(&CLIENT_SEED, 3), server: make(&SERVER_SEED, 4), now: Instant::now() }
    }

    fn addresses() -> (SocketAddr, SocketAddr) {
        ("192.0.2.2:1".parse().unwrap(), "192.0.2.1:1".parse().unwrap())
    }

    fn round(&mut self) {
        let (us, them) = Self::addresses();
        self.client.drive(self.now);
        for datagram in self.client.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
            self.server.input(self.now, us, None, None, BytesMut::from(&datagram[..]));
        }
        self.server.drive(self.now);
        for datagram in self.server.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
            self.client.input(self.now, them, None, None, BytesMut::from(&datagram[..]));
        }
        self.now += Duration::from_millis(5);
    }

    fn settle(&mut self) -> (Vec<Event>, Vec<Event>) {
        for _ in 0..20 {
            self.round();
        }
        (std::mem::take(&mut self.client.events), std::mem::take(&mut self.server.events))
    }

    /// The peer that each side has found, and whom each has shown to be.
    fn dial(&mut self, expected: &[u8; 32], alpn: &[u8]) -> [([u8; 32], [u8; 32]); 2] {
        self.client.connect(self.now, 1, Self::addresses().1, expected, alpn);
        let (ours, theirs) = self.settle();
        [found(&mut self.client, &ours), found(&mut self.server, &theirs)]
    }
}

fn found(engine: &mut Engine, events: &[Event]) -> ([u8; 32], [u8; 32]) {
    let connected = events.iter().find_map(|event| match event {
        Event::Connected { connection, peer, .. } => Some((*connection, *peer)),
        _ => None,
    });
    let (connection, peer) = connected.unwrap_or_else(|| panic!("{events:?}"));
    (peer, *engine.connection(connection).unwrap().0.shown())
}

#[test]
fn new_handshakes_show_the_new_identity_in_both_directions_and_protocols() {
    let (client, server, next) = (public(&CLIENT_SEED), public(&SERVER_SEED), public(&NEXT_SEED));
    for alpn in [ALPN_KONTINUUM, ALPN_LIBP2P] {
        let mut pair = Pair::new(|_| ());
        assert_eq!(pair.dial(&server, alpn), [(server, client), (client, server)]);
        pair.server.set_identity(&NEXT_SEED).unwrap();
        assert_eq!(*pair.server.public_key(), next);
        assert_eq!(pair.dial(&next, alpn), [(next, client), (client, next)], "who is dialled");

        let mut pair = Pair::new(|_| ());
        pair.client.set_identity(&NEXT_SEED).unwrap();
        assert_eq!(pair.dial(&server, alpn), [(server, next), (next, server)], "who dials");
    }
}

#[test]
fn who_dials_the_former_identity_is_told_that_another_one_answers() {
    for alpn in [ALPN_KONTINUUM, ALPN_LIBP2P] {
        let mut pair = Pair::new(|_| ());
        pair.server.set_identity(&NEXT_SEED).unwrap();
        pair.client.connect(pair.now, 1, Pair::addresses().1, &public(&SERVER_SEED), alpn);
        let (ours, _) = pair.settle();
        assert!(ours.iter().any(|event| matches!(event, Event::Closed { code: 0x12a, .. })), "{ours:?}");
    }
}

#[test]
fn a_connection_goes_on_and_is_what_it_was() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let connection = peer.connection();
    let mut before = [0; 32];
    engine.connection(connection).unwrap().0.export_keying_material(&mut before, b"label", b"").unwrap();

    engine.set_identity(&NEXT_SEED).unwrap();

    peer.honest_call_works(&mut engine);
    let mut after = [0; 32];
    engine.connection(connection).unwrap().0.export_keying_material(&mut after, b"label", b"").unwrap();
    assert_eq!(before, after);
    assert_eq!(*engine.connection(connection).unwrap().0.shown(), public(&SERVER_SEED));
    let mut newcomer = Raw::connected(&mut engine);
    newcomer.honest_call_works(&mut engine);
    peer.honest_call_works(&mut engine);
}

#[test]
fn a_handshake_that_is_under_way_ends_under_the_identity_it_began_with() {
    let mut pair = Pair::new(|_| ());
    let (client, server) = (public(&CLIENT_SEED), public(&SERVER_SEED));
    pair.client.connect(pair.now, 1, Pair::addresses().1, &server, ALPN_KONTINUUM);
    pair.client.drive(pair.now);
    let (us, _) = Pair::addresses();
    for datagram in pair.client.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
        pair.server.input(pair.now, us, None, None, BytesMut::from(&datagram[..]));
    }
    pair.client.set_identity(&NEXT_SEED).unwrap();
    pair.server.set_identity(&[43; 32]).unwrap();
    let (ours, theirs) = pair.settle();
    assert_eq!(found(&mut pair.client, &ours), (server, client));
    assert_eq!(found(&mut pair.server, &theirs), (client, server));
}

/// Addresses that were proven stay proven: the key of the tokens is not that of the identity.
#[test]
fn a_retry_token_of_before_is_taken_afterwards() {
    let mut pair = Pair::new(|options| {
        options.post_quantum = false; // A first flight of one packet.
        options.handshakes_per_ip_burst = 1.0;
        options.handshakes_per_ip_per_s = 0.1;
    });
    let (server, us) = (public(&SERVER_SEED), Pair::addresses().0);
    pair.dial(&server, ALPN_KONTINUUM);
    pair.client.connect(pair.now, 1, Pair::addresses().1, &server, ALPN_KONTINUUM);
    pair.round(); // The first packets, and the Retry.
    assert_eq!(pair.server.admission().0.retried, 1);
    pair.server.set_identity(&NEXT_SEED).unwrap();
    pair.client.drive(pair.now);
    for datagram in pair.client.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
        pair.server.input(pair.now, us, None, None, BytesMut::from(&datagram[..]));
    }
    let counters = pair.server.admission().0;
    assert_eq!((counters.accepted, counters.retried, counters.refused), (2, 1, 0));
}
