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

/// Little-endian y coordinates below p of the points whose order is 1, 2, 4 or 8. Source: Chalkias, Garillot, Nikolaenko,
/// "Taming the many EdDSAs", SSR 2020, appendix.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// Would [`check_public_key`] accept these bytes, if a point has them? Decoding, which takes a square root, is left to
/// the verification that follows; this compares bytes only.
pub fn is_fit_if_on_curve(bytes: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(bytes) else { return false };
    y[31] &= 0x7f;
    // y >= p = 2^255 - 19. A sign on x = 0 is a second spelling too: y is 1 or p - 1 then, which the list has.
    let unreduced = y[31] == 0x7f && y[1..31] == [0xff; 30] && y[0] >= 0xed;
    !unreduced && !SMALL_ORDER_Y.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::{PointError, check_public_key, is_fit_if_on_curve};

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

    /// The cheap check and the thorough one agree on every point: here on those near both ends of the range and on a
    /// spread of others, with both signs; the Python tests add the published lists.
    #[test]
    fn the_cheap_check_refuses_what_the_thorough_one_refuses() {
        let mut fit = 0;
        let mut compare = |mut bytes: [u8; 32]| {
            for sign in [0, 0x80] {
                bytes[31] = bytes[31] & 0x7f | sign;
                let judged = check_public_key(&bytes);
                if judged != Err(PointError::NotOnCurve) {
                    assert_eq!(is_fit_if_on_curve(&bytes), judged.is_ok(), "{bytes:02x?}");
                    fit += usize::from(judged.is_ok());
                }
            }
        };
        for low in 0..=255 {
            let mut high = [0xff; 32];
            high[0] = low;
            let mut small = [0; 32];
            small[0] = low;
            let spread = std::array::from_fn(|n| u8::wrapping_mul(low, 2 * n as u8 + 1) ^ n as u8);
            [high, small, spread].into_iter().for_each(&mut compare);
        }
        super::SMALL_ORDER_Y.into_iter().for_each(&mut compare);
        assert!(fit > 300, "{fit} keys were found fit by both");
        assert!(!is_fit_if_on_curve(&[9; 31]) && !is_fit_if_on_curve(&[9; 33]));
    }

    #[test]
    fn other_bytes_are_refused() {
        let not_on_curve = key("0200000000000000000000000000000000000000000000000000000000000000");
        assert_eq!(check_public_key(&not_on_curve), Err(PointError::NotOnCurve));
        assert_eq!(check_public_key(&[1; 31]), Err(PointError::Length));
        assert_eq!(check_public_key(&[1; 33]), Err(PointError::Length));
    }
}
