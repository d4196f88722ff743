//! A reader for pickles that hold one dictionary of plain values.
//!
//! A pickle is a program for a small stack machine, and Python's own reader lets it call any function. This one
//! knows the instructions that a dictionary of numbers and strings needs (protocols 2 to 5) and two callables,
//! numpy's scalar and dtype, whose effect it works out itself. Anything else is refused by name and offset.
//! Source: CPython's `pickletools`, which documents every opcode.

use std::collections::HashMap;
use std::sync::Arc;

/// A value of a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Int(i64),
    Float(f64),
    Text(Arc<str>),
}

/// What went wrong, at which instruction.
#[derive(Debug)]
pub(crate) struct PickleError {
    pub opcode: &'static str,
    pub offset: usize,
    pub reason: String,
}

/// The entries of a pickled dictionary with string keys, in the order of the file.
pub(crate) fn read_dictionary(bytes: &[u8]) -> Result<Vec<(Arc<str>, Plain)>, PickleError> {
    let mut machine = Machine {
        bytes,
        ..Machine::default()
    };
    machine.run().map_err(|reason| PickleError {
        opcode: machine.opcode,
        offset: machine.opcode_at,
        reason,
    })
}

/// Tuples hold tuples only in a dtype's state and arguments; deeper ones are an attack on the stack.
const MAX_DEPTH: u8 = 8;

/// Containers that can change after they were memoised are numbers into the machine's own lists, so that every
/// copy of the number sees the change, as every reference would in Python.
#[derive(Debug, Clone)]
enum Value {
    /// None, True or False: they stand in the state of a dtype, where their value does not matter.
    Constant,
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Tuple {
        items: Arc<[Value]>,
        depth: u8,
    },
    Dictionary(usize),
    Dtype(usize),
    Callable(Callable),
}

#[derive(Debug, Clone, Copy)]
enum Callable {
    NumpyScalar,
    NumpyDtype,
}

