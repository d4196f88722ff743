use std::sync::Arc;

use super::machine::{Step, Value};
use crate::torch::TorchType;

/// No tensor of a model has more dimensions; torch itself takes up to 64.
const MAX_DIMS: usize = 8;

/// A storage that the pickle refers to: an array of numbers in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StorageRecord {
    /// Its name in the archive.
    pub(crate) key: Arc<str>,
    pub(crate) dtype: TorchType,
    /// Number of elements.
    pub(crate) n: u64,
}

/// A tensor as a view of a storage, in elements; nothing is checked against the archive yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TensorRecord {
    pub(crate) storage: StorageRecord,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
}

/// The type behind `torch.FloatStorage` and its like.
pub(super) fn storage_type(name: &str) -> Option<TorchType> {
    Some(match name {
        "FloatStorage" => TorchType::F32,
        "DoubleStorage" => TorchType::F64,
        "HalfStorage" => TorchType::F16,
        "BFloat16Storage" => TorchType::BF16,
        "LongStorage" => TorchType::I64,
        "IntStorage" => TorchType::I32,
        "ShortStorage" => TorchType::I16,
        "CharStorage" => TorchType::I8,
        "ByteStorage" => TorchType::U8,
        "BoolStorage" => TorchType::Bool,
        _ => return None,
    })
}

/// The storage of a persistent id `("storage", type, key, device, number of elements)`.
pub(super) fn storage(id: &[Value]) -> Step<StorageRecord> {
    match id {
        [
            Value::Text(tag),
            Value::StorageType(dtype),
            Value::Text(key),
            Value::Text(_),
            Value::Int(n),
        ] if &**tag == "storage" => Ok(StorageRecord {
            key: key.clone(),
            dtype: *dtype,
            n: u64::try_from(*n).map_err(|_| format!("a storage of {n} elements"))?,
        }),
        _ => Err("a persistent id that is not (\"storage\", type, key, device, length)".to_owned()),
    }
}

/// What `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...)` gives; the rest of its arguments are
/// about gradients.
pub(super) fn rebuild(storages: &[StorageRecord], arguments: &[Value]) -> Step<TensorRecord> {
    let [
        Value::Storage(storage),
        Value::Int(offset),
        Value::Tuple { items: shape, .. },
        Value::Tuple { items: strides, .. },
        ..,
    ] = arguments
    else {
        return Err("a tensor that is not rebuilt from (storage, offset, shape, strides)".to_owned());
    };
    if shape.len() > MAX_DIMS || shape.len() != strides.len() {
        return Err(format!(
            "a tensor of {} dimensions with {} strides, expected as many of both and at most {MAX_DIMS}",
            shape.len(),
            strides.len()
        ));
    }
    let number = |value: &Value, what| match value {
        Value::Int(n) => u64::try_from(*n).map_err(|_| format!("a tensor with the {what} {n}")),
        _ => Err(format!("a tensor whose {what} is no integer")),
    };
    let numbers = |values: &[Value], what| {
        values
            .iter()
            .map(|value| number(value, what))
            .collect::<Step<Vec<_>>>()
    };
    Ok(TensorRecord {
        storage: storages[*storage].clone(),
        offset: number(&Value::Int(*offset), "offset")?,
        shape: numbers(shape, "dimension")?,
        strides: numbers(strides, "stride")?,
    })
}
