//! Any stream of bytes, cut anywhere, gives the same pieces or the same violation as in one piece.

#![no_main]

use _native::engine::stream::{Received, RecvHalf, Violation};
use libfuzzer_sys::fuzz_target;

/// What a consumer sees: names, messages and credit in order, the bytes read, a whole call.
type Seen = (Vec<Received>, Vec<u8>, Vec<u8>, Option<Violation>);

fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut half = RecvHalf::inbound();
    let mut seen = Vec::new();
    let mut violation = None;
    for piece in pieces {
        let mut events = Vec::new();
        let result = half.push(piece.to_vec().into(), &mut events);
        seen.extend(events.into_iter().filter(|event| *event != Received::Readable));
        if let Err(found) = result {
            violation = Some(found);
            break;
        }
    }
    // Read at the end only: reading gives credit back, so doing it between pieces would be another run.
    let mut read = vec![0; half.readable()];
    half.read(&mut read);
    let whole = if violation.is_none() { half.take_whole().to_vec() } else { Vec::new() };
    (seen, read, whole, violation)
}

fuzz_target!(|data: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = feed(std::iter::once(stream));
    let split = feed(stream.chunks(1 + usize::from(*cut % 16)));
    assert_eq!(whole, split);
});
