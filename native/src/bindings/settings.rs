//! The settings of an endpoint, from Python's names.

use crate::engine::Options;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::time::Duration;

/// A duration, or a `ValueError` that names the setting.
pub fn seconds(value: f64, name: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| PyValueError::new_err(format!("{name} is no duration")))
}

/// The options that `settings` change; what they do not name keeps its default.
pub fn options(settings: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
    let mut options = Options::default();
    for (name, value) in settings.into_iter().flatten() {
        let name: String = name.extract()?;
        match name.as_str() {
            "accept" => options.accept = value.extract()?,
            "post_quantum" => options.post_quantum = value.extract()?,
            "bbr" => options.bbr = value.extract()?,
            "libp2p" => options.libp2p = value.extract()?,
            "raw_buffer_max" => options.raw_buffer_max = value.extract()?,
            "streams_max" => options.streams_max = value.extract()?,
            "idle_timeout_s" => options.idle_timeout = seconds(value.extract()?, &name)?,
            "keep_alive_s" => options.keep_alive = seconds(value.extract()?, &name)?,
            "connections_max" => options.connections_max = value.extract()?,
            "half_open_max" => options.half_open_max = value.extract()?,
            "handshakes_per_ip_per_s" => options.handshakes_per_ip_per_s = value.extract()?,
            "handshakes_per_ip_burst" => options.handshakes_per_ip_burst = value.extract()?,
            "connection_buffer_max" => options.connection_buffer_max = value.extract()?,
            "paths_max" => options.paths_max = value.extract()?,
            "path_idle_s" => options.path_idle = seconds(value.extract()?, &name)?,
            "path_keep_alive_s" => options.path_keep_alive = seconds(value.extract()?, &name)?,
            "initial_rtt_s" => options.initial_rtt = seconds(value.extract()?, &name)?,
            "active_wait_s" => options.active_wait = seconds(value.extract()?, &name)?,
            "gso_segments_max" => options.gso_segments_max = value.extract()?,
            "mtu_max" => options.mtu_max = value.extract()?,
            "qlog_dir" => options.qlog_dir = value.extract::<Option<PathBuf>>()?,
            "keylog_path" => options.keylog_path = value.extract::<Option<PathBuf>>()?,
            "rng_seed" => options.rng_seed = Some(key(value.extract()?)?),
            _ => return Err(PyValueError::new_err(format!("no such setting: {name}"))),
        }
    }
    Ok(options)
}

/// A public key or a seed.
pub fn key(bytes: &[u8]) -> PyResult<[u8; 32]> {
    bytes.try_into().map_err(|_| PyValueError::new_err("a key has 32 bytes"))
}
