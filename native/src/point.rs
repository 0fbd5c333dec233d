//! Is this Ed25519 public key fit to be an identity?
//!
//! Source: RFC 8032, section 5.1.3 (decoding, with the bound y < p that many decoders skip).
//! Refused besides: points of small order. Anybody can make signatures that verify under such a "key" for many
//! messages, so it identifies nobody.
//! Mixed-order points (a prime-order point plus one of small order) pass: refusing them costs a scalar
//! multiplication and gains nothing here, since TLS and we verify without the cofactor.

use curve25519_dalek::edwards::CompressedEdwardsY;

/// Why a public key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointError {
    /// Not 32 bytes.
    Length,
    /// No point of the curve has this y coordinate.
    NotOnCurve,
    /// A second spelling of a point: y >= p, or a sign bit on x = 0.
    NotCanonical,
    /// The identity point or another one of order 2, 4 or 8.
    SmallOrder,
}

impl PointError {
    /// The reason in words, without the key.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Length => "an Ed25519 public key has 32 bytes",
            Self::NotOnCurve => "not a point of the Ed25519 curve",
            Self::NotCanonical => "not the canonical encoding of its point",
            Self::SmallOrder => "a point of small order identifies nobody",
        }
    }
}

/// Accept a canonical encoding of a curve point whose order is not small.
pub fn check_public_key(bytes: &[u8]) -> Result<(), PointError> {
    let compressed = CompressedEdwardsY::from_slice(bytes).map_err(|_| PointError::Length)?;
    let point = compressed.decompress().ok_or(PointError::NotOnCurve)?;
    // Decoding reduces y modulo p and ignores the sign of x = 0; encoding again shows whether it had to.
    if point.compress() != compressed {
        return Err(PointError::NotCanonical);
    }
    if point.is_small_order() {
        return Err(PointError::SmallOrder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PointError, check_public_key};

    fn key(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_real_key_passes() {
        // RFC 8032, section 7.1, test 1.
        let real = key("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(check_public_key(&real), Ok(()));
    }

    #[test]
    fn small_order_points_are_refused() {
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ] {
            assert_eq!(check_public_key(&key(point)), Err(PointError::SmallOrder), "{point}");
        }
    }

    #[test]
    fn second_spellings_are_refused() {
        for point in [
            // The identity with a sign on x = 0, then y = p + 1 for the identity.
            "0100000000000000000000000000000000000000000000000000000000000080",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(check_public_key(&key(point)), Err(PointError::NotCanonical), "{point}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let not_on_curve = key("0200000000000000000000000000000000000000000000000000000000000000");
        assert_eq!(check_public_key(&not_on_curve), Err(PointError::NotOnCurve));
        assert_eq!(check_public_key(&[1; 31]), Err(PointError::Length));
        assert_eq!(check_public_key(&[1; 33]), Err(PointError::Length));
    }
}
