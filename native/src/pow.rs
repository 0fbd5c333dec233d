//! Proof of work that binds an identity to a network.
//!
//! A nonce is a proof when BLAKE3-256 of
//! `"kontinuum/pow/v1\0" || network id (32) || identity (32) || nonce (u64, little-endian)` begins with at least
//! `difficulty` zero bits, counted from the first byte's highest bit.
//!
//! Bounds: one thread per core, each with a few kB; no allocation per hash. Nonces are tried once each: thread
//! `i` of `n` takes i, i + n, i + 2n and so on, from a start that the caller chooses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Domain separation: no other BLAKE3 input of ours begins with these bytes.
const DOMAIN: &[u8; 17] = b"kontinuum/pow/v1\0";

/// Bytes that are hashed for one nonce.
const INPUT_BYTES: usize = DOMAIN.len() + 32 + 32 + 8;

/// Where the nonce begins in them.
const NONCE_AT: usize = INPUT_BYTES - 8;

/// Hashes between two looks at the shared flags: below a millisecond of work.
const BATCH: u64 = 4096;

/// Most threads that one miner starts, whatever is asked for.
pub const THREADS_MAX: usize = 256;

/// What is hashed, with room for the nonce.
fn input(network_id: &[u8; 32], peer_id: &[u8; 32]) -> [u8; INPUT_BYTES] {
    let mut input = [0; INPUT_BYTES];
    input[..DOMAIN.len()].copy_from_slice(DOMAIN);
    input[DOMAIN.len()..DOMAIN.len() + 32].copy_from_slice(network_id);
    input[DOMAIN.len() + 32..NONCE_AT].copy_from_slice(peer_id);
    input
}

