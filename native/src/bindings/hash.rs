//! BLAKE3 for files: fed in pieces, without the interpreter lock.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Pieces from this size on are hashed without the interpreter lock, in bytes.
const LONG_PIECE_BYTES: usize = 16 * 1024;

/// A BLAKE3-256 hash in progress.
#[pyclass(module = "kontinuum._native")]
struct Blake3 {
    hasher: blake3::Hasher,
}

#[pymethods]
impl Blake3 {
    /// Begin with nothing hashed.
    #[new]
    fn new() -> Self {
        Self { hasher: blake3::Hasher::new() }
    }

    /// Hash `data` after what came before.
    fn update(&mut self, py: Python<'_>, data: &[u8]) {
        if data.len() < LONG_PIECE_BYTES {
            self.hasher.update(data);
        } else {
            py.detach(|| self.hasher.update(data));
        }
    }

    /// The hash of everything so far: 32 bytes.
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.hasher.finalize().as_bytes())
    }

    /// An independent copy of the hash in progress.
    fn copy(&self) -> Self {
        Self { hasher: self.hasher.clone() }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Blake3>()
}
