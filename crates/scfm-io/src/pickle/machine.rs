use std::collections::HashMap;
use std::sync::Arc;

use super::numpy::Dtype;
use super::opcodes::name;
use super::tensors::{self, StorageRecord, TensorRecord};
use super::{PickleError, Plain};
use crate::torch::TorchType;

/// Tuples hold tuples only in a dtype's state and arguments; deeper ones are an attack on the stack.
const MAX_DEPTH: u8 = 8;
/// Items of the longest tuple: the state of a dtype has eight.
const MAX_TUPLE: usize = 64;
/// Python writes a dictionary in batches of a thousand entries, so that its stack stays short.
const MAX_STACK: usize = 1 << 16;
/// Entries, memoised values and objects of all kinds. The largest published dictionary has a few hundred thousand; an
/// instruction of one byte can make an object of a hundred.
const MAX_OBJECTS: usize = 1 << 22;
/// What a tensor, its storage and its entry count as among objects, since each takes so much more memory. A model of a
/// thousand layers, with sixteen tensors each, stays below half of what is allowed.
const TENSOR: usize = 32;
/// Characters of a name from the file that a message shows.
const MAX_SHOWN: usize = 80;

/// What a pickle may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    PlainValues,
    Tensors,
}

impl Dialect {
    fn what(self) -> &'static str {
        match self {
            Self::PlainValues => "a dictionary of plain values",
            Self::Tensors => "a dictionary of tensors",
        }
    }
}

/// Containers that can change after they were memoised are numbers into the machine's own lists, so that every
/// copy of the number sees the change, as every reference would in Python.
#[derive(Debug, Clone)]
pub(super) enum Value {
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
    StorageType(TorchType),
    Storage(usize),
    Tensor(usize),
    Callable(Callable),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Callable {
    NumpyScalar,
    NumpyDtype,
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
}

/// The stack machine of a pickle, run up to `STOP`.
pub(super) struct Machine<'a> {
    dialect: Dialect,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    opcode: &'static str,
    opcode_at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    dictionaries: Vec<Vec<(Value, Value)>>,
    /// Entries of all dictionaries.
    n_entries: usize,
    dtypes: Vec<Dtype>,
    storages: Vec<StorageRecord>,
    tensors: Vec<TensorRecord>,
}