/// A numpy dtype: kind and size from its name (`i2`, `f8`), byte order from its state.
#[derive(Debug, Clone)]
struct Dtype {
    name: Arc<str>,
    big_endian: bool,
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    opcode: &'static str,
    opcode_at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    dictionaries: Vec<Vec<(Value, Value)>>,
    dtypes: Vec<Dtype>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Vec<(Arc<str>, Plain)>> {
        loop {
            self.opcode_at = self.at;
            self.opcode = "end of file";
            let code = self.byte()?;
            self.opcode = name(code).ok_or_else(|| {
                self.opcode = "opcode";
                format!("instruction {code:#04x} is not one that a dictionary of plain values needs")
            })?;
            if self.opcode == "STOP" {
                return self.result();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            0x80 => match self.byte()? {
                2..=5 => {}
                other => return Err(format!("protocol {other}, expected 2 to 5")),
            },
            0x95 => {
                self.take(8)?; // A frame only groups the bytes that follow.
            }
            b'(' => self.marks.push(self.stack.len()),
            b'}' => {
                self.stack.push(Value::Dictionary(self.dictionaries.len()));
                self.dictionaries.push(Vec::new());
            }
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Constant),
            b'K' | b'M' | b'J' | 0x8a => {
                let int = self.int(code)?;
                self.stack.push(Value::Int(int));
            }
            b'G' => {
                let float = f64::from_be_bytes(self.array()?);
                self.stack.push(Value::Float(float));
            }
            0x8c | b'X' | 0x8d => {
                let text = self.sized(match code {
                    0x8c => 1,
                    b'X' => 4,
                    _ => 8,
                })?;
                let text = std::str::from_utf8(text).map_err(|_| "string is not UTF-8".to_owned())?;
                self.stack.push(Value::Text(text.into()));
            }
            b'C' | b'B' => {
                let bytes = self.sized(if code == b'C' { 1 } else { 4 })?;
                self.stack.push(Value::Bytes(bytes.into()));
            }
            b')' => self.tuple(self.stack.len())?,
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let from = self.stack.len().checked_sub(n).ok_or_else(underflow)?;
                self.tuple(from)?;
            }
            b't' => {
                let mark = self.marks.pop().ok_or("no mark to go back to")?;
                self.tuple(mark)?;
            }
            0x94 => self.memoise(self.memo.len() as u64)?,
            b'q' | b'r' => {
                let slot = self.number(if code == b'q' { 1 } else { 4 })?;
                self.memoise(slot)?;
            }
            b'h' | b'j' => {
                let slot = self.number(if code == b'h' { 1 } else { 4 })?;
                let value = u32::try_from(slot)
                    .ok()
                    .and_then(|slot| self.memo.get(&slot))
                    .cloned();
                self.stack
                    .push(value.ok_or_else(|| format!("memo {slot} was never written"))?);
            }
            b'c' | 0x93 => self.global(code)?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            b's' | b'u' => {
                let from = match code {
                    b's' => self.stack.len().checked_sub(2).ok_or_else(underflow)?,
                    _ => self.marks.pop().ok_or("no mark to go back to")?,
                };
                self.set_items(from)?;
            }
            _ => unreachable!("every opcode that has a name is handled"),
        }
        Ok(())
    }

    fn int(&mut self, code: u8) -> Step<i64> {
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

    fn tuple(&mut self, from: usize) -> Step<()> {
        if from > self.stack.len() {
            return Err(underflow());
        }
        let items: Arc<[Value]> = self.stack.drain(from..).collect();
        let depth = 1 + items
            .iter()
            .map(|item| {
                if let Value::Tuple { depth, .. } = item {
                    *depth
                } else {
                    0
                }
            })
            .max()
            .unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(format!("tuples nested deeper than {MAX_DEPTH}"));
        }
        self.stack.push(Value::Tuple { items, depth });
        Ok(())
    }

    fn memoise(&mut self, slot: u64) -> Step<()> {
        let slot = u32::try_from(slot).map_err(|_| "memo is full".to_owned())?;
        let top = self.stack.last().ok_or_else(underflow)?.clone();
        self.memo.insert(slot, top);
        Ok(())
    }

    fn global(&mut self, code: u8) -> Step<()> {
        let (module, function) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(function), Value::Text(module)) => (module, function),
                _ => return Err("module and name are not strings".to_owned()),
            }
        };
        self.stack.push(Value::Callable(match (&*module, &*function) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Callable::NumpyScalar,
            ("numpy", "dtype") => Callable::NumpyDtype,
            _ => {
                return Err(format!(
                    "asks for {module}.{function}, which a dictionary of plain values does not need; \
                     pickles are never executed"
                ));
            }
        }));
        Ok(())
    }

    fn reduce(&mut self) -> Step<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Tuple { items, .. }, Value::Callable(callable)) = (arguments, callable) else {
            return Err("expected a callable and a tuple of arguments".to_owned());
        };
        let value = match (callable, &*items) {
            (Callable::NumpyDtype, [Value::Text(name), ..]) => {
                self.dtypes.push(Dtype {
                    name: name.clone(),
                    big_endian: name.starts_with('>'),
                });
                Value::Dtype(self.dtypes.len() - 1)
            }
            (Callable::NumpyScalar, [Value::Dtype(dtype), Value::Bytes(bytes)]) => {
                self.dtypes[*dtype].decode(bytes)?
            }
            (callable, _) => return Err(format!("arguments that {callable:?} does not take")),
        };
        self.stack.push(value);
        Ok(())
    }

    /// The state of a dtype is (version, byte order, ...); the object stays on the stack.
    fn build(&mut self) -> Step<()> {
        match (self.pop()?, self.stack.last()) {
            (Value::Tuple { items, .. }, Some(Value::Dtype(dtype))) => match &items[..] {
                [Value::Int(_), Value::Text(order), ..] if ["<", ">", "|", "="].contains(&&**order) => {
                    self.dtypes[*dtype].big_endian = &**order == ">";
                    Ok(())
                }
                _ => Err("state of a numpy dtype without a byte order".to_owned()),
            },
            _ => Err("expected a numpy dtype and its state".to_owned()),
        }
    }

    fn set_items(&mut self, from: usize) -> Step<()> {
        if from == 0 || from > self.stack.len() || (self.stack.len() - from) % 2 == 1 {
            return Err(underflow());
        }
        let Value::Dictionary(dictionary) = self.stack[from - 1] else {
            return Err("items for something that is not a dictionary".to_owned());
        };
        let mut items = self.stack.drain(from..);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            self.dictionaries[dictionary].push((key, value));
        }
        Ok(())
    }

    fn result(&mut self) -> Step<Vec<(Arc<str>, Plain)>> {
        let (Some(Value::Dictionary(dictionary)), true) = (self.stack.pop(), self.stack.is_empty()) else {
            return Err("the pickle does not hold one dictionary".to_owned());
        };
        std::mem::take(&mut self.dictionaries[dictionary])
            .into_iter()
            .enumerate()
            .map(|(i, (key, value))| {
                let Value::Text(key) = key else {
                    return Err(format!("key {i} of the dictionary is not a string"));
                };
                let value = match value {
                    Value::Int(int) => Plain::Int(int),
                    Value::Float(float) => Plain::Float(float),
                    Value::Text(text) => Plain::Text(text),
                    _ => return Err(format!("the value of {key:?} is neither a number nor a string")),
                };
                Ok((key, value))
            })
            .collect()
    }

    fn pop(&mut self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("take gives as many bytes as asked for"))
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Step<u64> {
        Ok(self
            .take(width)?
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// Bytes after their own length, which takes `width` bytes.
    fn sized(&mut self, width: usize) -> Step<&'a [u8]> {
        let length = self.number(width)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Step<Arc<str>> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(ends)?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length])
            .map(Into::into)
            .map_err(|_| "name is not UTF-8".to_owned())
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let bytes = self.bytes[self.at..].get(..n).ok_or_else(ends)?;
        self.at += n;
        Ok(bytes)
    }
}

