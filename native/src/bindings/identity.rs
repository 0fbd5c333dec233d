//! Python's door to public-key checks, Ed25519 and proof of work.
//!
//! Trust: every argument may come from a stranger; a wrong length is a `ValueError`, never a panic.
//! The interpreter lock is released for whatever takes longer than a few microseconds.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::{point, pow};

/// Messages from this size on are signed and verified without the interpreter lock.
const LONG_MESSAGE_BYTES: usize = 16 * 1024;

/// Signatures that one call verifies at most: 100 ms of work. Our choice; beyond it: `ValueError`.
const VERIFY_MANY_MAX: usize = 4096;

/// `bytes` as an array, or a `ValueError` that names the argument.
fn exactly<const N: usize>(bytes: &[u8], name: &str) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{name} has {} bytes, not {N}", bytes.len())))
}

/// Raise `ValueError` unless `key` is the canonical encoding of a curve point of large order.
#[pyfunction]
fn check_public_key(key: &[u8]) -> PyResult<()> {
    point::check_public_key(key).map_err(|error| PyValueError::new_err(error.reason()))
}

/// The BLAKE3-256 hash of `data`.
#[pyfunction]
fn blake3_256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, blake3::hash(data).as_bytes())
}

/// The key pair of a 32-byte seed; its secret half is wiped when it is dropped (aws-lc does that).
fn key_pair(seed: &[u8]) -> PyResult<Ed25519KeyPair> {
    let seed: [u8; 32] = exactly(seed, "the seed")?;
    // The reason is left out on purpose: an error must not speak about a secret.
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| PyValueError::new_err("unusable seed"))
}

/// The public key of a 32-byte seed.
#[pyfunction]
fn ed25519_public_key<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, key_pair(seed)?.public_key().as_ref()))
}

/// The signature of `message` by the key of `seed`.
#[pyfunction]
fn ed25519_sign<'py>(py: Python<'py>, seed: &[u8], message: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let pair = key_pair(seed)?;
    let signature =
        if message.len() < LONG_MESSAGE_BYTES { pair.sign(message) } else { py.detach(|| pair.sign(message)) };
    Ok(PyBytes::new(py, signature.as_ref()))
}

/// Is `signature` that of `public_key` under `message`? Without the cofactor; never under a key that identifies nobody.
fn is_signed(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    point::is_fit_if_on_curve(public_key)
        && UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

/// Raise `ValueError` unless `signature` is `public_key`'s signature of `message` (without the cofactor).
#[pyfunction]
fn ed25519_verify(py: Python<'_>, public_key: &[u8], message: &[u8], signature: &[u8]) -> PyResult<()> {
    let right = if message.len() < LONG_MESSAGE_BYTES {
        is_signed(public_key, message, signature)
    } else {
        py.detach(|| is_signed(public_key, message, signature))
    };
    right.then_some(()).ok_or_else(|| PyValueError::new_err("the signature is wrong"))
}

/// For each `(public_key, message, signature)` whether `ed25519_verify` would accept it. The interpreter lock is
/// released once for the whole list, of at most `VERIFY_MANY_MAX` items.
#[pyfunction]
fn ed25519_verify_many(py: Python<'_>, items: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
    if items.len()? > VERIFY_MANY_MAX {
        return Err(PyValueError::new_err(format!("more than {VERIFY_MANY_MAX} signatures at once")));
    }
    // Python's bytes are shared, not copied; they are let go of under the lock again.
    let items: Vec<(PyBackedBytes, PyBackedBytes, PyBackedBytes)> = items.extract()?;
    Ok(py.detach(|| items.iter().map(|(key, message, signature)| is_signed(key, message, signature)).collect()))
}

/// Does `nonce` prove `difficulty` bits of work for `peer_id` in `network_id`?
#[pyfunction]
fn pow_verify(network_id: &[u8], peer_id: &[u8], nonce: u64, difficulty: u32) -> PyResult<bool> {
    let network_id = exactly(network_id, "the network id")?;
    Ok(pow::verify(&network_id, &exactly(peer_id, "the identity")?, nonce, difficulty))
}

/// A search for a proof of work on all cores, which begins at once and never holds the interpreter lock.
#[pyclass(module = "kontinuum._native", frozen)]
struct PowMiner {
    miner: pow::Miner,
}

#[pymethods]
impl PowMiner {
    /// Begin to search; `threads` 0 means one per core; nonces are tried from `start` on.
    #[new]
    #[pyo3(signature = (network_id, peer_id, difficulty, threads=0, start=0))]
    fn new(network_id: &[u8], peer_id: &[u8], difficulty: u32, threads: usize, start: u64) -> PyResult<Self> {
        let network_id = exactly(network_id, "the network id")?;
        let peer_id = exactly(peer_id, "the identity")?;
        let miner = pow::Miner::start(network_id, peer_id, difficulty, threads, start)
            .map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { miner })
    }

    /// `(done, nonce or None, hashes so far)`; done without a nonce means cancelled.
    fn poll(&self) -> (bool, Option<u64>, u64) {
        (self.miner.is_done(), self.miner.nonce(), self.miner.hashes())
    }

    /// Wait for the end of the search, at most `timeout_s` seconds (0 to a day); says whether it ended.
    fn wait(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        if !(0.0..=86_400.0).contains(&timeout_s) {
            return Err(PyValueError::new_err("wait 0 to 86400 seconds"));
        }
        Ok(py.detach(|| self.miner.wait(Duration::from_secs_f64(timeout_s))))
    }

    /// Stop the search and wait for its threads, which takes about a millisecond.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.miner.stop());
    }
}

/// Add this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(check_public_key, module)?)?;
    module.add_function(wrap_pyfunction!(blake3_256, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_public_key, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_sign, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_verify, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_verify_many, module)?)?;
    module.add("VERIFY_MANY_MAX", VERIFY_MANY_MAX)?;
    module.add_function(wrap_pyfunction!(pow_verify, module)?)?;
    module.add_class::<PowMiner>()
}
