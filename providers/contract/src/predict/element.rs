//! How one value becomes an element of a datatype: numbers in range, fractions rounded but never to infinity.

use bytes::Bytes;
use half::{bf16, f16};

use super::{Data, Datatype, Scalar, tensor::each};

/// 2⁵³: whole numbers up to here are exact in an `FP64`.
pub(super) const EXACT: u64 = 1 << 53;

/// What can stand in a tensor of one datatype.
pub(super) trait Element: Sized {
    const DATATYPE: Datatype;
    fn of_unsigned(_value: u64) -> Option<Self> {
        None
    }
    fn of_signed(_value: i64) -> Option<Self> {
        None
    }
    fn of_real(_value: f64) -> Option<Self> {
        None
    }
    fn of_bool(_value: bool) -> Option<Self> {
        None
    }
    fn of_text(_value: &str) -> Option<Self> {
        None
    }
    /// A `null`: a missing value, where the datatype has a way to say so.
    fn missing() -> Option<Self> {
        None
    }
}

impl Data {
    /// Appends an element; `None` where the datatype cannot hold it.
    pub fn push(&mut self, scalar: Scalar<'_>) -> Option<()> {
        each!(self, vector => vector.push(of(scalar)?));
        Some(())
    }

    /// Appends a missing value; `None` where the datatype has no way to say so.
    pub fn push_missing(&mut self) -> Option<()> {
        each!(self, vector => vector.push(Element::missing()?));
        Some(())
    }
}

fn of<T: Element>(scalar: Scalar<'_>) -> Option<T> {
    match scalar {
        Scalar::Bool(value) => T::of_bool(value),
        Scalar::Int(value) => T::of_signed(value),
        Scalar::Uint(value) => T::of_unsigned(value),
        Scalar::Real(value) => T::of_real(value),
        Scalar::Bytes(value) => T::of_text(std::str::from_utf8(value).ok()?),
    }
}

macro_rules! whole_numbers {
    ($($type:ty => $datatype:ident),*) => {$(
        impl Element for $type {
            const DATATYPE: Datatype = Datatype::$datatype;
            fn of_unsigned(value: u64) -> Option<Self> {
                value.try_into().ok()
            }
            fn of_signed(value: i64) -> Option<Self> {
                value.try_into().ok()
            }
            fn of_real(value: f64) -> Option<Self> {
                // `3.0` is 3: many a language writes whole numbers so.
                let exact = value.fract() == 0.0 && value.abs() <= EXACT as f64;
                exact.then_some(value as i64)?.try_into().ok()
            }
        }
    )*};
}

whole_numbers!(
    u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64
);

macro_rules! reals {
    ($($type:ty => $datatype:ident, $from:expr);*) => {$(
        impl Element for $type {
            const DATATYPE: Datatype = Datatype::$datatype;
            fn of_unsigned(value: u64) -> Option<Self> {
                Self::of_real(value as f64)
            }
            fn of_signed(value: i64) -> Option<Self> {
                Self::of_real(value as f64)
            }
            fn of_real(value: f64) -> Option<Self> {
                let narrow: $type = $from(value);
                // Rounded, as any decimal fraction is; but not to infinity.
                f64::from(narrow).is_finite().then_some(narrow)
            }
            fn missing() -> Option<Self> {
                Some($from(f64::NAN))
            }
        }
    )*};
}

reals!(f16 => Fp16, f16::from_f64; bf16 => Bf16, bf16::from_f64; f32 => Fp32, |value| value as f32; f64 => Fp64, |value| value);

impl Element for bool {
    const DATATYPE: Datatype = Datatype::Bool;
    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
    fn of_unsigned(value: u64) -> Option<Self> {
        // Some clients write 0 and 1.
        (value < 2).then_some(value == 1)
    }
    fn of_signed(value: i64) -> Option<Self> {
        Self::of_unsigned(value.try_into().ok()?)
    }
}

impl Element for Bytes {
    const DATATYPE: Datatype = Datatype::Bytes;
    fn of_text(value: &str) -> Option<Self> {
        Some(Self::copy_from_slice(value.as_bytes()))
    }
    fn missing() -> Option<Self> {
        Some(Self::new())
    }
}
