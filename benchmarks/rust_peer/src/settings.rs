//! What the command line can change about the engine, with the values of `kontinuum_peer.py` as defaults.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use noq::congestion::{Bbr3Config, ControllerFactory, CubicConfig, NewRenoConfig};
use noq::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use socket2::{Domain, Socket, Type};

use crate::Outcome;

/// Bytes asked of the kernel for each direction of the UDP socket; it may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Settings of the engine.
pub struct Settings {
    /// `bbr3`, `cubic` or `newreno`.
    pub congestion: String,
    /// Streams of each kind the other side may have open at once.
    pub max_streams: u32,
    /// Round trip assumed before the first measurement, in milliseconds.
    pub initial_rtt_ms: u64,
    /// Unread bytes the other side may send on one stream.
    pub stream_window: u32,
    /// Unread bytes the other side may send on one connection.
    pub connection_window: u32,
    /// Bytes of ours that may be sent and not yet acknowledged, per connection.
    pub send_window: u64,
    /// Prefer the post-quantum hybrid X25519MLKEM768.
    pub hybrid: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            congestion: "bbr3".into(),
            max_streams: 1024,
            initial_rtt_ms: 20,
            stream_window: 1_310_720,
            connection_window: 16 << 20,
            send_window: 8 << 20,
            hybrid: true,
        }
    }
}

impl Settings {
    /// Take `--name value` pairs out of `arguments`; what remains is positional.
    pub fn take_from(arguments: Vec<String>) -> Outcome<(Self, Vec<String>)> {
        let mut settings = Self::default();
        let mut positional = Vec::new();
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let Some(name) = argument.strip_prefix("--") else {
                positional.push(argument);
                continue;
            };
            let value = rest.next().ok_or_else(|| format!("--{name} needs a value"))?;
            match name {
                "congestion" => settings.congestion = value,
                "max-streams" => settings.max_streams = value.parse()?,
                "initial-rtt-ms" => settings.initial_rtt_ms = value.parse()?,
                "stream-window" => settings.stream_window = value.parse()?,
                "connection-window" => settings.connection_window = value.parse()?,
                "send-window" => settings.send_window = value.parse()?,
                "key-exchange" => {
                    settings.hybrid = match value.as_str() {
                        "hybrid" => true,
                        "x25519" => false,
                        _ => return Err("--key-exchange is hybrid or x25519".into()),
                    }
                }
                _ => return Err(format!("no option --{name}").into()),
            }
        }
        Ok((settings, positional))
    }

    /// Translate into what the engine takes.
    pub fn transport(&self) -> Outcome<Arc<TransportConfig>> {
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion.as_str() {
            "bbr3" => Arc::new(Bbr3Config::default()),
            "cubic" => Arc::new(CubicConfig::default()),
            "newreno" => Arc::new(NewRenoConfig::default()),
            other => return Err(format!("--congestion {other}: bbr3, cubic or newreno").into()),
        };
        let mut transport = TransportConfig::default();
        transport
            .congestion_controller_factory(congestion)
            .max_concurrent_bidi_streams(self.max_streams.into())
            .max_concurrent_uni_streams(self.max_streams.into())
            .initial_rtt(Duration::from_millis(self.initial_rtt_ms))
            .stream_receive_window(self.stream_window.into())
            .receive_window(self.connection_window.into())
            .send_window(self.send_window)
            .max_idle_timeout(Some(VarInt::from_u32(45_000).into()))
            .keep_alive_interval(Some(Duration::from_secs(15)));
        Ok(Arc::new(transport))
    }
}

/// Open an endpoint on `127.0.0.1:port`; port 0 lets the kernel choose.
pub fn open_endpoint(port: u16, server: Option<ServerConfig>) -> Outcome<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // A refusal is no failure: the kernel's own limit then decides, for every contestant alike.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let socket: UdpSocket = socket.into();
    Ok(Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?)
}
