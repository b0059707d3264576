//! Bodies that are read from a file or another reader.

use std::io::{self, ErrorKind, Read};

const BLOCK: usize = 64 << 10;

/// A body that is read from a file or another reader, block by block: `wsgi.file_wrapper` of PEP 3333.
///
/// ```
/// use std::fs::File;
/// use wasmserve_guest::{Environ, FileWrapper};
///
/// fn app(_environ: Environ) -> std::io::Result<FileWrapper<File>> {
///     Ok(FileWrapper::new(File::open("/data/report.pdf")?))
/// }
/// # wasmserve_guest::testing::call(app, Environ::for_test([]));
/// ```
#[derive(Debug)]
pub struct FileWrapper<R> {
    reader: R,
    block: usize,
}

impl<R: Read> FileWrapper<R> {
    /// Reads blocks of up to 64 KiB.
    ///
    /// ```
    /// # use std::io::Read;
    /// # use wasmserve_guest::{Environ, FileWrapper, testing::call};
    /// let app = |_: Environ| FileWrapper::new((&b"header\n"[..]).chain(&b"data\n"[..]));
    /// assert_eq!(call(app, Environ::for_test([])).body, b"header\ndata\n");
    /// ```
    pub fn new(reader: R) -> Self {
        Self::with_block_size(reader, BLOCK)
    }

    /// Reads blocks of up to `block` bytes.
    ///
    /// ```
    /// # use wasmserve_guest::FileWrapper;
    /// let mut blocks = FileWrapper::with_block_size(&b"all of it"[..], 4);
    /// assert_eq!(blocks.next().unwrap()?, b"all ");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn with_block_size(reader: R, block: usize) -> Self {
        Self { reader, block }
    }
}

impl<R: Read> Iterator for FileWrapper<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        // One `read` makes one block. Filling the block up would delay the first bytes of a slow reader.
        let mut block = vec![0; self.block];
        loop {
            match self.reader.read(&mut block) {
                Ok(0) => return None,
                Ok(length) => {
                    block.truncate(length);
                    return Some(Ok(block));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_add_up_to_the_whole_reader() {
        let blocks = FileWrapper::with_block_size(&b"abcdefg"[..], 3);
        let blocks: io::Result<Vec<_>> = blocks.collect();
        assert_eq!(blocks.unwrap(), [&b"abc"[..], b"def", b"g"]);
    }
}
