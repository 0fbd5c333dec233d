//! Any bytes are a whole ClientHello or not, and name the protocols it offers or none.

#![no_main]

use _native::tls::alpn::{is_whole, offered_alpns};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(names) = offered_alpns(data) {
        assert!(names.iter().map(|name| name.len()).sum::<usize>() <= data.len());
    }
    // More bytes never make a whole hello incomplete: the choice of a configuration is made once.
    if is_whole(data) {
        let mut longer = data.to_vec();
        longer.push(0);
        assert!(is_whole(&longer));
    }
});
