//! How far a pull has come.

/// Is told how far a pull has come. The methods return at once.
pub trait Progress: Send + Sync {
    /// A file begins: its name and its bytes.
    fn begin(&self, file: &str, size: u64);
    /// So many bytes of the file are there; fewer than before when it must begin anew.
    fn at(&self, bytes: u64);
    /// The file is whole.
    fn end(&self);
    /// Something that a person should know.
    fn note(&self, text: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
}
