use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Where a model computes. Its text form is `cpu`, `cuda:0` or `metal:0`.
///
/// Devices other than the CPU are there where the crate is built with their feature, `cuda` or `metal`. They compute the
/// same in another order of operations, to the tolerances of 32-bit arithmetic; results have the same bits on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The n-th graphics card of Nvidia.
    Cuda(usize),
    /// The n-th graphics processor of Apple.
    Metal(usize),
}

impl Device {
    pub(crate) fn open(self) -> Result<candle_core::Device, Error> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda(n) => candle_core::Device::new_cuda(n),
            Self::Metal(n) => candle_core::Device::new_metal(n),
        }
        .map_err(|source| Error::Device {
            device: self,
            source: Box::new(source),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.pad("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal(n) => write!(f, "metal:{n}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let device = match name.split_once(':').unwrap_or((name, "0")) {
            ("cpu", _) if name == "cpu" => Some(Self::Cpu),
            ("cuda", n) => n.parse().ok().map(Self::Cuda),
            ("metal", n) => n.parse().ok().map(Self::Metal),
            _ => None,
        };
        device.ok_or_else(|| "expected cpu, cuda:0 or metal:0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_and_one_that_is_not_built_in_is_said_to_be() {
        for (name, device) in [
            ("cpu", Device::Cpu),
            ("cuda:1", Device::Cuda(1)),
            ("metal:0", Device::Metal(0)),
        ] {
            assert_eq!((name.parse(), device.to_string().as_str()), (Ok(device), name));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for wrong in ["", "gpu", "cpu:1", "cuda:x"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
        if cfg!(not(feature = "cuda")) {
            let error = Device::Cuda(0).open().unwrap_err().to_string();
            assert!(error.starts_with("cuda:0: cannot be used"), "{error}");
        }
    }
}