impl Dtype {
    fn decode(&self, bytes: &[u8]) -> Step<Value> {
        let name = self.name.trim_start_matches(['<', '>', '|', '=']);
        let size: usize = name.get(1..).and_then(|n| n.parse().ok()).unwrap_or(0);
        if bytes.len() != size {
            return Err(format!("numpy {name} of {} bytes", bytes.len()));
        }
        let mut word = [0; 8];
        if size > 8 {
            return Err(format!(
                "numpy dtype {name}, expected an integer or a float of at most 8 bytes"
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
                    "numpy dtype {name}, expected an integer or a float of at most 8 bytes"
                ));
            }
        })
    }
}

fn underflow() -> String {
    "the stack holds too few values".to_owned()
}

fn ends() -> String {
    "the file ends here".to_owned()
}

fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        0x80 => "PROTO",
        0x95 => "FRAME",
        b'(' => "MARK",
        b'.' => "STOP",
        b'}' => "EMPTY_DICT",
        b'N' => "NONE",
        0x88 => "NEWTRUE",
        0x89 => "NEWFALSE",
        b'K' => "BININT1",
        b'M' => "BININT2",
        b'J' => "BININT",
        0x8a => "LONG1",
        b'G' => "BINFLOAT",
        0x8c => "SHORT_BINUNICODE",
        b'X' => "BINUNICODE",
        0x8d => "BINUNICODE8",
        b'C' => "SHORT_BINBYTES",
        b'B' => "BINBYTES",
        b')' => "EMPTY_TUPLE",
        0x85 => "TUPLE1",
        0x86 => "TUPLE2",
        0x87 => "TUPLE3",
        b't' => "TUPLE",
        0x94 => "MEMOIZE",
        b'q' => "BINPUT",
        b'r' => "LONG_BINPUT",
        b'h' => "BINGET",
        b'j' => "LONG_BINGET",
        b'c' => "GLOBAL",
        0x93 => "STACK_GLOBAL",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b's' => "SETITEM",
        b'u' => "SETITEMS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `{"<pad>": 0, "ENSG1": numpy.int16(-2), "ENSG2": numpy.int16(300)}` as protocol 4 writes it: the dtype is
    /// memoised before BUILD tells its byte order, and fetched again for the second scalar.
    fn tokens() -> Vec<u8> {
        let mut pickle = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(".to_vec();
        pickle.extend(b"\x8c\x05<pad>\x94K\x00");
        pickle.extend(b"\x8c\x05ENSG1\x94\x8c\x15numpy.core.multiarray\x94\x8c\x06scalar\x94\x93\x94"); // memo 2..=5
        pickle.extend(b"\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94"); // memo 6..=8
        pickle.extend(b"\x8c\x02i2\x94\x89\x88\x87\x94R\x94"); // memo 9, 10 and the dtype itself, 11
        pickle.extend(b"(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b");
        pickle.extend(b"C\x02\xfe\xff\x94\x86\x94R\x94");
        pickle.extend(b"\x8c\x05ENSG2\x94h\x05h\x0bC\x02\x2c\x01\x94\x86\x94R\x94u.");
        pickle
    }

    fn refused(pickle: &[u8]) -> PickleError {
        read_dictionary(pickle).unwrap_err()
    }

    #[test]
    fn numpy_scalars_and_plain_integers_are_read() {
        let entries = read_dictionary(&tokens()).unwrap();
        let expected = [("<pad>", 0), ("ENSG1", -2), ("ENSG2", 300)];
        assert_eq!(
            entries,
            expected.map(|(key, value)| (Arc::from(key), Plain::Int(value)))
        );
    }

    #[test]
    fn protocol_2_and_every_plain_type_are_read() {
        let mut pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01M\x2c\x01X\x01\x00\x00\x00bq\x02".to_vec();
        pickle.extend(b"G\x3f\xe0\x00\x00\x00\x00\x00\x00"); // 0.5
        pickle.extend(b"X\x01\x00\x00\x00cq\x03h\x01X\x01\x00\x00\x00d\x8a\x02\x00\x80u."); // LONG1 -32768
        let entries = read_dictionary(&pickle).unwrap();
        let values: Vec<_> = entries.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                Plain::Int(300),
                Plain::Float(0.5),
                Plain::Text("a".into()),
                Plain::Int(-32768)
            ]
        );
    }

    #[test]
    fn the_byte_order_of_a_dtype_is_obeyed() {
        let mut pickle = tokens();
        let order = pickle.windows(3).position(|w| w == b"\x8c\x01<").unwrap();
        pickle[order + 2] = b'>';
        let entries = read_dictionary(&pickle).unwrap();
        assert_eq!(entries[1].1, Plain::Int(i64::from(0xfeffu16 as i16)));
        assert_eq!(entries[2].1, Plain::Int(0x2c01));
    }

    #[test]
    fn a_pickle_that_would_run_something_is_refused_by_name() {
        // cos\nsystem\n(X\x04\x00\x00\x00true tR.
        let error = refused(b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.");
        assert_eq!((error.opcode, error.offset), ("GLOBAL", 2));
        assert!(error.reason.contains("os.system"), "{}", error.reason);

        let error = refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01x\x85R.");
        assert_eq!((error.opcode, error.offset), ("STACK_GLOBAL", 18));
        assert!(error.reason.contains("builtins.eval"), "{}", error.reason);
    }

    #[test]
    fn what_is_no_dictionary_of_plain_values_is_refused() {
        for (pickle, opcode) in [
            (&b"\x80\x06}."[..], "PROTO"),      // a protocol of the future
            (b"\x80\x04]\x94.", "opcode"),      // a list
            (b"\x80\x04K\x01.", "STOP"),        // an integer alone
            (b"\x80\x04}K\x01K\x02s.", "STOP"), // a key that is no string
            (b"\x80\x04}\x8c\x01a}s.", "STOP"), // a dictionary inside
            (b"\x80\x04u.", "SETITEMS"),        // items without a mark
            (b"\x80\x04(u.", "SETITEMS"),       // items without a dictionary
            (b"\x80\x04}(K\x01u.", "SETITEMS"), // a key without a value
            (b"\x80\x04h\x07.", "BINGET"),      // a memo never written
            (b"\x80\x04\x94.", "MEMOIZE"),      // nothing to memoise
            (b"\x80\x04R.", "REDUCE"),          // nothing to call
            (b"\x80\x04}Nb.", "BUILD"),         // a state for a dictionary
            (
                b"\x80\x04}(\x8c\x01a\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
                "BINUNICODE8",
            ), // longer than the file
            (b"\x80\x04}", "end of file"),
        ] {
            assert_eq!(refused(pickle).opcode, opcode, "{}", pickle.escape_ascii());
        }
    }

    #[test]
    fn deep_tuples_do_not_reach_the_machine_stack() {
        let mut pickle = b"\x80\x04)".to_vec();
        pickle.extend([0x85].repeat(1_000_000));
        pickle.push(b'.');
        assert_eq!(refused(&pickle).opcode, "TUPLE1");
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0usize..150, byte: u8, cut in 0usize..160) {
            let mut pickle = tokens();
            let n = pickle.len();
            pickle[at % n] = byte;
            pickle.truncate(cut);
            let _ = read_dictionary(&pickle);
        }
    }
}
