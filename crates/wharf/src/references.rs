//! The references of images in what people already have: lists, Kubernetes manifests, the output of Helm and
//! of `kubectl get`, compose files.
//!
//! Text in, references out: the module reads no file and no environment. A line or a document that cannot be
//! read is reported with its line, and the rest is read nevertheless.

mod compose;
mod document;
mod kubernetes;
mod list;

use std::collections::HashSet;

use policy::image::ImageName;

use self::document::Document;

/// The most references that one command or one run takes.
pub(crate) const REFERENCE_COUNT_MAX: usize = 10_000;

/// The longest text, in bytes: the pods of ten thousand nodes take less.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;

/// The most mistakes and the most remarks that are kept; further ones are counted.
const REMARK_COUNT_MAX: usize = 1000;

/// Looks up a variable of the environment.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The references that were found, each once and in order.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// The images.
    pub(crate) images: Vec<ImageName>,
    /// What was meant as an image and cannot be one, with its place.
    pub(crate) mistakes: Remarks,
    /// What was left out, with its place and the reason.
    pub(crate) remarks: Remarks,
    seen: HashSet<String>,
}

/// Lines for the operator.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    lines: Vec<String>,
    left_out_count: usize,
}

impl Remarks {
    fn add(&mut self, line: String) {
        if self.lines.len() < REMARK_COUNT_MAX {
            self.lines.push(line);
        } else {
            self.left_out_count += 1;
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lines.len() + self.left_out_count
    }

    /// The lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let rest = (self.left_out_count > 0).then(|| format!("and {} more", self.left_out_count));
        self.lines.iter().cloned().chain(rest)
    }
}

/// What a document says about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// A reference, not yet checked.
    Image(String),
    /// No reference, for this reason.
    LeftOut(String),
    /// A reference that cannot be read, for this reason.
    Mistake(String),
}

/// A finding and its line; 0: the line is not known.
type Found = (usize, Finding);

impl References {
    /// Adds a reference from the command line.
    pub(crate) fn add_argument(&mut self, text: &str) {
        self.add(text, text);
    }

    /// Adds the references in a text, which messages call `source`.
    pub(crate) fn add_text(&mut self, source: &str, text: &[u8], variables: Variables<'_>) {
        if text.len() > TEXT_BYTES_MAX {
            self.mistakes.add(format!("{source}: is longer than {TEXT_BYTES_MAX} bytes; split it"));
            return;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            self.mistakes.add(format!("{source}: is not text in UTF-8"));
            return;
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let before = (self.seen.len(), self.mistakes.count(), self.remarks.count());
        let mut count = 0;
        let mut take = |(line, finding): Found| {
            count += 1;
            let place = if line == 0 { source.to_owned() } else { format!("{source}:{line}") };
            match finding {
                Finding::Image(image) => self.add(&place, &image),
                Finding::LeftOut(why) => self.remarks.add(format!("{place}: {why}")),
                Finding::Mistake(why) => self.mistakes.add(format!("{place}: {why}")),
            }
        };
        if list::is_list(text) {
            list::read(text).for_each(&mut take);
        } else {
            for document in document::documents(text) {
                match document {
                    Ok(document) => findings(&document, variables).into_iter().for_each(&mut take),
                    // A chart's template is no YAML before it is rendered.
                    Err(error) if text.contains("{{") => {
                        take((error.line, Finding::LeftOut(error.to_string())));
                    }
                    Err(error) => take((error.line, Finding::Mistake(error.to_string()))),
                }
            }
        }
        if count == 0 && before == (self.seen.len(), self.mistakes.count(), self.remarks.count()) {
            self.mistakes.add(format!("{source}: names no image"));
        }
    }

    /// Adds a mistake that is in no text.
    pub(crate) fn add_mistake(&mut self, line: String) {
        self.mistakes.add(line);
    }

    fn add(&mut self, place: &str, text: &str) {
        match text.parse::<ImageName>() {
            Ok(_) if self.seen.contains(text) => {}
            Ok(_) if self.images.len() >= REFERENCE_COUNT_MAX => self.mistakes.add(format!(
                "{place}: {text:?} is beyond the {REFERENCE_COUNT_MAX} images that one command takes"
            )),
            Ok(name) => {
                self.seen.insert(text.to_owned());
                self.images.push(name);
            }
            Err(error) => {
                let shown: String = text.chars().take(256).collect();
                self.mistakes.add(format!("{place}: {shown:?} is no image reference: {error}"));
            }
        }
    }
}

/// The images of one document, whatever kind it is of.
fn findings(document: &Document, variables: Variables<'_>) -> Vec<Found> {
    if let Some(services) = compose::services(document) {
        return compose::images(&services, variables);
    }
    match list::of_texts(document) {
        Some(found) => found,
        None => kubernetes::images(document),
    }
}

#[cfg(test)]
mod tests;
