//! `kontinuum._native.Endpoint`: the engine, driven from an event loop or by a simulator.
//!
//! With a socket: register `fileno()`, call `pump()` when it is readable, `flush()` after writes,
//! either when the delay that they return has passed. Without: `feed()` datagrams, then `drive()`.

use super::events;
use super::figures;
use super::guard::Guard;
use super::settings::{key, options, seconds};
use crate::engine::commands::{Readable, Refusal};
use crate::engine::connection::Connection;
use crate::engine::{Engine, Event, stream};
use crate::tls;
use bytes::{Bytes, BytesMut};
use pyo3::exceptions::{PyBrokenPipeError, PyBufferError, PyOSError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Batches received in one pump: more would only delay the loop (docs/performance.md).
const BATCHES: usize = 2;

/// Calls and replies after which what is queued is sent without waiting for the end of the loop's turn. At 50
/// calls in flight this lets both ends work at once instead of in turns (docs/performance.md).
const CALLS_PER_TRANSMIT: u32 = 16;

/// Writes from this size on are not copied.
const LARGE_WRITE_BYTES: usize = 16 * 1024;

/// Work is left over: pump again soon.
const MORE: u8 = 1;
/// The kernel's buffer is full: flush when the socket is writable.
const WANTS_WRITE: u8 = 2;

type Pumped<'py> = (Bound<'py, PyList>, Option<f64>, u8);
type Transmits<'py> = Vec<((String, u16), Vec<Bound<'py, PyBytes>>)>;

/// One identity's engine.
#[pyclass(module = "kontinuum._native", frozen)]
pub struct Endpoint {
    engine: Arc<Mutex<Engine>>,
    guard: Mutex<Option<Guard>>,
    base: Instant,
    /// Virtual time of an endpoint without a socket.
    virtual_now: Mutex<Option<Instant>>,
    /// Calls and replies since something was last sent.
    queued: AtomicU32,
}

impl Endpoint {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic in the engine poisons it; going on with half a state would be worse than failing.
        self.engine.lock().expect("the engine panicked")
    }

    fn now(&self) -> Instant {
        self.virtual_now.lock().expect("nobody panics with the clock").unwrap_or_else(Instant::now)
    }

    fn with<T>(&self, connection: u64, act: impl FnOnce(&mut Connection, &mut Vec<Event>) -> T) -> PyResult<T> {
        let mut engine = self.engine();
        let (connection, events) = engine.connection(connection).ok_or_else(gone)?;
        Ok(act(connection, events))
    }

    /// Send what calls and replies have queued every so often, so that the peer works on the first ones while
    /// Python makes the next; the flush that follows anyway hands over the events.
    fn transmit_some(&self) {
        if self.queued.fetch_add(1, Ordering::Relaxed) + 1 < CALLS_PER_TRANSMIT {
            return;
        }
        self.queued.store(0, Ordering::Relaxed);
        let mut engine = self.engine();
        if engine.socket.is_some() {
            engine.drive(Instant::now());
        }
    }

    /// Drive the engine without the interpreter lock, then hand its events over.
    fn run<'py>(&self, py: Python<'py>, receive: bool, idle: bool) -> PyResult<Pumped<'py>> {
        let now = Instant::now();
        if let Ok(guard) = self.guard.try_lock()
            && let Some(guard) = guard.as_ref()
        {
            guard.beat(now);
        }
        self.queued.store(0, Ordering::Relaxed);
        let (happened, delay, flags) = py.detach(|| {
            let mut engine = self.engine();
            let mut more = if receive {
                engine.active_wait.woke(now);
                engine.turn(now, BATCHES)
            } else {
                engine.drive(now)
            };
            if idle && !more && engine.events.is_empty() {
                more = engine.wait_actively(BATCHES);
            }
            let delay = engine.next_deadline().map(|at| at.saturating_duration_since(now).as_secs_f64());
            let wants_write = engine.socket.as_ref().is_some_and(|socket| socket.wants_write());
            let flags = if more { MORE } else { 0 } | if wants_write { WANTS_WRITE } else { 0 };
            (std::mem::take(&mut engine.events), delay, flags)
        });
        Ok((to_list(py, happened)?, delay, flags))
    }
}

fn to_list(py: Python<'_>, happened: Vec<Event>) -> PyResult<Bound<'_, PyList>> {
    let mut tuples = Vec::with_capacity(happened.len());
    for event in happened {
        tuples.push(events::to_tuple(py, event)?);
    }
    PyList::new(py, tuples)
}

fn gone() -> PyErr {
    PyBrokenPipeError::new_err("the connection is closed")
}

fn refused(refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Gone => PyBrokenPipeError::new_err("closed"),
        Refusal::Full => PyBufferError::new_err("too much waits for this peer"),
        Refusal::TooLarge => PyOverflowError::new_err("longer than allowed"),
        Refusal::OtherProtocol => PyValueError::new_err("the protocol of this connection has no such stream"),
    }
}

