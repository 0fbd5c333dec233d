//! Keeps connections alive while Python's loop is blocked.
//!
//! A thread that never takes the interpreter lock looks at a heartbeat. When the loop has not driven
//! the engine for [`BLOCKED_AFTER`], it receives, acknowledges and serves timers in its place; events
//! wait in the engine, and an eventfd wakes the loop for them when it returns.

use crate::engine::Engine;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A loop that has not driven its engine for this long is taken for blocked.
const BLOCKED_AFTER: Duration = Duration::from_millis(100);

/// Batches that the guard receives in one go: it shares the engine with a loop that may return any moment.
const BATCHES: usize = 2;

/// Events that may wait for a blocked loop; beyond it the guard only sends what is due, so that a
/// peer cannot fill the memory of a node whose handler hangs.
pub const EVENTS_WAITING_MAX: usize = 65_536;

struct Shared {
    engine: Arc<Mutex<Engine>>,
    base: Instant,
    beat_ms: AtomicU64,
    stop: AtomicBool,
    activations: AtomicU64,
    wake: OwnedFd,
}

/// The thread, stopped and joined when dropped.
pub struct Guard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    /// Watch over `engine`, which must have a socket.
    pub fn start(engine: Arc<Mutex<Engine>>) -> io::Result<Self> {
        // SAFETY: eventfd has no preconditions; its result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else owns it.
        let wake = unsafe { OwnedFd::from_raw_fd(fd) };
        let shared = Arc::new(Shared {
            engine,
            base: Instant::now(),
            beat_ms: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            activations: AtomicU64::new(0),
            wake,
        });
        let watched = shared.clone();
        let thread = std::thread::Builder::new().name("kontinuum-guard".into()).spawn(move || watch(&watched))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The loop is alive.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.shared.base);
        self.shared.beat_ms.store(since.as_millis() as u64, Ordering::Relaxed);
    }

    /// Readable when events wait.
    pub fn wake_fd(&self) -> RawFd {
        self.shared.wake.as_raw_fd()
    }

    /// The loop has seen the wake-up.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are read into eight bytes; a failure means there was nothing to clear.
        unsafe { libc::read(self.wake_fd(), (&raw mut count).cast(), 8) };
    }

    /// How often the guard had to step in.
    pub fn activations(&self) -> u64 {
        self.shared.activations.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // It cannot panic with anything of ours.
        }
    }
}

fn watch(shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(BLOCKED_AFTER / 2);
        let now = Instant::now();
        let silent = now.duration_since(shared.base).as_millis() as u64
            - shared.beat_ms.load(Ordering::Relaxed).min(now.duration_since(shared.base).as_millis() as u64);
        if u128::from(silent) < BLOCKED_AFTER.as_millis() {
            continue;
        }
        let Ok(mut engine) = shared.engine.try_lock() else { continue };
        let Some(socket) = engine.socket.as_ref() else { return };
        let due = engine.next_deadline().is_some_and(|at| at <= now);
        let readable = socket.is_readable() && engine.events.len() < EVENTS_WAITING_MAX;
        if !due && !readable && !engine.has_work() {
            continue;
        }
        if readable {
            engine.receive(now, BATCHES);
        }
        engine.drive(now);
        shared.activations.fetch_add(1, Ordering::Relaxed);
        if !engine.events.is_empty() {
            let one = 1u64;
            // SAFETY: eight bytes of ours are written; a full counter already wakes the loop.
            unsafe { libc::write(shared.wake.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }
}
