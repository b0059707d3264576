//! Images as files in memory, of which each instance has a private copy that the kernel makes page by page.
#![expect(unsafe_code, reason = "memories are mapped here, and each use has its proof beside it")]

use std::{
    cell::RefCell,
    fs::File,
    future::{Future, poll_fn},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    pin::pin,
    ptr::{self, NonNull},
    slice,
    sync::{Arc, LazyLock, Mutex},
};

use anyhow::Context as _;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap},
};
use wasmtime::{Config, LinearMemory, MemoryCreator, MemoryType};

use crate::{base::lock::lock, kind::wasm::python::assemble};

/// How many memories of an image are kept for instances to come: a few megabytes each, and at most all of the image. More
/// are needed only if more instances exist at the same time.
const KEPT_MAX: usize = 16;

/// What the memory of an instance begins with.
pub(in crate::kind::wasm) struct Image {
    /// Sealed: neither its content nor its length ever changes.
    file: File,
    /// All of the file.
    original: Mapping,
    length: usize,
    kept: Mutex<Vec<Copy>>,
}

impl Image {
    /// Makes an image of this memory, whose length is a multiple of 64 KiB.
    ///
    /// # Errors
    ///
    /// The system has no memory left for it.
    pub(in crate::kind::wasm) fn new(memory: &[u8]) -> anyhow::Result<Arc<Self>> {
        let make = || -> io::Result<Self> {
            let mut file =
                File::from(memfd_create("wasmserve-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
            file.write_all(memory)?;
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
            let length = memory.len();
            // SAFETY: the kernel chooses a place where nothing is.
            let start = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &file, 0)? };
            let original = Mapping { start: NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?.cast(), length };
            Ok(Self { file, original, length, kept: Mutex::default() })
        };
        make().map(Arc::new).context("there is no memory for the image of an application")
    }

    /// The core module that has the memory. Its content is not a part of it.
    pub(in crate::kind::wasm) fn module(&self) -> Vec<u8> {
        assemble::memory(self.length)
    }

    /// Runs a future in which an instance with this image is created.
    pub(in crate::kind::wasm) async fn begin<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            // Not for longer than the poll: others may create instances on this thread between two of them.
            let before = NEXT.replace(Some(Arc::clone(self)));
            let polled = future.as_mut().poll(context);
            NEXT.set(before);
            polled
        })
        .await
    }

    /// Gives back the memory that is kept for instances to come.
    pub(in crate::kind::wasm) fn trim(&self) {
        lock(&self.kept).clear();
    }

    /// The bytes of one page.
    fn page(&self, at: usize) -> &[u8] {
        // SAFETY: `original` maps all of the sealed file for as long as it exists, and is never written.
        let all = unsafe { slice::from_raw_parts(self.original.start.as_ptr(), self.length) };
        &all[at..at + *PAGE]
    }
}

thread_local! {
    /// The image of the instance that is being created on this thread.
    static NEXT: RefCell<Option<Arc<Image>>> = const { RefCell::new(None) };
}

/// The size of the kernel's pages in bytes.
static PAGE: LazyLock<usize> = LazyLock::new(rustix::param::page_size);

/// The kernel's table of this process's pages. `None` if there is no `/proc`.
static PAGES: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/pagemap").ok());

/// Has an engine take memories from images.
pub(in crate::kind::wasm) fn allocate(config: &mut Config) {
    config.with_host_memory(Arc::new(Creator));
}

/// A range of addresses that belongs to nothing else, and is unmapped with it.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it is plain memory, which no thread owns.
unsafe impl Send for Mapping {}
// SAFETY: only through `Copy`'s owner is it written.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped for this value alone, and each use of it borrows the value.
        _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The addresses of a memory: a private copy of an image, or zeros, then room to grow, then a guard.
struct Copy {
    all: Mapping,
    /// How much of it is accessible.
    size: usize,
    /// How much of it may become accessible.
    capacity: usize,
}

impl Copy {
    /// Addresses of which none is accessible yet.
    fn reserve(capacity: usize, guard: usize) -> io::Result<Self> {
        let length = capacity + guard;
        // SAFETY: the kernel chooses a place where nothing is. Nothing there is accessible.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), length, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        let start: NonNull<u8> = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?.cast();
        Ok(Self { all: Mapping { start, length }, size: 0, capacity })
    }

    /// A memory of no image, which is all zero.
    fn empty(size: usize, capacity: usize, guard: usize) -> io::Result<Self> {
        let mut copy = Self::reserve(capacity, guard)?;
        copy.grow_to(size)?;
        Ok(copy)
    }

