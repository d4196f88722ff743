//! Tables of records: the `obs` and `var` of anndata before 0.7, a dataset of one compound type whose fields are the
//! columns. Each field is shown as a dataset of its own, so that nothing above knows of records.

use std::ops::Range;
use std::sync::Arc;

use hdf5_pure::{CompoundMember, Datatype, DatatypeByteOrder, FixedPointLayout, StringPadding};

use super::heap::Heap;
use super::pure::element;
use super::store::{Chunk, Dataset, Element, StoreError};
use super::stored::Stored;

/// Bytes of records decoded at a time, however wide a record is.
const WINDOW: u64 = 1 << 20;

/// One field of a table of records.
pub(super) struct Field {
    records: Stored,
    record_size: usize,
    shape: Vec<u64>,
    offset: usize,
    kind: Kind,
    element: Element,
    heap: Arc<Heap>,
}

/// How the bytes of a field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer {
        size: usize,
        signed: bool,
        big: bool,
    },
    Float {
        size: usize,
        big: bool,
    },
    FixedText {
        size: usize,
        spaces: bool,
    },
    /// The address of a text that stands elsewhere in the file.
    VariableText,
    Unreadable,
}

impl Field {
    /// The field `name`, `None` where the records have none of that name.
    pub(super) fn open(records: Stored, name: &str, heap: Arc<Heap>) -> Result<Option<Self>, StoreError> {
        let Datatype::Compound { size, members } = records.described().datatype()? else {
            return Ok(None);
        };
        let Some(member) = members.iter().find(|member| member.name == name) else {
            return Ok(None);
        };
        let kind = kind(&member.datatype);
        let (record_size, offset) = (size as usize, usize::try_from(member.byte_offset)?);
        let end = offset.checked_add(kind.size());
        if record_size == 0 || end.is_none_or(|end| end > record_size) {
            return Err(format!("field {name} does not lie within a record of {record_size} bytes").into());
        }
        Ok(Some(Self {
            shape: records.described().shape()?,
            element: field_element(records.described(), member, kind)?,
            records,
            record_size,
            offset,
            kind,
            heap,
        }))
    }

    /// Calls `each` with the bytes of the field in every row.
    fn visit(
        &self,
        rows: Range<u64>,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let inner: u64 = self.shape.iter().skip(1).product();
        let step = (WINDOW / (self.record_size as u64).max(1) / inner.max(1)).max(1);
        let records = self.records.readable()?;
        let mut start = rows.start;
        while start < rows.end {
            let n = step.min(rows.end - start);
            let bytes = records.read_raw_rows(start, n)?;
            for record in bytes.chunks_exact(self.record_size) {
                each(&record[self.offset..][..self.kind.size()])?;
            }
            start += n;
        }
        Ok(())
    }
}

impl Dataset for Field {
    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn element(&self) -> &Element {
        &self.element
    }

    fn chunk(&self) -> Option<Chunk> {
        self.records.chunk()
    }

    fn compression(&self) -> Vec<String> {
        super::pure::compression(self.records.described())
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError> {
        let mut values = Vec::new();
        self.visit(rows, |bytes| {
            values.push(match self.kind {
                Kind::Float { size: 4, big } => f64::from(f32::from_bits(unsigned(bytes, big) as u32)),
                Kind::Float { big, .. } => f64::from_bits(unsigned(bytes, big)),
                Kind::Integer {
                    signed: true, big, ..
                } => signed(bytes, big) as f64,
                _ => unsigned(bytes, self.kind.is_big()) as f64,
            });
            Ok(())
        })?;
        Ok(values)
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, StoreError> {
        let mut values = Vec::new();
        self.visit(rows, |bytes| {
            values.push(match self.kind {
                Kind::Integer {
                    signed: true, big, ..
                } => signed(bytes, big),
                _ => i64::try_from(unsigned(bytes, self.kind.is_big()))?,
            });
            Ok(())
        })?;
        Ok(values)
    }

    fn texts(&self, max_bytes: usize) -> Result<Vec<String>, StoreError> {
        let mut texts = Vec::new();
        let mut left = max_bytes;
        self.visit(0..self.shape.first().copied().unwrap_or(1), |bytes| {
            let text = match self.kind {
                Kind::FixedText { spaces, .. } => fixed_text(bytes, spaces),
                _ => self.heap.text(bytes, left)?,
            };
            left = left.checked_sub(text.len()).ok_or_else(|| {
                format!("more than the {max_bytes} bytes of text that are left of the memory budget")
            })?;
            texts.push(text);
            Ok(())
        })?;
        Ok(texts)
    }
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::Integer { size, .. } | Self::Float { size, .. } | Self::FixedText { size, .. } => size,
            Self::VariableText => Heap::REFERENCE,
            Self::Unreadable => 0,
        }
    }

