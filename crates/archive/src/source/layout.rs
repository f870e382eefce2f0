//! OCI image layouts in directories (image-spec, "Image Layout").

use std::io;

use crate::confined::Confined;
use crate::image_index::{INDEX_BYTES_MAX, ImageIndex};
use crate::listing::Listing;

/// All images that `index.json` names in full. It is as old as the file.
pub(super) fn images(root: &Confined) -> io::Result<Listing> {
    let Some((bytes, modified_at)) = root.read(&["index.json"], INDEX_BYTES_MAX)? else {
        return Ok(Listing::default());
    };
    let index = ImageIndex::parse(&bytes)
        .map_err(|error| io::Error::other(format!("index.json is not readable: {error}")))?;
    Ok(index.listing(modified_at))
}
