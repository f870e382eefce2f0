//! The place of an archive on disk.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::syncfs;
use zstd::Encoder;

use super::temporary::{Temporary, remove_abandoned};
use crate::tarball::{END, header_of, padding_after};

/// The level of zstd: layers are compressed already, so a higher one gains little.
const ZSTD_LEVEL: i32 = 1;

/// Bytes that are collected for one write.
const BUFFER_BYTES: usize = 1 << 20;

/// An archive that is being written under a temporary name. If it is dropped before it is finished, nothing
/// is left of it.
pub(super) struct Place {
    path: PathBuf,
    temporary: Temporary,
    form: Form,
}

enum Form {
    Directory(Option<File>),
    Tar { out: BufWriter<File>, padding: u64 },
    Zstd { out: Encoder<'static, BufWriter<File>>, padding: u64 },
}

impl Place {
    /// Begins an archive of the form that its name tells.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        remove_abandoned(above(path));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let out = |file| BufWriter::with_capacity(BUFFER_BYTES, file);
        let (temporary, form) = if name.ends_with(".tar") {
            let (temporary, file) = Temporary::file(path)?;
            (temporary, Form::Tar { out: out(file), padding: 0 })
        } else if name.ends_with(".tar.zst") || name.ends_with(".tzst") {
            let (temporary, file) = Temporary::file(path)?;
            (temporary, Form::Zstd { out: Encoder::new(out(file), ZSTD_LEVEL)?, padding: 0 })
        } else if path.symlink_metadata().is_ok() {
            return Err(io::Error::other(
                "it exists; remove it, or give a name that ends in .tar or .tar.zst for an archive",
            ));
        } else {
            (Temporary::directory(path)?, Form::Directory(None))
        };
        Ok(Self { path: path.to_owned(), temporary, form })
    }

    /// Begins a file.
    pub(super) fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        match &mut self.form {
            Form::Directory(file) => {
                let path = self.temporary.path.join(name);
                if let Some(above) = path.parent() {
                    fs::create_dir_all(above)?;
                }
                *file = Some(File::create_new(path)?);
                Ok(())
            }
            Form::Tar { out, padding } => {
                *padding = padding_after(size);
                out.write_all(&header_of(name, size))
            }
            Form::Zstd { out, padding } => {
                *padding = padding_after(size);
                out.write_all(&header_of(name, size))
            }
        }
    }

    /// Writes bytes of the file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.form {
            Form::Directory(Some(file)) => file.write_all(bytes),
            Form::Directory(None) => Ok(()),
            Form::Tar { out, .. } => out.write_all(bytes),
            Form::Zstd { out, .. } => out.write_all(bytes),
        }
    }

    /// Ends the file.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let zeros = |padding: u64| vec![0; usize::try_from(padding).unwrap_or(0)];
        match &mut self.form {
            Form::Directory(file) => {
                *file = None;
                Ok(())
            }
            Form::Tar { out, padding } => out.write_all(&zeros(*padding)),
            Form::Zstd { out, padding } => out.write_all(&zeros(*padding)),
        }
    }

    /// Makes the archive durable and gives it its final name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.form, Form::Directory(None)) {
            Form::Directory(_) => syncfs(File::open(&self.temporary.path)?)?,
            Form::Tar { mut out, .. } => {
                out.write_all(&END)?;
                out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            }
            Form::Zstd { mut out, .. } => {
                out.write_all(&END)?;
                out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            }
        }
        self.temporary.rename(&self.path)?;
        File::open(above(&self.path))?.sync_all()
    }
}

/// The directory in which `path` is.
fn above(path: &Path) -> &Path {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    above.unwrap_or(Path::new("."))
}
