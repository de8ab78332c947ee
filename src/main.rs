//! aigate
fn main() {}
