//! What an endpoint speaks: the TLS configuration of each protocol, for dialling and for being dialled.

use super::options::Options;
use crate::tls::{self, alpn::Demultiplexer, raw_key::Configs};
use noq_proto::crypto;
use noq_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::KeyLog;
use std::error::Error;
use std::sync::Arc;

/// The protocols of one identity.
pub(super) struct Protocols {
    /// Who we are.
    pub public: [u8; 32],
    /// For all connections that we accept: the ALPN chooses.
    pub server: Arc<dyn crypto::ServerConfig>,
    kontinuum: Arc<QuicClientConfig>,
    libp2p: Option<Arc<QuicClientConfig>>,
    /// For protocols that a caller makes up, which nobody serves: the dialler learns so.
    template: rustls::ClientConfig,
}

impl Protocols {
    pub(super) fn new(seed: &[u8; 32], options: &Options) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let key_log = match &options.keylog_path {
            Some(path) => {
                let log = tls::key_log::KeyLogAt::open(path);
                let log = log.map_err(|error| format!("the key log {} cannot be written: {error}", path.display()))?;
                Some(Arc::new(log) as Arc<dyn KeyLog>)
            }
            None => None,
        };
        let Configs { client, server, public } = tls::raw_key::configs(seed, options.post_quantum, key_log.clone())?;
        let mut servers = vec![(tls::ALPN_KONTINUUM.to_vec(), Arc::new(QuicServerConfig::try_from(server)?))];
        let mut libp2p = None;
        if options.libp2p {
            let configs = tls::libp2p::configs(seed, options.post_quantum, key_log)?;
            servers.push((tls::ALPN_LIBP2P.to_vec(), Arc::new(QuicServerConfig::try_from(configs.server)?)));
            libp2p = Some(Arc::new(QuicClientConfig::try_from(configs.client)?));
        }
        Ok(Self {
            public,
            server: Arc::new(Demultiplexer::new(servers)),
            kontinuum: Arc::new(QuicClientConfig::try_from(client.clone())?),
            libp2p,
            template: client,
        })
    }

    /// The configuration with which to dial for `alpn`.
    pub(super) fn client(&self, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, String> {
        if alpn == tls::ALPN_KONTINUUM {
            return Ok(self.kontinuum.clone());
        }
        if alpn == tls::ALPN_LIBP2P {
            return self.libp2p.clone().ok_or_else(|| "libp2p is switched off at this endpoint".into());
        }
        let mut client = self.template.clone();
        client.alpn_protocols = vec![alpn.to_vec()];
        QuicClientConfig::try_from(client).map(Arc::new).map_err(|error| error.to_string())
    }
}
