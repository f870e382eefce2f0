//! Platforms (image-spec, "Image Index": `platform`), and the choice among those of an index.

use std::fmt;
use std::str::FromStr;

/// The longest platform, in bytes.
const PLATFORM_BYTES_MAX: usize = 64;

/// A platform, in Go's names: `linux/amd64`, `linux/arm/v7`. Other usual names of an architecture are read as
/// those.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The architecture.
    pub architecture: String,
    /// The variant of the architecture; `None`: any, or the usual one.
    pub variant: Option<String>,
}

/// The text is no platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform is written as linux/amd64 or linux/arm/v7")]
pub struct PlatformError;

impl Platform {
    /// The platform with these names, as an index writes them.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (os, architecture) = (os.to_ascii_lowercase(), architecture.to_ascii_lowercase());
        let (architecture, implied) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", None),
            "i386" | "i686" | "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            other => (other, None),
        };
        let variant = variant.filter(|variant| !variant.is_empty()).or(implied);
        // These are what the architecture means without a variant.
        let is_usual = matches!((architecture, variant), ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")));
        let variant = variant.filter(|_| !is_usual).map(str::to_ascii_lowercase);
        Self { os, architecture: architecture.to_owned(), variant }
    }

    /// Whether an image for `offered` is one for this platform. Without a variant, every variant is.
    fn takes(&self, offered: &Self) -> bool {
        self.os == offered.os
            && self.architecture == offered.architecture
            && (self.variant.is_none() || self.variant == offered.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        let words: Vec<&str> = text.split('/').collect();
        if text.len() > PLATFORM_BYTES_MAX || !words.iter().all(|word| is_word(word)) {
            return Err(PlatformError);
        }
        match words[..] {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(PlatformError),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// A choice among the platforms of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// All of them.
    All,
    /// These.
    Some(Vec<Platform>),
}

impl Platforms {
    /// Whether the choice includes an index's entry for `offered`. An entry without a platform is for all.
    pub fn takes(&self, offered: Option<&Platform>) -> bool {
        match (self, offered) {
            (Self::All, _) | (_, None) => true,
            (Self::Some(chosen), Some(offered)) => chosen.iter().any(|it| it.takes(offered)),
        }
    }

    /// The chosen platforms of which `offered` has none.
    pub fn without(&self, offered: &[Platform]) -> Vec<Platform> {
        let Self::Some(chosen) = self else { return Vec::new() };
        chosen.iter().filter(|it| !offered.iter().any(|offered| it.takes(offered))).cloned().collect()
    }
}

/// `all`, or platforms separated by commas.
impl FromStr for Platforms {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>().map(Self::Some)
    }
}

impl fmt::Display for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Some(chosen) => {
                let texts: Vec<String> = chosen.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_in_their_usual_names() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/X86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/ä"] {
            assert_eq!(text.parse::<Platform>(), Err(PlatformError), "{text:?}");
        }
        assert!("x".repeat(80).parse::<Platform>().is_err());
    }

    #[test]
    fn a_choice_takes_its_platforms_with_all_their_variants() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (choice, offered, is_taken) in [
            ("all", "windows/amd64", true),
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/amd64,linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm", "linux/arm/v6", true),
            ("linux/amd64", "unknown/unknown", false),
        ] {
            let choice: Platforms = choice.parse().unwrap();
            assert_eq!(choice.takes(Some(&platform(offered))), is_taken, "{choice} {offered}");
            assert!(choice.takes(None));
        }
        let choice: Platforms = "linux/amd64, linux/s390x".parse().unwrap();
        assert_eq!(choice.without(&[platform("linux/amd64")]), [platform("linux/s390x")]);
        assert_eq!(choice.to_string(), "linux/amd64,linux/s390x");
        assert!("".parse::<Platforms>().is_err() && "linux/amd64,".parse::<Platforms>().is_err());
    }
}
