//! A slice of which several threads write parts at once.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice that can be shared by threads which write different parts of it.
#[derive(Debug)]
pub(in crate::kernels) struct Disjoint<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it gives out mutable parts only, and the caller of `part` promises that they do not overlap; that
// moves values between threads at most, hence `Send`.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(in crate::kernels) fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// # Safety
    /// While a part is in use, no other one that overlaps it may be.
    ///
    /// # Panics
    /// When the range is not within the slice.
    #[expect(clippy::mut_from_ref, reason = "the parts that are given out do not overlap")]
    pub(in crate::kernels) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "part {range:?} of {}", self.length);
        // SAFETY: the range is within the slice, which is borrowed mutably for 'a; the caller promises the rest.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
