//! Tell a client at once why its handshake failed, where the engine would leave it to time out.
//!
//! noq-proto 1.4.0 sends no CONNECTION_CLOSE while the client's address is unproven. A handshake
//! that fails on the *second* packet of a ClientHello (an unknown ALPN beside a post-quantum key
//! share, say) would end for the client in silence. This builds the one packet that is missing:
//! an Initial with a CONNECTION_CLOSE frame, which is far smaller than what the client sent.
//!
//! Source: RFC 9000, sections 10.2.3, 17.2.2 and 19.19; RFC 9001, section 5.

use noq_proto::{ConnectionId, PathId, crypto};

/// The packet number. The server has sent a handful of Initials by then, so this one is new to the client.
const PACKET_NUMBER: u64 = 1000;

/// What the first packet of a client says about how to answer it.
#[derive(Clone, Debug)]
pub struct ClientInitial {
    version: u32,
    destination: ConnectionId,
    source: ConnectionId,
}

impl ClientInitial {
    /// Read the unprotected part of an Initial packet (RFC 9000, section 17.2).
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (first, rest) = packet.split_first()?;
        if first & 0xb0 != 0x80 {
            return None; // No long header, or not an Initial.
        }
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (destination, rest) = connection_id(rest)?;
        let (source, _) = connection_id(rest)?;
        Some(Self { version: u32::from_be_bytes(*version), destination, source })
    }

    /// The source connection id of a packet with a long header.
    pub fn source_of(packet: &[u8]) -> Option<ConnectionId> {
        let (first, rest) = packet.split_first()?;
        if first & 0x80 == 0 {
            return None;
        }
        let (_, rest) = connection_id(rest.get(4..)?)?;
        connection_id(rest).map(|(id, _)| id)
    }

    /// The packet that ends this handshake with `code` and `reason`, sent under our id `source`.
    pub fn close(
        &self,
        crypto: &dyn crypto::ServerConfig,
        source: ConnectionId,
        code: u64,
        reason: &str,
    ) -> Option<Vec<u8>> {
        let keys = crypto.initial_keys(self.version, self.destination).ok()?;
        let (header_key, packet_key) = (keys.header.local, keys.packet.local);
        let reason = &reason.as_bytes()[..reason.len().min(64)];

        let mut frame = vec![0x1c]; // CONNECTION_CLOSE of the transport
        super::wire::write_varint(&mut frame, code);
        frame.push(0x06); // raised by a CRYPTO frame
        super::wire::write_varint(&mut frame, reason.len() as u64);
        frame.extend_from_slice(reason);

        let mut packet = vec![0xc1]; // Initial, packet number of two bytes
        packet.extend_from_slice(&self.version.to_be_bytes());
        packet.push(self.source.len() as u8);
        packet.extend_from_slice(&self.source);
        packet.push(source.len() as u8);
        packet.extend_from_slice(&source);
        packet.push(0); // no token
        let length = 2 + frame.len() + packet_key.tag_len();
        packet.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
        let number_at = packet.len();
        packet.extend_from_slice(&(PACKET_NUMBER as u16).to_be_bytes());
        let header_length = packet.len();
        packet.extend_from_slice(&frame);
        packet.resize(packet.len() + packet_key.tag_len(), 0);
        packet_key.encrypt(PathId::ZERO, PACKET_NUMBER, &mut packet, header_length);
        header_key.encrypt(number_at, &mut packet);
        Some(packet)
    }
}

fn connection_id(bytes: &[u8]) -> Option<(ConnectionId, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let length = usize::from(*length);
    (length <= 20 && rest.len() >= length).then(|| (ConnectionId::new(&rest[..length]), &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_an_initial_is_understood() {
        let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
        packet.extend(1..=8);
        packet.push(4);
        packet.extend([9; 4]);
        let initial = ClientInitial::parse(&packet).unwrap();
        assert_eq!(
            (initial.version, &initial.destination[..], &initial.source[..]),
            (1, &[1, 2, 3, 4, 5, 6, 7, 8][..], &[9; 4][..])
        );
        for cut in 0..packet.len() {
            assert!(ClientInitial::parse(&packet[..cut]).is_none(), "cut at {cut}");
        }
        packet[0] = 0xe3; // a Handshake packet
        assert!(ClientInitial::parse(&packet).is_none());
        packet[0] = 0x43; // a short header
        assert!(ClientInitial::parse(&packet).is_none());
        packet[0] = 0xc3;
        packet[5] = 21; // an id that QUIC v1 does not allow
        assert!(ClientInitial::parse(&packet).is_none());
    }
}
