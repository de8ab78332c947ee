//! Who calls: keys, their rights, and tokens of an identity provider.
//!
//! A caller presents one secret. The [`Gate`] decides what it is: a JSON Web Token of a known [`Issuer`], or a key in the
//! [`Ring`]. Either way the caller is [`Admitted`] with its name, labels and [`Rights`], or it is [`Refused`] with a
//! message that helps and tells no secret.

mod gate;
mod jwt;
mod moment;
mod refused;
mod rights;
mod ring;
pub mod secret;
#[cfg(test)]
mod testing;

pub use gate::Gate;
pub use jwt::{Issuer, JwtConfig};
pub use moment::parse_time;
pub use refused::Refused;
pub use rights::{NotAllowed, Pattern, Rights};
pub use ring::{Admitted, Key, Ring};