    /// Makes more of it accessible, up to `size`, which is within the capacity.
    fn grow_to(&mut self, size: usize) -> io::Result<()> {
        assert!((self.size..=self.capacity).contains(&size), "it is within the capacity");
        let (grown, access) = (size - self.size, MprotectFlags::READ | MprotectFlags::WRITE);
        // SAFETY: the range is in this mapping, and was not accessible before. It has only new pages, which are zero.
        unsafe { mprotect(self.all.start.as_ptr().add(self.size).cast(), grown, access) }?;
        self.size = size;
        Ok(())
    }

    fn new(image: &Image, capacity: usize, guard: usize) -> io::Result<Self> {
        let copy = Self { size: image.length, ..Self::reserve(capacity, guard)? };
        let start = copy.all.start;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the range is the beginning of the one that was just mapped, which nothing refers to yet.
        unsafe {
            mmap(start.as_ptr().cast(), image.length, access, MapFlags::PRIVATE | MapFlags::FIXED, &image.file, 0)?;
        }
        Ok(copy)
    }

    /// Makes the memory what it was when it was new. Returns whether it is.
    fn restore(&mut self, image: &Image) -> bool {
        if self.size > image.length {
            let grown = self.size - image.length;
            // SAFETY: the range is in this mapping and behind the image. New pages replace what an instance has written.
            let replaced = unsafe {
                let start = self.all.start.as_ptr().add(image.length);
                let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
                mmap_anonymous(start.cast(), grown, ProtFlags::empty(), flags)
            };
            if replaced.is_err() {
                return false;
            }
            self.size = image.length;
        }
        self.restore_written(image).is_some()
    }

    /// Overwrites each page that may differ from the image. `None` if the kernel does not say which these are.
    ///
    /// A page equals the image only as long as it is the file's own page, or no page at all: the first write replaces it by
    /// one that belongs to this mapping alone (private mappings, mmap(2)). Of such a page, the kernel's entry is present
    /// without the flag for pages of files, or says that the page is elsewhere: in swap, or being moved. (Only what is in
    /// neither state is left alone below, whatever else an entry says.) An entry cannot become one of an unwritten page while
    /// it is read, because nothing writes to the memory of an instance that has ended, and the kernel changes an entry from
    /// written to unwritten only on request.
    fn restore_written(&mut self, image: &Image) -> Option<()> {
        // Documentation/admin-guide/mm/pagemap.rst.
        const IS_PRESENT: u64 = 1 << 63;
        const IS_SWAPPED: u64 = 1 << 62;
        const IS_OF_FILE: u64 = 1 << 61;
        const ENTRY: usize = size_of::<u64>();

        let pages = PAGES.as_ref()?;
        let mut entries = vec![0; image.length / *PAGE * ENTRY];
        let first = self.all.start.as_ptr().addr() / *PAGE;
        pages.read_exact_at(&mut entries, (first * ENTRY) as u64).ok()?;
        // SAFETY: this range is accessible, and no instance refers to it any more, so this is the only reference.
        let memory = unsafe { slice::from_raw_parts_mut(self.all.start.as_ptr(), image.length) };
        for (at, entry) in entries.chunks_exact(ENTRY).enumerate() {
            let entry = u64::from_ne_bytes(entry.try_into().expect("the chunks have this size"));
            let is_of_file = entry & (IS_PRESENT | IS_SWAPPED | IS_OF_FILE) == IS_PRESENT | IS_OF_FILE;
            let is_none = entry & (IS_PRESENT | IS_SWAPPED) == 0;
            if !is_of_file && !is_none {
                let at = at * *PAGE;
                memory[at..at + *PAGE].copy_from_slice(image.page(at));
            }
        }
        Some(())
    }
}

/// A memory of an instance.
struct Memory {
    /// `None` for a memory that began empty: that of a filter in front of the application.
    image: Option<Arc<Image>>,
    /// `None` once it is given back.
    copy: Option<Copy>,
}

impl Memory {
    fn copy(&self) -> &Copy {
        self.copy.as_ref().expect("it is given back only when dropped")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let (Some(mut copy), Some(image)) = (self.copy.take(), &self.image) else { return };
        if lock(&image.kept).len() < KEPT_MAX && copy.restore(image) {
            lock(&image.kept).push(copy);
        }
    }
}

