//! Any bytes are a request or malformed; what is read is written back to the same bytes.

#![no_main]

use _native::engine::wire::{
    PROTOCOL_NAME_BYTES_MAX, read_credit, read_reply, read_request, write_credit, write_request_header,
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(request) = read_request(&bytes) {
        assert!((1..=PROTOCOL_NAME_BYTES_MAX).contains(&request.protocol.len()));
        assert!(std::str::from_utf8(&request.protocol).is_ok());
        let mut again = Vec::new();
        write_request_header(&mut again, request.timeout_ms, &request.protocol);
        again.extend_from_slice(&request.body);
        // The first byte is the kind of the stream, which the parser does not see.
        assert_eq!(read_request(&Bytes::from(again).slice(1..)), Ok(request));
    }
    if let Ok((_, body)) = read_reply(&bytes) {
        assert!(body.len() < data.len());
    }
    if let Some((stream, consumed, length)) = read_credit(data) {
        assert!(length <= data.len());
        let mut again = Vec::new();
        write_credit(&mut again, stream, consumed);
        assert_eq!(read_credit(&again), Some((stream, consumed, again.len())));
    }
});
