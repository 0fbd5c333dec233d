//! Python's door to this floor: `kontinuum._native`.

mod endpoint;
mod events;
mod guard;
mod hash;
mod identity;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    identity::register(module)?;
    hash::register(module)?;
    events::register(module)?;
    module.add_class::<endpoint::Endpoint>()
}
