//! The results of a purge: a line for each image as it goes, or one document in the end.

use serde_json::{Value, json};

use crate::commands::Failure;
use crate::commands::table::{amount, columns, joined, text_of};
use crate::output::{complain, print};

/// The results of a purge.
#[derive(Debug)]
pub(super) struct Report {
    is_dry_run: bool,
    is_json: bool,
    images: Vec<Value>,
    tags_only: Vec<Value>,
    kept: Vec<Value>,
    failures: Vec<Value>,
    freed_bytes: u64,
}

impl Report {
    pub(super) fn new(is_dry_run: bool, is_json: bool) -> Self {
        let (images, tags_only, kept, failures) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { is_dry_run, is_json, images, tags_only, kept, failures, freed_bytes: 0 }
    }

    /// Adds the answer about one image or one tag, which the user knows by this name.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn add(&mut self, name: &str, answer: &Value) -> Result<(), Failure> {
        if !self.is_json {
            print(&format!("{name}: {}\n", line(name, answer, self.is_dry_run)))?;
        }
        self.freed_bytes += answer["freed_bytes"].as_u64().unwrap_or(0);
        self.images.extend(answer["images"].as_array().into_iter().flatten().cloned());
        self.tags_only.extend(answer["tags_only"].as_array().into_iter().flatten().cloned());
        Ok(())
    }

    /// Adds an image that the plan does not remove.
    pub(super) fn keep(&mut self, image: &Value) {
        self.kept.push(image.clone());
    }

    /// Adds an image that was not removed.
    pub(super) fn fail(&mut self, name: &str, reason: &str) {
        if !self.is_json {
            complain(&format!("{name}: {reason}"));
        }
        self.failures.push(json!({ "image": name, "message": reason }));
    }

    /// Takes the bytes that come free of all images together.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn set_freed(&mut self, bytes: &Value) -> Result<(), Failure> {
        self.freed_bytes = bytes.as_u64().unwrap_or(self.freed_bytes);
        if self.is_json { Ok(()) } else { Ok(print(&format!("{} would come free in all\n", amount(bytes)))?) }
    }

    /// Prints the bytes that came free in all.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn sum_up(&self) -> Result<(), Failure> {
        let line = format!("{} freed in all\n", amount(&self.freed_bytes.into()));
        if self.is_json { Ok(()) } else { Ok(print(&line)?) }
    }

    /// # Errors
    /// Some images were not removed, or standard output cannot be written.
    pub(super) fn end(self) -> Result<(), Failure> {
        let count = self.kept.len() + self.failures.len();
        if self.is_json {
            let document = json!({
                "dry_run": self.is_dry_run,
                "images": self.images,
                "tags_only": self.tags_only,
                "freed_bytes": self.freed_bytes,
                "kept": self.kept,
                "failures": self.failures,
            });
            print(&format!("{document}\n"))?;
        }
        match count {
            0 => Ok(()),
            count => Err(Failure::Failed(format!("not removed: {}", counted(count, 0)))),
        }
    }
}

/// The result for one image or one tag.
fn line(name: &str, answer: &Value, is_dry_run: bool) -> String {
    let image = &answer["images"][0];
    if image.is_null() {
        let digest = text_of(&answer["tags_only"][0]["digest"]);
        let verb = if is_dry_run { "would be removed" } else { "was removed" };
        return format!("only the tag {verb}: {digest} is a part of an image that stays");
    }
    let (digest, freed) = (text_of(&image["digest"]), amount(&answer["freed_bytes"]));
    let further = further_tags(name, image);
    let further = if further.is_empty() { String::new() } else { format!(", with its tags {further}") };
    match is_dry_run {
        true => format!("would be removed ({digest}){further}, {freed} would come free"),
        false => format!("removed ({digest}){further}, {freed} freed"),
    }
}

/// The tags that go beside the one in the image's name.
fn further_tags(name: &str, image: &Value) -> String {
    // A colon before a slash belongs to a port.
    let named = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or("latest", |(_, tag)| tag);
    let is_by_digest = name.contains('@');
    let tags = image["removed_tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let further: Vec<_> = tags.filter(|tag| is_by_digest || *tag != named).collect();
    further.join(", ")
}

/// The table of what would be removed.
pub(super) fn plan_table(images: &[Value], tags: &[Value]) -> String {
    if images.is_empty() && tags.is_empty() {
        return String::new();
    }
    let of_images = images.iter().map(|image| {
        let (last_use, own) = (text_of(&image["last_use"]), amount(&image["freed_bytes"]));
        [shown(image), joined(&image["removed_tags"]), last_use, own]
    });
    let of_tags = tags.iter().map(|tag| {
        let only = format!("{} (only the tag)", text_of(&tag["tag"]));
        [shown_tag(tag), only, "-".to_owned(), amount(&0.into())]
    });
    columns(["IMAGE", "TAGS", "LAST USE", "OF ITS OWN"], of_images.chain(of_tags))
}

/// The image, as people write it: by its first tag, or by its digest.
pub(super) fn shown(image: &Value) -> String {
    let name = path(image);
    match image["tags"][0].as_str() {
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}@{}", text_of(&image["digest"])),
    }
}

/// The tag, as people write it.
pub(super) fn shown_tag(tag: &Value) -> String {
    format!("{}:{}", path(tag), text_of(&tag["tag"]))
}

fn path(object: &Value) -> String {
    format!("{}/{}", text_of(&object["registry"]), text_of(&object["repository"]))
}

pub(super) fn counted(image_count: usize, tag_count: usize) -> String {
    let counted = |count: usize, name: &str| match count {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    };
    match tag_count {
        0 => counted(image_count, "image"),
        tags if image_count == 0 => counted(tags, "tag"),
        tags => format!("{} and {}", counted(image_count, "image"), counted(tags, "tag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_that_goes_is_named_once() {
        let image = json!({ "removed_tags": ["1", "1-amd64", "latest"] });
        let digest = format!("ghcr.io/org/app@sha256:{}", "a".repeat(64));
        for (name, further) in [
            ("app", "1, 1-amd64"),
            ("app:1", "1-amd64, latest"),
            ("localhost:5000/app", "1, 1-amd64"),
            ("localhost:5000/app:1-amd64", "1, latest"),
            (digest.as_str(), "1, 1-amd64, latest"),
        ] {
            assert_eq!(further_tags(name, &image), further, "{name}");
        }
    }

    #[test]
    fn images_and_tags_are_counted() {
        for (images, tags, text) in [(1, 0, "1 image"), (0, 2, "2 tags"), (2, 1, "2 images and 1 tag")] {
            assert_eq!(counted(images, tags), text);
        }
    }
}