fn address(host: &str, port: u16) -> PyResult<SocketAddr> {
    let ip = host.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {host}")))?;
    Ok(SocketAddr::new(ip, port))
}

#[pymethods]
impl Endpoint {
    /// `bind`: `(host, port)`, or `None` for an endpoint without a socket whose time is virtual.
    #[new]
    #[pyo3(signature = (seed, bind=None, settings=None))]
    fn new(seed: &[u8], bind: Option<(String, u16)>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let options = options(settings)?;
        if bind.is_some() && options.rng_seed.is_some() {
            return Err(PyValueError::new_err("seeded randomness is for simulation, not for a socket"));
        }
        let bind = bind.map(|(host, port)| address(&host, port)).transpose()?;
        let engine =
            Engine::new(&key(seed)?, bind, options).map_err(|error| match error.downcast::<std::io::Error>() {
                Ok(error) => match error.raw_os_error() {
                    Some(number) => PyOSError::new_err((number, error.to_string())),
                    None => PyErr::from(*error),
                },
                Err(error) => PyRuntimeError::new_err(error.to_string()),
            })?;
        let base = Instant::now();
        let engine = Arc::new(Mutex::new(engine));
        let guard = bind.map(|_| Guard::start(engine.clone())).transpose()?;
        let virtual_now = Mutex::new(bind.is_none().then_some(base));
        Ok(Self { engine, guard: Mutex::new(guard), base, virtual_now, queued: AtomicU32::new(0) })
    }