/// What a step gives, or why it cannot be done.
pub(super) type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], dialect: Dialect) -> Self {
        Self {
            dialect,
            bytes,
            at: 0,
            opcode: "",
            opcode_at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            dictionaries: Vec::new(),
            n_entries: 0,
            dtypes: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// An error at the instruction that was read last.
    pub(super) fn error(&self, reason: String) -> PickleError {
        PickleError {
            opcode: self.opcode,
            offset: self.opcode_at,
            reason,
        }
    }

    /// Runs every instruction before `STOP`.
    pub(super) fn run(&mut self) -> Step<()> {
        loop {
            self.opcode_at = self.at;
            self.opcode = "end of file";
            let code = self.byte()?;
            let known = name(code).filter(|_| code != b'Q' || self.dialect == Dialect::Tensors);
            self.opcode = known.ok_or_else(|| {
                self.opcode = "opcode";
                format!(
                    "instruction {code:#04x} is not one that {} needs",
                    self.dialect.what()
                )
            })?;
            if self.opcode == "STOP" {
                return Ok(());
            }
            self.step(code)?;
            if self.stack.len() > MAX_STACK || self.n_objects() > MAX_OBJECTS {
                return Err(format!(
                    "more values than {} of its size needs",
                    self.dialect.what()
                ));
            }
        }
    }

    fn n_objects(&self) -> usize {
        let entry = match self.dialect {
            Dialect::PlainValues => 1,
            Dialect::Tensors => TENSOR,
        };
        self.memo.len()
            + self.marks.len()
            + self.n_entries * entry
            + self.dictionaries.len()
            + self.dtypes.len()
            + (self.storages.len() + self.tensors.len()) * TENSOR
    }

    /// The entries of the one dictionary that is left, all of them plain values.
    pub(super) fn plain_entries(&mut self) -> Step<Vec<(Arc<str>, Plain)>> {
        self.entries()?
            .into_iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::Int(int) => Plain::Int(int),
                    Value::Float(float) => Plain::Float(float),
                    Value::Text(text) => Plain::Text(text),
                    _ => {
                        return Err(format!(
                            "the value of {} is neither a number nor a string",
                            shown(&key)
                        ));
                    }
                };
                Ok((key, value))
            })
            .collect()
    }

    /// The tensors of the one dictionary that is left.
    pub(super) fn tensor_entries(&mut self) -> Step<Vec<(Arc<str>, TensorRecord)>> {
        let entries = self.entries()?;
        let tensors: Vec<_> = entries
            .iter()
            .filter_map(|(key, value)| match value {
                Value::Tensor(tensor) => Some((key.clone(), self.tensors[*tensor].clone())),
                _ => None,
            })
            .collect();
        if tensors.is_empty() && !entries.is_empty() {
            let keys: Vec<_> = entries.iter().take(5).map(|(key, _)| shown(key)).collect();
            return Err(format!(
                "a dictionary without tensors, its keys are {}; save the model's state_dict() alone",
                keys.join(", ")
            ));
        }
        Ok(tensors)
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
                let dictionary = self.new_dictionary();
                self.stack.push(dictionary);
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
            b'Q' => {
                let Value::Tuple { items, .. } = self.pop()? else {
                    return Err("a persistent id that is no tuple".to_owned());
                };
                self.storages.push(tensors::storage(&items)?);
                self.stack.push(Value::Storage(self.storages.len() - 1));
            }
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

    fn tuple(&mut self, from: usize) -> Step<()> {
        if from > self.stack.len() {
            return Err(underflow());
        }
        if self.stack.len() - from > MAX_TUPLE {
            return Err(format!(
                "a tuple of {} items, expected at most {MAX_TUPLE}",
                self.stack.len() - from
            ));
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
        self.stack.push(match (self.dialect, &*module, &*function) {
            (Dialect::PlainValues, "numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
                Value::Callable(Callable::NumpyScalar)
            }
            (Dialect::PlainValues, "numpy", "dtype") => Value::Callable(Callable::NumpyDtype),
            (Dialect::Tensors, "collections", "OrderedDict") => Value::Callable(Callable::OrderedDict),
            (Dialect::Tensors, "torch._utils", "_rebuild_tensor_v2") => {
                Value::Callable(Callable::RebuildTensor)
            }
            (Dialect::Tensors, "torch._utils", "_rebuild_parameter") => {
                Value::Callable(Callable::RebuildParameter)
            }
            (Dialect::Tensors, "torch", name) if tensors::storage_type(name).is_some() => {
                Value::StorageType(tensors::storage_type(name).expect("just looked up"))
            }
            _ => {
                return Err(format!(
                    "asks for {}, which {} does not need; pickles are never executed",
                    shown(&format!("{module}.{function}")),
                    self.dialect.what()
                ));
            }
        });
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
            (Callable::OrderedDict, []) => self.new_dictionary(),
            (Callable::RebuildTensor, arguments) => {
                self.tensors.push(tensors::rebuild(&self.storages, arguments)?);
                Value::Tensor(self.tensors.len() - 1)
            }
            (Callable::RebuildParameter, [Value::Tensor(tensor), ..]) => Value::Tensor(*tensor),
            (callable, _) => return Err(format!("arguments that {callable:?} does not take")),
        };
        self.stack.push(value);
        Ok(())
    }

    fn new_dictionary(&mut self) -> Value {
        self.dictionaries.push(Vec::new());
        Value::Dictionary(self.dictionaries.len() - 1)
    }

    /// The state of a dtype is (version, byte order, ...); that of a state dictionary are remarks about versions. The
    /// object stays on the stack.
    fn build(&mut self) -> Step<()> {
        match (self.pop()?, self.stack.last()) {
            (Value::Tuple { items, .. }, Some(Value::Dtype(dtype))) => match &items[..] {
                [Value::Int(_), Value::Text(order), ..] if ["<", ">", "|", "="].contains(&&**order) => {
                    self.dtypes[*dtype].big_endian = &**order == ">";
                    Ok(())
                }
                _ => Err("state of a numpy dtype without a byte order".to_owned()),
            },
            (Value::Dictionary(_), Some(Value::Dictionary(_))) if self.dialect == Dialect::Tensors => Ok(()),
            _ => Err("a state for something that has none".to_owned()),
        }
    }

    fn set_items(&mut self, from: usize) -> Step<()> {
        if from == 0 || from > self.stack.len() || (self.stack.len() - from) % 2 == 1 {
            return Err(underflow());
        }
        let Value::Dictionary(dictionary) = self.stack[from - 1] else {
            return Err("items for something that is not a dictionary".to_owned());
        };
        self.n_entries += (self.stack.len() - from) / 2;
        let mut items = self.stack.drain(from..);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            self.dictionaries[dictionary].push((key, value));
        }
        Ok(())
    }

    /// The entries of the one dictionary that is left on the stack.
    fn entries(&mut self) -> Step<Vec<(Arc<str>, Value)>> {
        let (Some(Value::Dictionary(dictionary)), true) = (self.stack.pop(), self.stack.is_empty()) else {
            return Err("the pickle does not hold one dictionary".to_owned());
        };
        std::mem::take(&mut self.dictionaries[dictionary])
            .into_iter()
            .enumerate()
            .map(|(i, (key, value))| match key {
                Value::Text(key) => Ok((key, value)),
                _ => Err(format!("key {i} of the dictionary is not a string")),
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
}

/// A name from the file, cut and escaped so that a message stays one line.
pub(super) fn shown(name: &str) -> String {
    let end = name
        .char_indices()
        .nth(MAX_SHOWN)
        .map_or(name.len(), |(at, _)| at);
    let rest = if end < name.len() { "…" } else { "" };
    format!("{}{rest}", name[..end].escape_debug())
}

fn underflow() -> String {
    "the stack holds too few values".to_owned()
}
