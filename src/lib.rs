//! aigate