    fn is_big(self) -> bool {
        matches!(
            self,
            Self::Integer { big: true, .. } | Self::Float { big: true, .. }
        )
    }
}

fn kind(datatype: &Datatype) -> Kind {
    let big = |order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Some(false),
        DatatypeByteOrder::BigEndian => Some(true),
        DatatypeByteOrder::Vax => None,
    };
    match datatype {
        Datatype::Enumeration { base_type, .. } => kind(base_type),
        Datatype::FixedPoint {
            size: size @ (1 | 2 | 4 | 8),
            byte_order,
            layout:
                FixedPointLayout {
                    signed,
                    bit_offset: 0,
                    bit_precision,
                },
        } if u32::from(*bit_precision) == size * 8 => {
            big(byte_order).map_or(Kind::Unreadable, |big| Kind::Integer {
                size: *size as usize,
                signed: *signed,
                big,
            })
        }
        // Whoever lays out the bits of a float otherwise is not numpy.
        Datatype::FloatingPoint {
            size: size @ (4 | 8),
            byte_order,
            layout,
        } if (layout.exponent_bias, layout.mantissa_size)
            == if *size == 4 { (127, 23) } else { (1023, 52) } =>
        {
            big(byte_order).map_or(Kind::Unreadable, |big| Kind::Float {
                size: *size as usize,
                big,
            })
        }
        Datatype::String { size, padding, .. } => Kind::FixedText {
            size: *size as usize,
            spaces: *padding == StringPadding::SpacePad,
        },
        Datatype::VariableLength { is_string: true, .. } => Kind::VariableText,
        _ => Kind::Unreadable,
    }
}

fn field_element(
    records: &hdf5_pure::Dataset,
    member: &CompoundMember,
    kind: Kind,
) -> Result<Element, StoreError> {
    let hdf5_pure::DType::Compound(fields) = records.dtype()? else {
        return Err("not a table of records".into());
    };
    let dtype = fields.into_iter().find(|(name, _)| *name == member.name);
    Ok(match (dtype, kind) {
        (Some((_, dtype)), Kind::Unreadable) => Element::Other(format!("a field of the type {dtype}")),
        (Some((_, dtype)), Kind::Integer { size: 1, .. }) if element(&dtype) == Element::Bool => {
            Element::Bool
        }
        // Any other enumeration is its numbers.
        (Some((_, hdf5_pure::DType::Enum(_))), _) => Element::Integer { name: "enum" },
        (Some((_, dtype)), _) => element(&dtype),
        (None, _) => Element::Other("a field without a type".to_owned()),
    })
}

/// Up to eight bytes as an unsigned number.
fn unsigned(bytes: &[u8], big: bool) -> u64 {
    let push = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
    if big {
        bytes.iter().fold(0, push)
    } else {
        bytes.iter().rev().fold(0, push)
    }
}

/// One to eight bytes as a signed number in two's complement.
fn signed(bytes: &[u8], big: bool) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    (unsigned(bytes, big) << unused) as i64 >> unused
}

fn fixed_text(bytes: &[u8], spaces: bool) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    if spaces { text.trim_end_matches(' ') } else { &text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_both_orders_are_numbers() {
        assert_eq!(unsigned(&[1, 2], false), 0x0201);
        assert_eq!(unsigned(&[1, 2], true), 0x0102);
        assert_eq!(signed(&[0xfe], false), -2);
        assert_eq!(signed(&[0xff, 0xfe], true), -2);
        assert_eq!(signed(&i64::MIN.to_le_bytes(), false), i64::MIN);
        assert_eq!(signed(&[0x7f, 0xff], true), i64::from(i16::MAX));
    }

    #[test]
    fn text_of_fixed_width_ends_at_its_padding() {
        assert_eq!(fixed_text(b"ab\0cd", false), "ab");
        assert_eq!(fixed_text(b"abcd", false), "abcd");
        assert_eq!(fixed_text(b"a b  ", true), "a b");
        assert_eq!(fixed_text(b"", false), "");
    }
}