/// Leading zero bits of the hash with this nonce.
fn work(input: &mut [u8; INPUT_BYTES], nonce: u64) -> u32 {
    input[NONCE_AT..].copy_from_slice(&nonce.to_le_bytes());
    let mut bits = 0;
    for byte in blake3::hash(input).as_bytes() {
        bits += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    bits
}

/// Does `nonce` prove at least `difficulty` bits of work for this identity in this network?
pub fn verify(network_id: &[u8; 32], peer_id: &[u8; 32], nonce: u64, difficulty: u32) -> bool {
    work(&mut input(network_id, peer_id), nonce) >= difficulty
}

/// What the threads of one miner share.
struct Shared {
    stop: AtomicBool,
    nonce: OnceLock<u64>,
    hashes: AtomicU64,
    running: Mutex<usize>,
    ended: Condvar,
}

/// A lock's content; one poisoned by a panic elsewhere still guards valid state here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A search on several threads, which can be watched and stopped; dropping it stops it.
pub struct Miner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Miner {
    /// Begin to search at nonce `start`; `threads` 0 means one per core.
    pub fn start(
        network_id: [u8; 32],
        peer_id: [u8; 32],
        difficulty: u32,
        threads: usize,
        start: u64,
    ) -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = if threads == 0 { cores } else { threads }.clamp(1, THREADS_MAX);
        let miner = Self {
            shared: Arc::new(Shared {
                stop: AtomicBool::new(false),
                nonce: OnceLock::new(),
                hashes: AtomicU64::new(0),
                running: Mutex::new(0),
                ended: Condvar::new(),
            }),
            threads: Mutex::new(Vec::with_capacity(count)),
        };
        for index in 0..count as u64 {
            let shared = Arc::clone(&miner.shared);
            let input = input(&network_id, &peer_id);
            let first = start.wrapping_add(index);
            *lock(&miner.shared.running) += 1;
            let thread = thread::Builder::new().name(format!("kontinuum-pow-{index}")).spawn(move || {
                search(&shared, input, difficulty, first, count as u64);
                *lock(&shared.running) -= 1;
                shared.ended.notify_all();
            });
            match thread {
                Ok(thread) => lock(&miner.threads).push(thread),
                Err(error) => {
                    *lock(&miner.shared.running) -= 1;
                    // One thread is enough to go on, more slowly; none at all is an error.
                    if index == 0 {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(miner)
    }

    /// The proof, once there is one.
    pub fn nonce(&self) -> Option<u64> {
        self.shared.nonce.get().copied()
    }

    /// Has the search ended, with a proof or by `cancel`?
    pub fn is_done(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    /// Hashes tried so far, to within a batch per thread.
    pub fn hashes(&self) -> u64 {
        self.shared.hashes.load(Ordering::Relaxed)
    }

    /// Tell the threads to stop; returns at once. A proof that is found already stays found.
    pub fn cancel(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Wait for the search to end, but no longer than `timeout`; says whether it ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut running = lock(&self.shared.running);
        while *running > 0 {
            let left = deadline.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let (guard, _) = self.shared.ended.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner);
            running = guard;
        }
        true
    }

    /// Stop the search and wait for its threads, which takes about a millisecond.
    pub fn stop(&self) {
        self.cancel();
        for thread in lock(&self.threads).drain(..) {
            // A thread of ours cannot panic; if one did, the others' result still counts.
            let _ = thread.join();
        }
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One thread's part of the search.
fn search(shared: &Shared, mut input: [u8; INPUT_BYTES], difficulty: u32, first: u64, step: u64) {
    let mut nonce = first;
    while !shared.stop.load(Ordering::Acquire) {
        for tried in 1..=BATCH {
            if work(&mut input, nonce) >= difficulty {
                shared.hashes.fetch_add(tried, Ordering::Relaxed);
                // The first finder writes; a second one found an equally good proof, which nobody needs.
                let _ = shared.nonce.set(nonce);
                shared.stop.store(true, Ordering::Release);
                return;
            }
            nonce = nonce.wrapping_add(step);
        }
        shared.hashes.fetch_add(BATCH, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{INPUT_BYTES, Miner, input, verify, work};

    #[test]
    fn the_input_is_laid_out_as_published() {
        let bytes = input(&[1; 32], &[2; 32]);
        assert_eq!(INPUT_BYTES, 89);
        assert_eq!(&bytes[..17], b"kontinuum/pow/v1\0");
        assert_eq!(&bytes[17..49], &[1; 32]);
        assert_eq!(&bytes[49..81], &[2; 32]);
        assert_eq!(&bytes[81..], &[0; 8]);
    }

    #[test]
    fn a_mined_proof_verifies_and_only_for_its_identity_and_network() {
        for threads in [0, 1, 3] {
            let miner = Miner::start([1; 32], [2; 32], 16, threads, 0).unwrap();
            assert!(miner.wait(Duration::from_secs(60)));
            let nonce = miner.nonce().unwrap();
            assert!(verify(&[1; 32], &[2; 32], nonce, 16));
            assert!(!verify(&[1; 32], &[3; 32], nonce, 16));
            assert!(!verify(&[3; 32], &[2; 32], nonce, 16));
            assert!(miner.hashes() > 0);
        }
    }

    #[test]
    fn the_difficulty_counts_leading_zero_bits_exactly() {
        let mut bytes = input(&[1; 32], &[2; 32]);
        for nonce in 0..1000 {
            let bits = work(&mut bytes, nonce);
            assert!(verify(&[1; 32], &[2; 32], nonce, bits));
            assert!(!verify(&[1; 32], &[2; 32], nonce, bits + 1));
        }
    }

    #[test]
    fn a_hopeless_search_can_be_cancelled() {
        let miner = Miner::start([1; 32], [2; 32], 256, 2, u64::MAX).unwrap();
        assert!(!miner.is_done());
        assert!(!miner.wait(Duration::from_millis(1)));
        miner.cancel();
        assert!(miner.wait(Duration::MAX));
        miner.stop();
        assert!(miner.is_done());
        assert_eq!(miner.nonce(), None);
    }
}
