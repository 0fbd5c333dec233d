//! Any datagrams from strangers leave the engine standing, with no connection and next to nothing held.

#![no_main]

use _native::engine::initial_close::ClientInitial;
use _native::engine::{Engine, Event, Options};
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

fuzz_target!(|data: &[u8]| {
    let _ = ClientInitial::parse(data);
    let _ = ClientInitial::source_of(data);

    // The first byte of each part is its length: one input is a series of datagrams.
    let options = Options { rng_seed: Some([7; 32]), ..Options::default() };
    let mut engine = Engine::new(&[7; 32], None, options).expect("the options are good");
    let stranger = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 4433);
    let mut now = Instant::now();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(after.len().min(usize::from(*length) * 8));
        engine.input(now, stranger, None, None, datagram.into());
        engine.drive(now);
        engine.outgoing.clear();
        now += Duration::from_millis(5);
        rest = after;
    }
    assert!(engine.events.iter().all(|event| matches!(event, Event::Closed { token: None, .. })));
    assert!(engine.held() < 64 << 10);
});
