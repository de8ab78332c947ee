//! Keys and values of the tokens a session has seen, kept so that no token is computed twice.

use half::{f16, vec::HalfBitsVecExt};

use super::shape::Shape;

/// Keys and values in half precision: for each layer `kv_heads x capacity x head_width`.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<Layer>,
    capacity: usize,
    length: usize,
    head_width: usize,
}

#[derive(Debug)]
struct Layer {
    keys: Vec<f16>,
    values: Vec<f16>,
}

impl Cache {
    /// An empty cache for `capacity` tokens. The memory is taken from the system as tokens come.
    pub fn new(shape: &Shape, capacity: usize) -> Self {
        let numbers = shape.kv_heads * capacity * shape.head_width;
        // Zeroed bits are handed out by the system untouched; zeros written one by one would take the memory at once.
        let empty = || vec![0u16; numbers].reinterpret_into::<f16>();
        let layer = |_| Layer { keys: empty(), values: empty() };
        Self {
            layers: (0..shape.layers).map(layer).collect(),
            capacity,
            length: 0,
            head_width: shape.head_width,
        }
    }

    /// Tokens in it.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tokens it can take.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all tokens from the `length`-th on.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// The tokens written behind the last one count from now on.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }

    /// The keys of one head, `capacity x head_width`.
    pub(super) fn keys(&self, layer: usize, head: usize) -> &[f16] {
        let size = self.capacity * self.head_width;
        &self.layers[layer].keys[head * size..][..size]
    }

    /// The values of one head, `capacity x head_width`.
    pub(super) fn values(&self, layer: usize, head: usize) -> &[f16] {
        let size = self.capacity * self.head_width;
        &self.layers[layer].values[head * size..][..size]
    }

    /// The places of a head's key and value at `position`.
    pub(super) fn place(&mut self, layer: usize, head: usize, position: usize) -> (&mut [f16], &mut [f16]) {
        let start = (head * self.capacity + position) * self.head_width;
        let Layer { keys, values } = &mut self.layers[layer];
        (&mut keys[start..][..self.head_width], &mut values[start..][..self.head_width])
    }
}
