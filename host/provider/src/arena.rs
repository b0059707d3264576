//! The memory of an instance's first allocations.
//!
//! Each page of memory that an instance touches costs its host time, and most exchanges need little memory. So it comes
//! from the page behind the provider's own data, and is not reused: a handler's instance lives for one request.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
    ptr,
};

/// How many bytes there are.
const SIZE: usize = 6 << 10;

/// An allocator that first gives away its own bytes.
struct Arena {
    bytes: UnsafeCell<MaybeUninit<[u8; SIZE]>>,
    /// How many of them have been given away.
    used: Cell<usize>,
}

// SAFETY: this module is compiled for wasm without threads only.
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { bytes: UnsafeCell::new(MaybeUninit::uninit()), used: Cell::new(0) };

impl Arena {
    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where in the arena an address is, or `None` if it is elsewhere.
    fn offset(&self, address: *mut u8) -> Option<usize> {
        let offset = address.addr().wrapping_sub(self.start().addr());
        (offset < SIZE).then_some(offset)
    }

    /// Gives away the bytes behind those that are in use.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let used = self.start().addr() + self.used.get();
        let offset = used.next_multiple_of(layout.align()) - self.start().addr();
        let end = offset.checked_add(layout.size()).filter(|end| *end <= SIZE)?;
        self.used.set(end);
        // SAFETY: the offset is at most SIZE.
        Some(unsafe { self.start().add(offset) })
    }
}

// SAFETY: `take` gives each byte away once, aligned as asked, until `dealloc` takes the last ones back. What does not come
// from the arena comes from `System`, and goes back to it, by its address.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of `System`.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        match self.offset(address) {
            Some(offset) if offset + layout.size() == self.used.get() => self.used.set(offset),
            Some(_) => {}
            // SAFETY: it is from `System`, and the caller's promises are those of `System`.
            None => unsafe { System.dealloc(address, layout) },
        }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(address) else {
            // SAFETY: it is from `System`, and the caller's promises are those of `System`.
            return unsafe { System.realloc(address, layout, size) };
        };
        if offset + layout.size() == self.used.get() && size <= SIZE - offset {
            self.used.set(offset + size);
            return address;
        }
        // SAFETY: the caller promises that the size is not too large for the alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both have at least so many bytes, and different ones, because the old ones are still in use.
            unsafe { ptr::copy_nonoverlapping(address, new, layout.size().min(size)) };
        }
        new
    }
}
