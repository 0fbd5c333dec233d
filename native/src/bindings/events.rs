//! Events as Python sees them: tuples whose first member says which.

use crate::engine::Event;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// `(REPLY, token, status, body)`
pub const REPLY: u8 = 1;
/// `(CALL, connection, stream, protocol, timeout_ms, body)`
pub const CALL: u8 = 2;
/// `(READABLE, connection, stream)`
pub const READABLE: u8 = 3;
/// `(MESSAGE, connection, stream, body)`
pub const MESSAGE: u8 = 4;
/// `(WRITABLE, connection, stream)`
pub const WRITABLE: u8 = 5;
/// `(CALL_FAILED, token, code)`
pub const CALL_FAILED: u8 = 6;
/// `(OPENED, connection, stream, token)`
pub const OPENED: u8 = 7;
/// `(ACCEPTED, connection, stream, messages, bidirectional, protocol)`
pub const ACCEPTED: u8 = 8;
/// `(FINISHED, connection, stream)`
pub const FINISHED: u8 = 9;
/// `(WAS_RESET, connection, stream, code)`
pub const WAS_RESET: u8 = 10;
/// `(STOPPED, connection, stream, code)`
pub const STOPPED: u8 = 11;
/// `(DATAGRAM, connection, data)`
pub const DATAGRAM: u8 = 12;
/// `(CONNECTED, connection, token | None, peer, alpn, key_exchange, host, port)`
pub const CONNECTED: u8 = 13;
/// `(CLOSED, connection, token | None, kind, code, reason)`
pub const CLOSED: u8 = 14;
/// `(PATH, connection, path, change, (host, port) | None)`
pub const PATH: u8 = 15;

/// `(ACCEPTED_RAW, connection, stream)`
pub const ACCEPTED_RAW: u8 = 16;
/// `(OVERFLOWED, connection, stream)`
pub const OVERFLOWED: u8 = 17;

/// Turn one event into its tuple.
pub fn to_tuple<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    let bytes = |data: &[u8]| PyBytes::new(py, data);
    match event {
        Event::Reply { token, status, body } => (REPLY, token, status, bytes(&body)).into_pyobject(py),
        Event::Call { connection, stream, protocol, timeout_ms, body } => {
            (CALL, connection, stream, bytes(&protocol), timeout_ms, bytes(&body)).into_pyobject(py)
        }
        Event::Readable { connection, stream } => (READABLE, connection, stream).into_pyobject(py),
        Event::Message { connection, stream, body } => (MESSAGE, connection, stream, bytes(&body)).into_pyobject(py),
        Event::Writable { connection, stream } => (WRITABLE, connection, stream).into_pyobject(py),
        Event::CallFailed { token, code } => (CALL_FAILED, token, code).into_pyobject(py),
        Event::Opened { connection, stream, token } => (OPENED, connection, stream, token).into_pyobject(py),
        Event::Accepted { connection, stream, messages, bidirectional, protocol } => {
            (ACCEPTED, connection, stream, messages, bidirectional, bytes(&protocol)).into_pyobject(py)
        }
        Event::AcceptedRaw { connection, stream } => (ACCEPTED_RAW, connection, stream).into_pyobject(py),
        Event::Overflowed { connection, stream } => (OVERFLOWED, connection, stream).into_pyobject(py),
        Event::Finished { connection, stream } => (FINISHED, connection, stream).into_pyobject(py),
        Event::WasReset { connection, stream, code } => (WAS_RESET, connection, stream, code).into_pyobject(py),
        Event::Stopped { connection, stream, code } => (STOPPED, connection, stream, code).into_pyobject(py),
        Event::Datagram { connection, data } => (DATAGRAM, connection, bytes(&data)).into_pyobject(py),
        Event::Connected { connection, token, peer, alpn, key_exchange, address } => (
            CONNECTED,
            connection,
            token,
            bytes(&peer),
            bytes(&alpn),
            key_exchange,
            address.ip().to_string(),
            address.port(),
        )
            .into_pyobject(py),
        Event::Closed { connection, token, kind, code, reason } => {
            (CLOSED, connection, token, kind as u8, code, reason).into_pyobject(py)
        }
        Event::Path { connection, path, change, address } => {
            let address = address.map(|address| (address.ip().to_string(), address.port()));
            (PATH, connection, path, change as u8, address).into_pyobject(py)
        }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for (name, value) in [
        ("REPLY", REPLY),
        ("CALL", CALL),
        ("READABLE", READABLE),
        ("MESSAGE", MESSAGE),
        ("WRITABLE", WRITABLE),
        ("CALL_FAILED", CALL_FAILED),
        ("OPENED", OPENED),
        ("ACCEPTED", ACCEPTED),
        ("FINISHED", FINISHED),
        ("WAS_RESET", WAS_RESET),
        ("STOPPED", STOPPED),
        ("DATAGRAM", DATAGRAM),
        ("CONNECTED", CONNECTED),
        ("CLOSED", CLOSED),
        ("PATH", PATH),
        ("ACCEPTED_RAW", ACCEPTED_RAW),
        ("OVERFLOWED", OVERFLOWED),
    ] {
        module.add(name, value)?;
    }
    Ok(())
}
