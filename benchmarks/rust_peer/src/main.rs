//! A peer for `benchmarks/transport.py` that has the engine of Kontinuum and nothing of Python.
//!
//! ```text
//! rust-peer serve PORT [--option value ...]      prints {"ready": true, "peers": ["ADDRESS/KEY"]}
//! rust-peer client ADDRESS/KEY [--option ...]    prints {"ready": true}, then obeys lines of its input:
//!     calls SECONDS IN_FLIGHT | bulk MEBIBYTES | handshakes SECONDS | idle COUNT
//! ```
//! Every command is answered by one line of JSON. Both end when their input ends, so that none outlives
//! the program that started it.

mod loads;
mod settings;
mod tls;

use std::io::{BufRead, Write};
use std::sync::Arc;

use noq::crypto::rustls::{QuicClientConfig, QuicServerConfig};

use loads::Target;
use settings::{Settings, open_endpoint};
use tls::Identity;

/// Whatever goes wrong here ends the program with its text.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Seeds of the two identities: known to all, as nothing here is secret.
const SERVER_SEED: [u8; 32] = [1; 32];
const CLIENT_SEED: [u8; 32] = [2; 32];

fn main() -> Outcome<()> {
    let (settings, positional) = Settings::take_from(std::env::args().skip(1).collect())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let words: Vec<&str> = positional.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port] => runtime.block_on(serve(&settings, port.parse()?)),
        ["client", peer] => runtime.block_on(client(&settings, peer)),
        _ => Err("usage: rust-peer serve PORT | client ADDRESS/KEY".into()),
    }
}

async fn serve(settings: &Settings, port: u16) -> Outcome<()> {
    let identity = Identity::from_seed(&SERVER_SEED, settings.hybrid)?;
    let crypto = QuicServerConfig::try_from(identity.server()?)?;
    let mut config = noq::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(settings.transport()?);
    let endpoint = open_endpoint(port, Some(config))?;
    say(&format!(
        r#"{{"ready": true, "peers": ["{}/{}"]}}"#,
        endpoint.local_addr()?,
        to_hex(&identity.public)
    ))?;
    let mut input = input_lines();
    tokio::select! {
        () = loads::serve(endpoint) => Ok(()),
        _ = input.recv() => Ok(()),
    }
}

async fn client(settings: &Settings, peer: &str) -> Outcome<()> {
    let (address, key) = peer.split_once('/').ok_or("a peer is ADDRESS/KEY")?;
    let identity = Identity::from_seed(&CLIENT_SEED, settings.hybrid)?;
    let crypto = QuicClientConfig::try_from(identity.client(from_hex(key)?)?)?;
    let mut config = noq::ClientConfig::new(Arc::new(crypto));
    config.transport_config(settings.transport()?);
    let target = Target { endpoint: open_endpoint(0, None)?, config, address: address.parse()? };
    say(r#"{"ready": true}"#)?;
    let mut input = input_lines();
    let mut idle = Vec::new();
    while let Some(line) = input.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["calls", seconds, in_flight] => target.calls(seconds.parse()?, in_flight.parse()?).await?,
            ["bulk", mebibytes] => target.bulk(mebibytes.parse()?).await?,
            ["handshakes", seconds] => target.handshakes(seconds.parse()?).await?,
            ["idle", count] => {
                idle.extend(target.idle(count.parse()?).await?);
                format!(r#"{{"connections": {}}}"#, idle.len())
            }
            _ => return Err(format!("no such command: {line}").into()),
        };
        say(&answer)?;
    }
    Ok(())
}

/// Lines of standard input; the channel closes with the input.
fn input_lines() -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || sender.send(line.unwrap_or_default()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn say(line: &str) -> Outcome<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

fn to_hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Outcome<[u8; 32]> {
    let bytes: Result<Vec<u8>, _> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap_or("-"), 16))
        .collect();
    bytes?.try_into().map_err(|_| "a key is 64 hex characters".into())
}
