//! Sends archives, and directories as archives, to the admin listener.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};

use archive::{Batch, Packer, Progress, Receiver, Registries, Report, Source};
use oci::Digest;
use serde_json::{Value, json};

use super::arguments::ImportArguments;
use crate::admin_listener::AdminListener;
use crate::commands::progress::{ProgressLine, announce};
use crate::commands::query;
use crate::exchange::Socket;

/// Bytes sent at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The bound on an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The way to a running wharf.
pub(super) struct Carrier<'a> {
    listener: &'a AdminListener,
    arguments: &'a ImportArguments,
    line: ProgressLine,
    progress: Progress,
    /// The registries by the names that a directory uses; a reason for those that wharf does not serve.
    registries: HashMap<String, Result<String, String>>,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(listener: &'a AdminListener, arguments: &'a ImportArguments) -> Self {
        let (line, progress) = (ProgressLine::new(), Progress::default());
        Self { listener, arguments, line, progress, registries: HashMap::new() }
    }

    /// Sends an archive.
    ///
    /// # Errors
    /// A line for the operator.
    pub(super) fn archive(&mut self, mut input: impl Read) -> Result<Report, String> {
        self.progress.total = self.arguments.path.metadata().map_or(0, |metadata| metadata.len());
        let registry = self.arguments.registry.as_deref();
        self.send(registry, false, |out| io::copy(&mut input, out).map(drop))
    }

    /// Sends the images of a directory, with the blobs that the stores lack.
    ///
    /// # Errors
    /// A line for the operator. Another run continues, if the registry exists.
    pub(super) fn directory(&mut self, source: &Source) -> Result<Report, String> {
        let chosen = match &self.arguments.registry {
            Some(name) => Some(self.resolve(name).map_err(|Reason(reason)| reason)??),
            None => None,
        };
        self.try_directory(source, chosen)
            .map_err(|Reason(reason)| format!("{reason}; run the command again to continue"))
    }

    fn try_directory(&mut self, source: &Source, chosen: Option<String>) -> Result<Report, Reason> {
        let mut packer = Packer::new(source, chosen)?;
        let mut report = Report::default();
        while let Some(batch) = packer.next(self)? {
            report.refuse(packer.refusals());
            let missing = self.missing(&batch)?;
            self.progress.total = 0;
            report.add(self.send(None, true, |out| batch.write(&missing, out))?);
        }
        report.refuse(packer.refusals());
        Ok(report)
    }

    /// The blobs of an archive that its registry's store lacks.
    fn missing(&self, batch: &Batch<'_>) -> Result<HashSet<Digest>, Reason> {
        let digests: Vec<_> = batch.blobs().map(ToString::to_string).collect();
        let answer = self.ask(batch.registry(), &digests)?.map_err(Reason)?;
        let texts = answer["missing"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(texts.filter_map(|text| text.parse().ok()).collect())
    }

    /// Asks which of these blobs a registry lacks. The inner error: there is no such registry.
    fn ask(&self, registry: &str, digests: &[String]) -> Result<Result<Value, String>, Reason> {
        let content = json!({ "digests": digests }).to_string();
        let target = format!("/api/import/missing?{}", query(&[("registry", registry)]));
        let framing = format!("Content-Type: application/json\r\nContent-Length: {}", content.len());
        let send = |socket: &mut Socket| socket.write_all(content.as_bytes());
        let answer = self.listener.stream("POST", &target, &framing, send)?;
        match answer.status {
            200 => {
                let document = serde_json::from_reader(answer.content.take(ANSWER_BYTES_MAX));
                Ok(Ok(document.map_err(|error| format!("the answer is not readable: {error}"))?))
            }
            404 => Ok(Err(format!("the configuration has no registry {registry}"))),
            _ => Err(Reason(self.listener.reason_of(answer))),
        }
    }

    /// Sends what `write` writes as one archive.
    fn send(
        &mut self,
        registry: Option<&str>,
        takes_incomplete: bool,
        write: impl FnOnce(&mut Chunks<'_>) -> io::Result<()>,
    ) -> Result<Report, String> {
        let mut parameters: Vec<_> = registry.iter().map(|name| ("registry", *name)).collect();
        parameters.extend(self.arguments.replace_tags.then_some(("replace_tags", "true")));
        parameters.extend(takes_incomplete.then_some(("incomplete", "true")));
        let target = format!("/api/import?{}", query(&parameters));
        let framing = "Transfer-Encoding: chunked\r\nContent-Type: application/x-tar";
        let (line, progress) = (&mut self.line, &mut self.progress);
        let send = |socket: &mut Socket| {
            let mut out = Chunks { socket, piece: Vec::with_capacity(PIECE_BYTES), line, progress };
            write(&mut out)?;
            out.finish()
        };
        let answer = self.listener.stream("POST", &target, framing, send)?;
        self.line.end();
        if answer.status != 200 {
            return Err(self.listener.reason_of(answer));
        }
        let report = serde_json::from_reader(answer.content.take(ANSWER_BYTES_MAX));
        report.map_err(|error| format!("the answer is not readable: {error}"))
    }
}

impl Registries for Carrier<'_> {
    type Error = Reason;

    fn resolve(&mut self, name: &str) -> Result<Result<String, String>, Reason> {
        if let Some(known) = self.registries.get(name) {
            return Ok(known.clone());
        }
        let found = self.ask(name, &[])?.map(|answer| answer["registry"].as_str().unwrap_or(name).to_owned());
        self.registries.insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

/// The reason why an import ended, for the operator.
pub(super) struct Reason(String);

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        Self(format!("cannot read the source: {error}"))
    }
}

/// The chunked coding of what is written (RFC 9112, section 7.1).
struct Chunks<'a> {
    socket: &'a mut Socket,
    piece: Vec<u8>,
    line: &'a mut ProgressLine,
    progress: &'a mut Progress,
}

impl Chunks<'_> {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        write!(self.socket, "{:x}\r\n", self.piece.len())?;
        self.piece.extend(b"\r\n");
        self.socket.write_all(&self.piece)?;
        self.progress.done += self.piece.len() as u64 - 2;
        self.piece.clear();
        self.line.show(*self.progress);
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.socket.write_all(b"0\r\n\r\n")
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend(&bytes[..len]);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Receiver for Chunks<'_> {
    fn begin(&mut self, image: &str) {
        announce(image);
    }
}
