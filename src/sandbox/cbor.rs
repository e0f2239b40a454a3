//! CBOR (RFC 8949), as much of it as Smithy's RPC protocol has: JSON's values and moments.

use serde_json::{Map, Number, Value};

/// How deep a value may be.
const DEPTH: usize = 32;
/// What ends a length that was not told before.
const BREAK: u8 = 0xff;
/// Seconds since 1970.
const EPOCH: u8 = 0xc1;

/// Reads a value; tags are passed over. `None`: it is no CBOR, or not all of what there is.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { bytes };
    let value = reader.value(DEPTH)?;
    reader.bytes.is_empty().then_some(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn number(&mut self, count: usize) -> Option<u64> {
        let bytes = self.take(count)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    /// Major type, what is in the first byte beside it, and its argument; none where the length
    /// is not told.
    fn head(&mut self) -> Option<(u8, u8, Option<u64>)> {
        let first = *self.take(1)?.first()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..24 => Some(u64::from(info)),
            24 => Some(self.number(1)?),
            25 => Some(self.number(2)?),
            26 => Some(self.number(4)?),
            27 => Some(self.number(8)?),
            31 => None,
            _ => return None,
        };
        Some((major, info, argument))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let inner = depth.checked_sub(1)?;
        let (major, info, argument) = self.head()?;
        Some(match major {
            0 => Value::from(argument?),
            1 => Value::from(-1 - i64::try_from(argument?).ok()?),
            3 => Value::from(self.text(argument)?),
            4 => {
                let mut items = Vec::new();
                self.each(argument, |reader| {
                    items.push(reader.value(inner)?);
                    Some(())
                })?;
                Value::from(items)
            }
            5 => {
                let mut members = Map::new();
                self.each(argument, |reader| {
                    let Value::String(name) = reader.value(inner)? else {
                        return None;
                    };
                    members.insert(name, reader.value(inner)?);
                    Some(())
                })?;
                Value::from(members)
            }
            6 => self.value(inner)?,
            7 => simple(info, argument?)?,
            // Blobs: nothing that is played here has one.
            _ => return None,
        })
    }

    fn text(&mut self, length: Option<u64>) -> Option<String> {
        if let Some(length) = length {
            let bytes = self.take(usize::try_from(length).ok()?)?;
            return String::from_utf8(bytes.to_vec()).ok();
        }
        let mut whole = String::new();
        self.each(None, |reader| {
            let (3, _, Some(length)) = reader.head()? else {
                return None;
            };
            whole.push_str(&reader.text(Some(length))?);
            Some(())
        })?;
        Some(whole)
    }

    /// Reads so many items, or all up to the break.
    fn each(
        &mut self,
        count: Option<u64>,
        mut read: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let mut left = count;
        loop {
            match left {
                Some(0) => return Some(()),
                None if self.bytes.first() == Some(&BREAK) => {
                    self.take(1)?;
                    return Some(());
                }
                left_now => left = left_now.map(|left| left - 1),
            }
            read(self)?;
        }
    }
}

/// Booleans, null and floats.
fn simple(info: u8, argument: u64) -> Option<Value> {
    let float = match info {
        20 => return Some(Value::Bool(false)),
        21 => return Some(Value::Bool(true)),
        22 | 23 => return Some(Value::Null),
        25 => half(u16::try_from(argument).ok()?),
        26 => f64::from(f32::from_bits(u32::try_from(argument).ok()?)),
        27 => f64::from_bits(argument),
        _ => return None,
    };
    Number::from_f64(float).map(Value::Number)
}

/// A float of 16 bits.
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Writes a value. A member whose name ends with `Timestamp` is a moment, in seconds.
pub(super) fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_value(value, &mut bytes);
    bytes
}

fn write_value(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(false) => bytes.push(0xf4),
        Value::Bool(true) => bytes.push(0xf5),
        Value::Number(number) => write_number(number, bytes),
        Value::String(text) => write_text(text, bytes),
        Value::Array(items) => {
            head(4, items.len() as u64, bytes);
            for item in items {
                write_value(item, bytes);
            }
        }
        Value::Object(members) => {
            head(5, members.len() as u64, bytes);
            for (name, value) in members {
                write_text(name, bytes);
                if name.ends_with("Timestamp") {
                    bytes.push(EPOCH);
                }
                write_value(value, bytes);
            }
        }
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    head(3, text.len() as u64, bytes);
    bytes.extend_from_slice(text.as_bytes());
}

fn write_number(number: &Number, bytes: &mut Vec<u8>) {
    if let Some(number) = number.as_u64() {
        head(0, number, bytes);
    } else if let Some(number) = number.as_i64() {
        head(1, (-1 - number).unsigned_abs(), bytes);
    } else {
        bytes.push(0xfb);
        let float = number.as_f64().unwrap_or_default();
        bytes.extend_from_slice(&float.to_bits().to_be_bytes());
    }
}

fn head(major: u8, argument: u64, bytes: &mut Vec<u8>) {
    let major = major << 5;
    let all = argument.to_be_bytes();
    let (info, length) = match argument {
        0..24 => {
            bytes.push(major | all[7]);
            return;
        }
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    bytes.push(major | info);
    bytes.extend_from_slice(&all[8 - length..]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "text": "grün", "none": null, "yes": true, "no": false,
            "numbers": [0, 23, 24, 255, 256, 65_535, 65_536, 4_294_967_296_u64, -1, -500, 1.5, -0.25],
            "nested": {"list": [[], {}]},
            "StateUpdatedTimestamp": 1_795_222_923.456,
        });
        assert_eq!(read(&write(&value)), Some(value));
    }

    #[test]
    fn lengths_that_come_at_the_end_and_short_floats_are_read() {
        // {_ "a": [_ 1, 2], "b": (_ "x", "yz"), "c": 1.5 (16 bits), "d": 1.5 (32 bits)}
        let bytes = [
            0xbf, 0x61, b'a', 0x9f, 1, 2, 0xff, 0x61, b'b', 0x7f, 0x61, b'x', 0x62, b'y', b'z',
            0xff, 0x61, b'c', 0xf9, 0x3e, 0, 0x61, b'd', 0xfa, 0x3f, 0xc0, 0, 0, 0xff,
        ];
        let wanted = json!({"a": [1, 2], "b": "xyz", "c": 1.5, "d": 1.5});
        assert_eq!(read(&bytes), Some(wanted));
    }

    #[test]
    fn a_moment_is_marked_as_one() {
        let bytes = write(&json!({"aTimestamp": 0.5}));
        assert_eq!(bytes[..12], *b"\xa1\x6aaTimestamp");
        assert_eq!(bytes[12..14], [0xc1, 0xfb]);
    }

    #[test]
    fn nonsense_is_no_value() {
        let endless = [0x81_u8].repeat(1_000_000);
        let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for bad in [
            &b"hello"[..],
            &[],
            &[0xa1],
            &[0xa1, 1, 1],
            &[0x61, 0xff],
            &[1, 1],
            &endless,
            &huge,
        ] {
            assert_eq!(read(bad), None);
        }
    }
}