// SAFETY: `as_ptr` is the start of a mapping that is never moved, whose first `byte_size` bytes are accessible, and which
// reserves `byte_capacity` bytes and the guard behind them for nothing else. It lives as long as this value.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.copy().size
    }

    fn byte_capacity(&self) -> usize {
        self.copy().capacity
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        let copy = self.copy.as_mut().expect("it is given back only when dropped");
        if size > copy.capacity {
            wasmtime::bail!("the memory cannot grow to {size} bytes");
        }
        Ok(copy.grow_to(size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.copy().all.start.as_ptr()
    }
}

/// Creates memories from images.
struct Creator;

// SAFETY: see `LinearMemory`. Other than the trait asks, a new memory is not all zero: what it contains is what the data of
// its module would have written, and wasmtime reads it only as the memory of an instance.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let image = NEXT.with_borrow(Clone::clone).ok_or("this memory has no image")?;
        let capacity = reserved.unwrap_or(minimum).max(minimum);
        if minimum != image.length {
            let empty = Copy::empty(minimum, capacity, guard);
            let copy = Some(empty.map_err(|error| format!("there is no memory for an instance: {error}"))?);
            return Ok(Box::new(Memory { image: None, copy }));
        }
        let kept = lock(&image.kept).pop();
        let copy = match kept {
            Some(copy) => Ok(copy),
            None => Copy::new(&image, capacity, guard),
        };
        let copy = Some(copy.map_err(|error| format!("there is no memory for an instance: {error}"))?);
        Ok(Box::new(Memory { image: Some(image), copy }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 4 << 20;

    fn image() -> (Vec<u8>, Arc<Image>) {
        // Pages that differ from each other, pages of zeros, and one that is both.
        let memory: Vec<u8> =
            (0..LENGTH).map(|at| if at % 30_000 < 10_000 { 0 } else { (at / 4096) as u8 | 1 }).collect();
        let image = Image::new(&memory).expect("there is memory");
        (memory, image)
    }

    fn bytes(copy: &mut Copy) -> &mut [u8] {
        // SAFETY: all of it is accessible, and the test has the only reference.
        unsafe { slice::from_raw_parts_mut(copy.all.start.as_ptr(), copy.size) }
    }

    #[test]
    fn a_copy_is_like_its_image_again_whatever_was_written() {
        let (memory, image) = image();
        let mut copy = Copy::new(&image, 8 << 20, 64 << 10).expect("there is memory");
        assert!(bytes(&mut copy) == memory);
        let writes: [fn(&mut [u8]); 5] = [
            |bytes| bytes.fill(0xaa),
            |bytes| bytes[LENGTH - 1] ^= 1,
            |bytes| bytes.iter_mut().step_by(40_000).for_each(|byte| *byte = !*byte),
            |bytes| assert_ne!(bytes.iter().copied().max(), Some(0), "it is only read"),
            |bytes| bytes.fill(0),
        ];
        for write in writes {
            write(bytes(&mut copy));
            assert!(copy.restore(&image), "the system shows which pages were written");
            assert!(bytes(&mut copy) == memory);
        }
    }

    #[test]
    fn what_a_memory_grew_by_is_zero_for_the_next_instance() {
        let (memory, image) = image();
        let mut next = {
            let copy = Copy::new(&image, 8 << 20, 64 << 10).expect("there is memory");
            let mut first = Memory { image: Some(Arc::clone(&image)), copy: Some(copy) };
            first.grow_to(LENGTH + (1 << 20)).expect("it may grow");
            assert!(first.grow_to(9 << 20).is_err(), "not beyond its capacity");
            bytes(first.copy.as_mut().expect("it is there")).fill(0x55);
            drop(first);
            let copy = lock(&image.kept).pop();
            Memory { image: Some(Arc::clone(&image)), copy: Some(copy.expect("the copy was kept")) }
        };
        assert_eq!(next.byte_size(), LENGTH);
        next.grow_to(LENGTH + (2 << 20)).expect("it may grow");
        let bytes = bytes(next.copy.as_mut().expect("it is there"));
        assert!(bytes[..LENGTH] == memory && bytes[LENGTH..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn pages_that_were_moved_out_of_memory_are_restored_too() {
        let (memory, image) = image();
        let mut copy = Copy::new(&image, 8 << 20, 64 << 10).expect("there is memory");
        bytes(&mut copy).fill(0xaa);
        // On a machine without swap they stay, and nothing is tested.
        // SAFETY: the advice changes nothing that is read from the range.
        _ = unsafe { rustix::mm::madvise(copy.all.start.as_ptr().cast(), LENGTH, rustix::mm::Advice::LinuxPageOut) };
        assert!(copy.restore(&image) && bytes(&mut copy) == memory);
    }
}
