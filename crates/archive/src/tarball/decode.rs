//! Compressed archives: gzip and zstd, recognised by their first bytes.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// The largest window of a zstd stream, as a power of two: the largest that `zstd` uses without `--long=31`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A stream may grow to this multiple of its compressed bytes, beyond [`GROWTH_FREE_BYTES`].
const GROWTH_MAX: u64 = 2000;

/// The bytes up to which a stream may grow in any case.
const GROWTH_FREE_BYTES: u64 = 4 << 30;

/// The plain bytes of `input`. A stream that grows out of proportion fails: such a stream is made to keep its
/// reader busy.
///
/// # Errors
/// I/O errors of the first bytes.
pub(crate) fn decoded(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let compressed = Arc::new(AtomicU64::new(0));
    let is_of = |bytes: &[u8]| magic.starts_with(bytes);
    let (is_gzip, is_zstd) = (is_of(&[0x1f, 0x8b]), is_of(&[0x28, 0xb5, 0x2f, 0xfd]));
    let whole = io::Cursor::new(magic).chain(input);
    let counted = BufReader::with_capacity(256 * 1024, Counted(whole, Arc::clone(&compressed)));
    let plain: Box<dyn Read + Send> = if is_gzip {
        Box::new(MultiGzDecoder::new(counted))
    } else if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(counted)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(decoder)
    } else {
        return Ok(Box::new(counted));
    };
    Ok(Box::new(InProportion { plain, plain_bytes: 0, compressed }))
}

struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buffer)?;
        self.1.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

struct InProportion {
    plain: Box<dyn Read + Send>,
    plain_bytes: u64,
    compressed: Arc<AtomicU64>,
}

impl Read for InProportion {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.plain.read(buffer)?;
        self.plain_bytes += len as u64;
        let compressed = self.compressed.load(Ordering::Relaxed);
        if self.plain_bytes > GROWTH_FREE_BYTES.saturating_add(compressed.saturating_mul(GROWTH_MAX)) {
            let reason = format!("{compressed} compressed bytes became more than {GROWTH_MAX} times as many");
            return Err(io::Error::other(reason));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn plain_gzip_and_zstd_streams_are_recognised() {
        let text = b"a plain text that is long enough".to_vec();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for stream in [text.clone(), gzip.finish().unwrap(), zstd] {
            let mut read = Vec::new();
            decoded(io::Cursor::new(stream)).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, text);
        }
        assert_eq!(decoded(io::empty()).unwrap().read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_stream_that_grows_out_of_proportion_fails() {
        let plain = Box::new(io::repeat(0));
        let mut stream =
            InProportion { plain, plain_bytes: GROWTH_FREE_BYTES - 10, compressed: Arc::default() };
        stream.read_exact(&mut [0; 10]).unwrap();
        assert!(stream.read(&mut [0; 10]).unwrap_err().to_string().contains("times as many"));
        stream.compressed.store(1, Ordering::Relaxed);
        stream.read_exact(&mut [0; 100]).unwrap();
    }
}
