//! The loads, as one client runs them against one server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use noq::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};

use crate::Outcome;

/// First byte of a stream whose rest is one request, answered by the same bytes.
const CALL: u8 = 1;

/// First byte of a stream whose rest is counted; the count is the answer.
const BULK: u8 = 2;

/// Bytes of a request and of its reply.
const CALL_BYTES: usize = 64;

/// Bytes of one write of the bulk load.
const WRITE_BYTES: usize = 64 << 10;

/// Bytes a request may have here.
const CALL_BYTES_MAX: usize = 1 << 20;

/// Whom the client talks to, and how.
pub struct Target {
    /// Our end.
    pub endpoint: Endpoint,
    /// TLS and transport settings, the server's key among them.
    pub config: ClientConfig,
    /// Where the server listens.
    pub address: SocketAddr,
}

impl Target {
    async fn connect(&self) -> Outcome<Connection> {
        Ok(self.endpoint.connect_with(self.config.clone(), self.address, "benchmark.invalid")?.await?)
    }

    /// One request after the other on each of `in_flight` tasks for `seconds`; a stream per call.
    pub async fn calls(&self, seconds: f64, in_flight: usize) -> Outcome<String> {
        let connection = self.connect().await?;
        for _ in 0..100 {
            call(&connection).await?;
        }
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let mut latencies_us = Vec::new();
        let mut count = 0_u64;
        if in_flight == 1 {
            let mut before = start;
            while before < end {
                call(&connection).await?;
                let now = Instant::now();
                latencies_us.push((now - before).as_secs_f64() * 1e6);
                before = now;
            }
            count = latencies_us.len() as u64;
        } else {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..in_flight {
                let connection = connection.clone();
                tasks.spawn(async move {
                    let mut count = 0_u64;
                    while Instant::now() < end {
                        call(&connection).await?;
                        count += 1;
                    }
                    Outcome::Ok(count)
                });
            }
            while let Some(done) = tasks.join_next().await {
                count += done??;
            }
        }
        let elapsed = start.elapsed().as_secs_f64();
        connection.close(0_u32.into(), b"done");
        latencies_us.sort_by(f64::total_cmp);
        let at = |share: f64| {
            latencies_us.get((latencies_us.len() as f64 * share) as usize).copied().unwrap_or(0.0)
        };
        Ok(format!(
            r#"{{"count": {count}, "seconds": {elapsed:.6}, "p50_us": {:.1}, "p99_us": {:.1}}}"#,
            at(0.5),
            at(0.99)
        ))
    }

    /// `mebibytes` on one stream; the clock stops when the receiver has counted them all.
    pub async fn bulk(&self, mebibytes: u64) -> Outcome<String> {
        let connection = self.connect().await?;
        let block = vec![0x5a_u8; WRITE_BYTES];
        let total = mebibytes << 20;
        let (mut send, mut receive) = connection.open_bi().await?;
        let start = Instant::now();
        send.write_all(&[BULK]).await?;
        for _ in 0..total / WRITE_BYTES as u64 {
            send.write_all(&block).await?;
        }
        send.finish()?;
        let counted = receive.read_to_end(8).await?;
        let elapsed = start.elapsed().as_secs_f64();
        connection.close(0_u32.into(), b"done");
        if counted != total.to_be_bytes() {
            return Err("the receiver counted other bytes than were sent".into());
        }
        Ok(format!(r#"{{"bytes": {total}, "seconds": {elapsed:.6}}}"#))
    }

    /// Full mutual handshakes, one after the other, for `seconds`.
    pub async fn handshakes(&self, seconds: f64) -> Outcome<String> {
        self.connect().await?.close(0_u32.into(), b"done");
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(seconds);
        let mut count = 0_u64;
        while Instant::now() < end {
            self.connect().await?.close(0_u32.into(), b"done");
            count += 1;
        }
        Ok(format!(r#"{{"count": {count}, "seconds": {:.6}}}"#, start.elapsed().as_secs_f64()))
    }

    /// Open `count` connections, which stay as long as the returned values do.
    pub async fn idle(&self, count: usize) -> Outcome<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }
}

async fn call(connection: &Connection) -> Outcome<()> {
    let mut request = [b'x'; CALL_BYTES + 1];
    request[0] = CALL;
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&request).await?;
    send.finish()?;
    let reply = receive.read_to_end(CALL_BYTES_MAX).await?;
    if reply != request[1..] { Err("a reply differs from its request".into()) } else { Ok(()) }
}

/// Answer every stream of every connection until the process is ended.
pub async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, receive)) = connection.accept_bi().await {
                // A stream the client gave up is the client's affair.
                tokio::spawn(async move { answer(send, receive).await.ok() });
            }
        });
    }
}

async fn answer(mut send: SendStream, mut receive: RecvStream) -> Outcome<()> {
    let mut kind = [0_u8];
    receive.read_exact(&mut kind).await?;
    if kind[0] == CALL {
        let request = receive.read_to_end(CALL_BYTES_MAX).await?;
        send.write_all(&request).await?;
    } else {
        let mut count = 0_u64;
        while let Some(chunk) = receive.read_chunk(1 << 20).await? {
            count += chunk.len() as u64;
        }
        send.write_all(&count.to_be_bytes()).await?;
    }
    Ok(send.finish()?)
}
