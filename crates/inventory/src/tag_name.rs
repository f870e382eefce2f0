//! A tag's name in 16 bytes, where it is short.

use oci::Tag;

/// The longest name that is stored in place, in bytes.
const SHORT_BYTES_MAX: usize = 14;

/// A tag's name.
#[derive(Debug)]
pub(crate) enum TagName {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<LongName>),
}

/// One pointer where a `Box<str>` would be two words.
#[derive(Debug)]
pub(crate) struct LongName(Box<str>);

impl TagName {
    pub(crate) fn of(tag: &Tag) -> Self {
        let name = tag.as_str();
        if name.len() > SHORT_BYTES_MAX {
            return Self::Long(Box::new(LongName(name.into())));
        }
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self::Short { len: u8::try_from(name.len()).expect("at most 14"), bytes }
    }

    /// The name's bytes, which are ASCII.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(name) => name.0.as_bytes(),
        }
    }

    pub(crate) fn to_tag(&self) -> Tag {
        let name = str::from_utf8(self.bytes()).expect("tags are ASCII");
        name.parse().expect("the name came from a tag")
    }

    /// The memory of a long name, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(name) => size_of::<LongName>() + name.0.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_as_it_was() {
        for name in ["v", "latest", "12345678901234", "123456789012345", &"x".repeat(128)] {
            let tag: Tag = name.parse().unwrap();
            assert_eq!(TagName::of(&tag).to_tag(), tag);
        }
        assert_eq!(size_of::<TagName>(), 16);
    }
}
