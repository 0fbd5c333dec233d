//! Python's door to this floor: `kontinuum._native`.

mod endpoint;
mod events;
mod figures;
mod guard;
mod hash;
mod identity;
mod settings;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    identity::register(module)?;
    hash::register(module)?;
    events::register(module)?;
    module.add_class::<endpoint::Endpoint>()
}
