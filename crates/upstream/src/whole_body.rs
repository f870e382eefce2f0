//! Reads the whole body of an answer, within a limit.

use budget::Budget;
use bytes::Bytes;
use reqwest::Response;

use crate::error::{Error, ErrorKind, causes};
use crate::response_headers::content_length;

/// Reads a body of at most `bytes_max`, which stays counted in `budget` until its bytes are dropped.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a larger one, [`ErrorKind::Interrupted`] when it breaks off,
/// [`ErrorKind::Overloaded`] when the budget has no room for it.
pub(crate) async fn read_body(
    mut response: Response,
    bytes_max: usize,
    budget: &Budget,
    host: &str,
) -> Result<Bytes, Error> {
    let too_large =
        || Error::new(ErrorKind::Invalid, host, format!("answered with more than {bytes_max} bytes"));
    let no_room = || {
        Error::new(
            ErrorKind::Overloaded,
            host,
            "was not read: the memory for answers is used up here; try again later",
        )
    };
    let told =
        content_length(response.headers()).map_or(0, |told| usize::try_from(told).unwrap_or(usize::MAX));
    if told > bytes_max {
        return Err(too_large());
    }
    let mut share = budget.take(told as u64).ok_or_else(no_room)?;
    let mut bytes = Vec::with_capacity(told);
    while let Some(chunk) = response.chunk().await.map_err(|error| interrupted(host, error))? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
        // Without a known length the buffer doubles.
        if !share.grow_to(bytes.capacity() as u64) {
            return Err(no_room());
        }
    }
    let bytes = Bytes::from(bytes.into_boxed_slice());
    share.shrink_to(bytes.len() as u64);
    Ok(share.attach(bytes))
}

/// Returns the error of a body that broke off or stalled.
pub(crate) fn interrupted(host: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let what = if error.is_timeout() { "fell silent" } else { "broke off its answer" };
    let detail = format!("{what}: {}", causes(&error));
    Error::new(ErrorKind::Interrupted, host, detail).with_source(error)
}
