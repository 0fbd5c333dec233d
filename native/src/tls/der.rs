//! The little of DER that certificates need, read strictly: definite lengths in their shortest form, nothing left over.
//!
//! Source: ITU-T X.690, sections 8 and 10. Trust: every byte is hostile; a reader never looks beyond its slice, and each
//! step consumes at least two bytes of it.

/// The bytes are not what DER allows, or not the element that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// SET.
pub const SET: u8 = 0x31;

/// The tag of a constructed, context-specific element such as `[3]`.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag; only those of one byte exist here.
    pub tag: u8,
    /// What it contains.
    pub content: &'a [u8],
    /// All of it, tag and length included: what a signature covers.
    pub whole: &'a [u8],
}

/// Reads one element after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Read `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element has this tag.
    pub fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next element, whatever it is.
    pub fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let bytes = self.0;
        let [tag, length, ..] = *bytes else { return Err(Malformed) };
        if tag & 0x1f == 0x1f {
            return Err(Malformed); // A tag of several bytes.
        }
        let (header, length) = match length {
            0..=0x7f => (2, usize::from(length)),
            0x81..=0x83 => {
                let width = usize::from(length & 0x7f);
                let digits = bytes.get(2..2 + width).ok_or(Malformed)?;
                let value = digits.iter().fold(0, |value, digit| value << 8 | usize::from(*digit));
                if value < 0x80 || digits[0] == 0 {
                    return Err(Malformed); // A shorter form exists.
                }
                (2 + width, value)
            }
            _ => return Err(Malformed), // Indefinite, or longer than any certificate.
        };
        let (whole, rest) = bytes.split_at_checked(header + length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Element { tag, content: &whole[header..], whole })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        if self.is_next(tag) { self.element() } else { Err(Malformed) }
    }

    /// The inside of the next element, which must have this tag.
    pub fn enter(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag).map(|element| Self(element.content))
    }

    /// The whole octets of the next element, a BIT STRING.
    pub fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(BIT_STRING)?.content.strip_prefix(&[0]).ok_or(Malformed)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Read the one element that `bytes` are, which must have this tag: its inside.
pub fn only(bytes: &[u8], tag: u8) -> Result<Reader<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let inside = reader.enter(tag)?;
    reader.end()?;
    Ok(inside)
}

/// Write one element that contains `parts`, at most 64 KiB of them.
pub fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        _ => {
            let length = u16::try_from(length).expect("certificates are shorter");
            out.push(0x82);
            out.extend(length.to_be_bytes());
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Seconds since 1970 of a UTCTime or GeneralizedTime in the form that certificates use: to the second, in UTC.
/// RFC 5280, section 4.1.2.5.
pub fn read_time(element: Element<'_>) -> Result<i64, Malformed> {
    let digits = element.content.strip_suffix(b"Z").ok_or(Malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| 10 * number + i64::from(digit - b'0'));
    let (year, rest) = match element.tag {
        UTC_TIME => digits.split_at_checked(2).map(|(year, rest)| match number(year) {
            year @ 0..50 => (2000 + year, rest),
            year => (1900 + year, rest),
        }),
        GENERALIZED_TIME => digits.split_at_checked(4).map(|(year, rest)| (number(year), rest)),
        _ => None,
    }
    .ok_or(Malformed)?;
    let rest: &[u8; 10] = rest.try_into().map_err(|_| Malformed)?;
    let field = |at: usize| number(&rest[at..at + 2]);
    let (month, day, hour, minute, second) = (field(0), field(2), field(4), field(6), field(8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(Malformed),
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(Malformed);
    }
    Ok(((days_before(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first of a month in the Gregorian calendar, for years from 0 on.
fn days_before(year: i64, month: i64) -> i64 {
    // Years begin in March here, so that the day which comes and goes is their last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Result<i64, Malformed> {
        read_time(Element { tag, content: text.as_bytes(), whole: &[] })
    }

    #[test]
    fn what_is_written_is_read_at_every_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 5000] {
            let content = vec![7; length];
            let written = write(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&written);
            let element = reader.element().unwrap();
            assert_eq!((element.tag, element.content, element.whole), (OCTET_STRING, &content[..], &written[..]));
            assert!(reader.is_empty());
            for cut in 0..written.len() {
                assert_eq!(Reader::new(&written[..cut]).element(), Err(Malformed), "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bytes in [
            &[0x04, 0x80, 0, 0][..],                  // indefinite
            &[0x04, 0x81, 0x01, 7],                   // a length that fits one byte
            &[0x04, 0x82, 0x00, 0x80],                // a leading zero
            &[0x04, 0x84, 0, 0, 0, 1, 7],             // wider than anything here
            &[0x1f, 0x01, 0],                         // a tag of several bytes
            &[0x04],                                  // cut
            &[0x04, 0x83, 0xff, 0xff, 0xff, 1, 2, 3], // longer than it is
        ] {
            assert_eq!(Reader::new(bytes).element(), Err(Malformed), "{bytes:02x?}");
        }
        assert_eq!(only(&[0x30, 0, 0], SEQUENCE).err(), Some(Malformed), "something follows");
        assert_eq!(Reader::new(&[3, 2, 4, 0xf0]).bits(), Err(Malformed), "no whole octets");
    }

    #[test]
    fn times_are_seconds_since_1970() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "750101130000Z", 157_813_200),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (UTC_TIME, "500101000000Z", -631_152_000),
            (GENERALIZED_TIME, "20240229120000Z", 1_709_208_000),
            (GENERALIZED_TIME, "40960101130000Z", 67_090_165_200),
            (GENERALIZED_TIME, "00000101000000Z", -62_167_219_200),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(time(tag, text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn times_that_no_clock_shows_are_refused() {
        for text in [
            "20230229000000Z",
            "21000229000000Z",
            "20240230000000Z",
            "20240431000000Z",
            "20240001000000Z",
            "20241301000000Z",
            "20240100000000Z",
            "20240101240000Z",
            "20240101006000Z",
            "20240101000060Z",
            "20240101000000",
            "2024010100000Z",
            "20240101000000+0000",
            "20240101000000.5Z",
            "2024-1-1T0:0:0Z",
            "Z",
            "",
        ] {
            assert_eq!(time(GENERALIZED_TIME, text), Err(Malformed), "{text}");
        }
        assert_eq!(time(UTC_TIME, "20240101000000Z"), Err(Malformed));
        assert_eq!(time(SEQUENCE, "700101000000Z"), Err(Malformed));
    }
}
