use std::sync::Arc;

use super::machine::{Machine, Step};

/// The operands that follow an instruction.
impl<'a> Machine<'a> {
    pub(super) fn int(&mut self, code: u8) -> Step<i64> {
        Ok(match code {
            b'K' => i64::from(self.byte()?),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => {
                let bytes = self.sized(1)?;
                if bytes.len() > 8 {
                    return Err(format!("integer of {} bytes, expected at most 8", bytes.len()));
                }
                let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
                let mut word = [if negative { 0xff } else { 0 }; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                i64::from_le_bytes(word)
            }
        })
    }

    pub(super) fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("take gives as many bytes as asked for"))
    }

    /// A little-endian number of `width` bytes.
    pub(super) fn number(&mut self, width: usize) -> Step<u64> {
        Ok(self
            .take(width)?
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// Bytes after their own length, which takes `width` bytes.
    pub(super) fn sized(&mut self, width: usize) -> Step<&'a [u8]> {
        let length = self.number(width)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn line(&mut self) -> Step<Arc<str>> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(ends)?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length])
            .map(Into::into)
            .map_err(|_| "name is not UTF-8".to_owned())
    }

    pub(super) fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let bytes = self.bytes[self.at..].get(..n).ok_or_else(ends)?;
        self.at += n;
        Ok(bytes)
    }
}

fn ends() -> String {
    "the file ends here".to_owned()
}
