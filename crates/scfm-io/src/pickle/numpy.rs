use std::sync::Arc;

use super::machine::{Step, Value, shown};

/// A numpy dtype: kind and size from its name (`i2`, `f8`), byte order from its state.
#[derive(Debug, Clone)]
pub(super) struct Dtype {
    pub(super) name: Arc<str>,
    pub(super) big_endian: bool,
}

impl Dtype {
    pub(super) fn decode(&self, bytes: &[u8]) -> Step<Value> {
        let name = self.name.trim_start_matches(['<', '>', '|', '=']);
        if let Some(length) = name.strip_prefix('U') {
            return self.decode_text(length, bytes);
        }
        let size: usize = name.get(1..).and_then(|n| n.parse().ok()).unwrap_or(0);
        if bytes.len() != size {
            return Err(format!("numpy {} of {} bytes", shown(name), bytes.len()));
        }
        let mut word = [0; 8];
        if size > 8 {
            return Err(format!(
                "numpy dtype {}, expected an integer or a float of at most 8 bytes",
                shown(name)
            ));
        }
        word[..size].copy_from_slice(bytes);
        if self.big_endian {
            word[..size].reverse();
        }
        let unsigned = u64::from_le_bytes(word);
        let unused = 64 - 8 * u32::try_from(size).expect("at most 8");
        Ok(match name {
            "f8" => Value::Float(f64::from_bits(unsigned)),
            "f4" => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            "i1" | "i2" | "i4" | "i8" => Value::Int((unsigned << unused) as i64 >> unused),
            "u1" | "u2" | "u4" | "u8" => Value::Int(
                i64::try_from(unsigned).map_err(|_| format!("{unsigned} does not fit a signed integer"))?,
            ),
            _ => {
                return Err(format!(
                    "numpy dtype {}, expected an integer or a float of at most 8 bytes",
                    shown(name)
                ));
            }
        })
    }

    /// Text of `length` characters of four bytes, filled up with zeros: keys that went through an array.
    fn decode_text(&self, length: &str, bytes: &[u8]) -> Step<Value> {
        let (characters, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || length.parse() != Ok(characters.len()) {
            return Err(format!("numpy U{} of {} bytes", shown(length), bytes.len()));
        }
        let code = |character: &[u8; 4]| match self.big_endian {
            true => u32::from_be_bytes(*character),
            false => u32::from_le_bytes(*character),
        };
        let text: Option<String> = characters.iter().map(|c| char::from_u32(code(c))).collect();
        let text = text.ok_or_else(|| "string is not Unicode".to_owned())?;
        Ok(Value::Text(text.trim_end_matches('\0').into()))
    }
}
