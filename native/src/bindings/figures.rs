//! The figures of a connection and of an endpoint, as Python's dictionaries.

use crate::engine::Engine;
use crate::engine::statistics::Figures;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// `{"counts": [...], "held": n, "paths": [{...}]}`
pub fn of_connection(py: Python<'_>, figures: Figures) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("counts", figures.counts.to_vec())?;
    out.set_item("held", figures.held)?;
    let mut paths = Vec::with_capacity(figures.paths.len());
    for path in figures.paths {
        let entry = PyDict::new(py);
        entry.set_item("path", path.path)?;
        entry.set_item("address", path.address.map(|to| (to.ip().to_string(), to.port())))?;
        entry.set_item("backup", path.backup)?;
        entry.set_item("rtt_s", path.rtt_s)?;
        entry.set_item("cwnd", path.cwnd)?;
        entry.set_item("counts", path.counts.to_vec())?;
        entry.set_item("mtu", path.mtu)?;
        paths.push(entry);
    }
    out.set_item("paths", paths)?;
    Ok(out)
}

/// Everything that is counted, by name.
pub fn of_endpoint<'py>(py: Python<'py>, engine: &Engine, guard_activations: u64) -> PyResult<Bound<'py, PyDict>> {
    let (admission, half_open) = engine.admission();
    let socket = engine.socket.as_ref().map_or([0; 4], |socket| socket.counters);
    let out = PyDict::new(py);
    out.set_item("connections", engine.open_connections())?;
    out.set_item("half_open", half_open)?;
    out.set_item("held_bytes", engine.held())?;
    out.set_item("handshakes_accepted", admission.accepted)?;
    out.set_item("handshakes_retried", admission.retried)?;
    out.set_item("handshakes_refused", admission.refused)?;
    out.set_item("handshakes_ignored", admission.ignored)?;
    out.set_item("datagrams_received", socket[0])?;
    out.set_item("receive_calls", socket[1])?;
    out.set_item("batches_sent", socket[2])?;
    out.set_item("batches_dropped", socket[3])?;
    let [waits, in_vain] = engine.active_wait.counters;
    out.set_item("active_waits", waits)?;
    out.set_item("active_waits_in_vain", in_vain)?;
    out.set_item("guard_activations", guard_activations)?;
    Ok(out)
}