    /// The identity that new handshakes show: 32 bytes.
    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.engine().public_key())
    }

    /// Show the identity of another seed in every handshake that begins from now on. Connections go on.
    fn set_identity(&self, seed: &[u8]) -> PyResult<()> {
        let seed = key(seed)?;
        self.engine().set_identity(&seed).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// The identity that we showed in the handshake of a connection: 32 bytes.
    fn shown<'py>(&self, py: Python<'py>, connection: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.with(connection, |connection, _| PyBytes::new(py, connection.shown()))
    }

    /// `(host, port)` of the socket.
    #[getter]
    fn local_address(&self) -> PyResult<(String, u16)> {
        let engine = self.engine();
        let socket = engine.socket.as_ref().ok_or_else(|| PyOSError::new_err("there is no socket"))?;
        let address = socket.local_address()?;
        Ok((address.ip().to_string(), address.port()))
    }

    /// Descriptors to watch for reading: the socket, and the guard's wake-up.
    fn filenos(&self) -> PyResult<(i32, i32)> {
        let guard = self.guard.lock().expect("nobody panics with the guard");
        let (engine, none) = (self.engine(), || PyOSError::new_err("there is no socket"));
        let socket = engine.socket.as_ref().ok_or_else(none)?;
        Ok((socket.fd(), guard.as_ref().ok_or_else(none)?.wake_fd()))
    }

    /// Receive, serve timers, transmit: `(events, delay until the next timer or None, flags)`. With events
    /// nothing is transmitted yet: handle them, then call `flush()`.
    fn pump<'py>(&self, py: Python<'py>) -> PyResult<Pumped<'py>> {
        self.run(py, true, false)
    }

    /// As `pump()`, but receives nothing; unless `idle`, the loop being about to sleep, and answers have been
    /// coming within `active_wait_s`.
    #[pyo3(signature = (idle=false))]
    fn flush<'py>(&self, py: Python<'py>, idle: bool) -> PyResult<Pumped<'py>> {
        self.run(py, false, idle)
    }

    /// Streams that we finished and whose end the peer has not acknowledged yet.
    fn unacknowledged(&self) -> usize {
        self.engine().unacknowledged()
    }

    /// The guard woke the loop: acknowledge, and say how often it had to step in.
    fn guard_acknowledge(&self) -> u64 {
        let guard = self.guard.lock().expect("nobody panics with the guard");
        guard.as_ref().map_or(0, |guard| {
            guard.clear();
            guard.activations()
        })
    }

    /// Stop the guard and give the socket back. Connections should have been closed before.
    fn shutdown(&self, py: Python<'_>) {
        let guard = self.guard.lock().expect("nobody panics with the guard").take();
        py.detach(|| drop(guard));
        self.engine().socket = None;
    }

    /// Without a socket: take one datagram from `(host, port)` at virtual second `now_s`.
    fn feed(&self, now_s: f64, data: &[u8], host: &str, port: u16) -> PyResult<()> {
        let now = self.advance(now_s)?;
        self.engine().input(now, address(host, port)?, None, None, BytesMut::from(data));
        Ok(())
    }

    /// Without a socket: serve timers at virtual second `now_s`:
    /// `(events, [((host, port), [datagram, ...]), ...], next deadline in virtual seconds or None)`.
    fn drive<'py>(&self, py: Python<'py>, now_s: f64) -> PyResult<(Bound<'py, PyList>, Transmits<'py>, Option<f64>)> {
        let now = self.advance(now_s)?;
        let mut engine = self.engine();
        while engine.drive(now) {}
        let happened = to_list(py, std::mem::take(&mut engine.events))?;
        let transmits = std::mem::take(&mut engine.outgoing).into_iter().map(|batch| {
            let to = (batch.destination.ip().to_string(), batch.destination.port());
            (to, batch.datagrams.iter().map(|datagram| PyBytes::new(py, datagram)).collect())
        });
        let transmits = transmits.collect();
        let deadline = engine.next_deadline().map(|at| at.saturating_duration_since(self.base).as_secs_f64());
        Ok((happened, transmits, deadline))
    }

    /// Begin a handshake: the connection's number, 0 if it could not begin. The outcome is an event under `token`.
    #[pyo3(signature = (token, host, port, peer, alpn=tls::ALPN_KONTINUUM))]
    fn connect(&self, token: u64, host: &str, port: u16, peer: &[u8], alpn: &[u8]) -> PyResult<u64> {
        let (to, peer, now) = (address(host, port)?, key(peer)?, self.now());
        Ok(self.engine().connect(now, token, to, &peer, alpn))
    }

    /// End a connection.
    fn close(&self, connection: u64, code: u32, reason: &str) -> PyResult<()> {
        let now = self.now();
        self.with(connection, |connection, events| connection.close(now, code, reason, events))
    }

    /// Send a request; the reply is an event under `token`.
    fn call(&self, connection: u64, token: u64, protocol: &[u8], timeout_ms: u64, body: &[u8]) -> PyResult<()> {
        let body = Bytes::copy_from_slice(body);
        self.with(connection, |connection, events| connection.call(token, protocol, timeout_ms, body, events))?
            .map_err(refused)?;
        self.transmit_some();
        Ok(())
    }

    /// The reply to `token` is no longer wanted.
    fn cancel(&self, connection: u64, token: u64) -> PyResult<()> {
        self.with(connection, |connection, _| connection.cancel(token))
    }

    /// Answer a call.
    fn reply(&self, connection: u64, stream: u64, status: u64, body: &[u8]) -> PyResult<()> {
        let body = Bytes::copy_from_slice(body);
        self.with(connection, |connection, events| connection.reply(stream, status, body, events))?.map_err(refused)?;
        self.transmit_some();
        Ok(())
    }

    /// Open a stream: its number, or `None` when an event under `token` will tell it.
    fn open(
        &self,
        connection: u64,
        token: u64,
        protocol: &[u8],
        messages: bool,
        bidirectional: bool,
    ) -> PyResult<Option<u64>> {
        self.with(connection, |connection, events| connection.open(token, messages, bidirectional, protocol, events))?
            .map_err(refused)
    }

    /// Open a raw stream, where libp2p is spoken; otherwise as `open()`.
    fn open_raw(&self, connection: u64, token: u64) -> PyResult<Option<u64>> {
        self.with(connection, |connection, events| connection.open_raw(token, events))?.map_err(refused)
    }

    /// Queue one write or one message: the bytes that are now queued.
    fn write(&self, connection: u64, stream: u64, data: PyBackedBytes) -> PyResult<usize> {
        // A large write keeps Python's object alive until the peer has acknowledged it, instead of a copy.
        let data = if data.len() < LARGE_WRITE_BYTES { Bytes::copy_from_slice(&data) } else { Bytes::from_owner(data) };
        self.with(connection, |connection, events| connection.write(stream, data, events))?.map_err(refused)
    }

    /// Ask for a WRITABLE event. False if there is room already.
    fn want_writable(&self, connection: u64, stream: u64) -> PyResult<bool> {
        self.with(connection, |connection, _| connection.want_writable(stream))
    }

    /// End our half after what is queued.
    fn finish(&self, connection: u64, stream: u64) -> PyResult<()> {
        self.with(connection, |connection, events| connection.finish(stream, events))
    }

    /// Give up our half.
    fn reset(&self, connection: u64, stream: u64, code: u32) -> PyResult<()> {
        self.with(connection, |connection, _| connection.reset(stream, code))
    }

    /// Refuse the peer's half.
    fn stop(&self, connection: u64, stream: u64, code: u32) -> PyResult<()> {
        self.with(connection, |connection, _| connection.stop(stream, code))
    }

    /// Up to `bytes_max` bytes of a stream of bytes or a raw one; `None` when nothing is there yet, `b""` at the end.
    fn read<'py>(
        &self,
        py: Python<'py>,
        connection: u64,
        stream: u64,
        bytes_max: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut engine = self.engine();
        let (connection, events) = engine.connection(connection).ok_or_else(gone)?;
        match connection.readable(stream).map_err(refused)? {
            Readable::Nothing => Ok(None),
            Readable::End => Ok(Some(PyBytes::new(py, b""))),
            Readable::Bytes(count) => {
                let read = |out: &mut [u8]| {
                    connection.read(stream, out, events);
                    Ok(())
                };
                PyBytes::new_with(py, count.min(bytes_max.max(1)), read).map(Some)
            }
        }
    }

    /// A message of `length` bytes was taken by its consumer.
    fn consume(&self, connection: u64, stream: u64, length: usize) -> PyResult<()> {
        self.with(connection, |connection, events| connection.consume(stream, length, events))
    }

    /// Send a datagram.
    fn send_datagram(&self, connection: u64, data: &[u8]) -> PyResult<()> {
        let data = Bytes::copy_from_slice(data);
        self.with(connection, |connection, _| connection.send_datagram(data))?.map_err(refused)
    }

    /// Open another path: its number.
    fn open_path(&self, connection: u64, host: &str, port: u16, backup: bool) -> PyResult<u32> {
        let (to, now) = (address(host, port)?, self.now());
        self.with(connection, |connection, _| connection.open_path(now, to, backup))?.map_err(PyOSError::new_err)
    }

    /// Prefer a path, or keep it in reserve.
    fn set_path_backup(&self, connection: u64, path: u32, backup: bool) -> PyResult<()> {
        self.with(connection, |connection, _| connection.set_path_backup(path, backup))?.map_err(PyOSError::new_err)
    }

    /// Give up a path.
    fn close_path(&self, connection: u64, path: u32) -> PyResult<()> {
        let now = self.now();
        self.with(connection, |connection, _| connection.close_path(now, path))?.map_err(PyOSError::new_err)
    }

    /// Derive `length` secret bytes that only both ends of this connection know.
    fn export_keying_material<'py>(
        &self,
        py: Python<'py>,
        connection: u64,
        label: &[u8],
        context: &[u8],
        length: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let export = |out: &mut [u8]| {
            self.with(connection, |connection, _| connection.export_keying_material(out, label, context))?
                .map_err(refused)
        };
        PyBytes::new_with(py, length, export)
    }

    /// Figures of a connection: `{"counts": [...], "held": n, "paths": [{...}]}`.
    fn statistics<'py>(&self, py: Python<'py>, connection: u64) -> PyResult<Bound<'py, PyDict>> {
        figures::of_connection(py, self.with(connection, |connection, _| connection.figures())?)
    }

    /// Figures of the endpoint, by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let activations = {
            let guard = self.guard.lock().expect("nobody panics with the guard");
            guard.as_ref().map_or(0, Guard::activations)
        };
        figures::of_endpoint(py, &self.engine(), activations)
    }

    /// Bytes queued on a stream at which a writer should wait.
    #[classattr]
    const SEND_HIGH_WATER_BYTES: usize = stream::SEND_HIGH_WATER_BYTES;

    /// Longest request, reply or message, in bytes.
    #[classattr]
    const MESSAGE_BYTES_MAX: usize = crate::engine::wire::MESSAGE_BYTES_MAX;

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let key: String = slf.get().engine().public_key()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("<Endpoint {key}>").into_pyobject(slf.py()).map(Bound::into_any).map_err(Into::into)
    }
}

impl Endpoint {
    fn advance(&self, now_s: f64) -> PyResult<Instant> {
        let mut virtual_now = self.virtual_now.lock().expect("nobody panics with the clock");
        let last =
            virtual_now.ok_or_else(|| PyRuntimeError::new_err("an endpoint with a socket lives in real time"))?;
        let now = self.base + seconds(now_s, "now_s")?;
        if now < last {
            return Err(PyValueError::new_err("time does not go backwards"));
        }
        *virtual_now = Some(now);
        Ok(now)
    }
}
