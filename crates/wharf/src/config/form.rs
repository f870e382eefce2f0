//! The forms of values: how each one is read, shown, and described to editors.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use policy::access::{NamePattern, Network};
use policy::eviction::Cap;
use policy::freshness::StaleLimit;
use policy::image::{ImagePattern, PatternError};
use policy::no_proxy::NoProxyRule;
use secret::Secret;
use url::Url;

use super::address::{parse_authority, parse_host, parse_mode, parse_proxy};
use super::duration::{self, parse_duration};
use super::outside;
use super::reader::{Reader, Text};
use super::remark::Place;
use super::size;
use super::table::{Table, Value};

/// How a value of the type `T` is written.
pub(crate) struct Form<T: 'static> {
    pub(crate) shape: Shape,
    /// Reads the key of this name, or adds a remark.
    pub(crate) read: fn(&mut Reader<'_>, &Table<'_>, &str) -> Option<T>,
    /// Formats a default as the file would write it, without quotes.
    pub(crate) show: fn(&T) -> String,
}

/// The texts that a key accepts, apart from the type of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text,
    /// A text that is never printed.
    Secret,
    Host,
    /// A host with or without a port.
    Authority,
    /// The name or an alias of a registry.
    Registry,
    Upstream,
    /// A URL that may hold a login.
    Proxy,
    /// An IP address and a port.
    Address,
    /// An IP address and a port, or the path of a Unix socket.
    AddressOrSocket,
    /// The permissions of a file.
    Mode,
    Path,
    Flag,
    /// A whole number.
    Count {
        min: usize,
        max: usize,
        unit: Unit,
    },
    /// A length of time.
    Time {
        may_be_zero: bool,
        may_be_forever: bool,
    },
    /// Bytes, or a share of the file system.
    Size,
    /// Bytes per second.
    Rate,
    /// The name of images, with wildcards.
    Images,
    /// Rules for tags, each with a pattern and a time.
    TagRules,
    /// Rules for certain clients.
    AccessRules,
    /// An IP address, or a network of addresses.
    Network,
    /// A host, an address, a network or `*`, with or without a port.
    NoProxy,
    /// The name of repositories, with wildcards.
    Repositories,
    /// Certificates, each with the files of its chain and its key.
    Certificates,
    /// A source of credentials, or a list of rules.
    Credentials,
    /// A source of credentials.
    CredentialSource,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A list, or one text in place of a list of one.
    List(&'static Shape),
    /// The shape, or the word `off`.
    OrOff(&'static Shape),
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The things that the key names.
    Things,
    Bytes,
}

/// The word that turns a key off.
pub(crate) const OFF: &str = "off";

/// The word for an unlimited time.
const FOREVER: &str = "forever";

pub(crate) const TEXT: Form<Text> = text(Shape::Text);
pub(crate) const ADDRESS: Form<Text> = text(Shape::OrOff(&Shape::AddressOrSocket));
/// Permissions of a file.
pub(crate) const MODE: Form<u32> = Form {
    shape: Shape::Mode,
    read: |reader, table, key| {
        let text = reader.text(table, key)?;
        match parse_mode(&text.value) {
            Ok(mode) => Some(mode),
            Err(wrong) => reader.refuse_value(&text.place, &format!("{:?}: {wrong}", text.written)),
        }
    },
    show: |mode| format!("{mode:04o}"),
};
pub(crate) const UPSTREAM: Form<Text> = text(Shape::Upstream);
/// A text that may be empty, which means the same as no key.
pub(crate) const REGISTRY: Form<Text> = Form {
    shape: Shape::OrOff(&Shape::Registry),
    read: |reader, table, key| reader.text_or_nothing(table, key),
    show: show_text,
};
/// The two halves of a login, each of which may be empty.
pub(crate) const USERNAME: Form<Text> =
    Form { shape: Shape::Text, read: |reader, table, key| reader.text_or_empty(table, key), show: show_text };
pub(crate) const PASSWORD: Form<Text> = Form { shape: Shape::Secret, ..USERNAME };

/// An empty text means the same as no key.
pub(crate) const HOST: Form<Text> = Form {
    shape: Shape::Host,
    read: |reader, table, key| {
        let text = reader.text_or_nothing(table, key)?;
        match parse_host(&text.value) {
            Ok(value) => Some(Text { value, ..text }),
            Err(wrong) => reader.refuse_value(&text.place, wrong),
        }
    },
    show: show_text,
};

pub(crate) const TEXTS: Form<Vec<Text>> = Form {
    shape: Shape::List(&Shape::Text),
    read: |reader, table, key| reader.texts(table, key),
    show: |texts| texts.iter().map(show_text).collect::<Vec<_>>().join(", "),
};
pub(crate) const UPSTREAMS: Form<Vec<Text>> = Form { shape: Shape::List(&Shape::Upstream), ..TEXTS };
pub(crate) const ADDRESSES: Form<Vec<Text>> = Form { shape: Shape::List(&Shape::Address), ..TEXTS };
pub(crate) const ADDRESSES_OR_OFF: Form<Vec<Text>> =
    Form { shape: Shape::OrOff(&Shape::List(&Shape::Address)), ..TEXTS };
pub(crate) const HOSTS: Form<Vec<Text>> = Form {
    shape: Shape::List(&Shape::Host),
    read: |reader, table, key| Some(reader.parsed_texts(table, key, parse_host)),
    ..TEXTS
};
pub(crate) const AUTHORITIES: Form<Vec<Text>> = Form {
    shape: Shape::List(&Shape::Authority),
    read: |reader, table, key| Some(reader.parsed_texts(table, key, parse_authority)),
    ..TEXTS
};

pub(crate) const PATH: Form<Text> =
    Form { shape: Shape::Path, read: |reader, table, key| reader.path(table, key), show: show_text };
/// The file with a secret.
pub(crate) const SECRET_FILE: Form<Secret<String>> = Form {
    shape: Shape::Path,
    read: |reader, table, key| reader.secret_file(table, key),
    show: |_| String::new(),
};
/// The path of a file with a password, which is read again when it changes. It is checked as the secret of
/// [`SECRET_FILE`].
pub(crate) const PASSWORD_FILE: Form<PathBuf> = Form {
    shape: Shape::Path,
    read: |reader, table, key| reader.password_file(table, key),
    show: |path| path.display().to_string(),
};
/// The file with certificates in PEM form.
pub(crate) const CERTIFICATES: Form<Vec<u8>> = Form {
    shape: Shape::Path,
    read: |reader, table, key| reader.certificates(table, key),
    show: |_| String::new(),
};
/// The file with a private key in PEM form.
pub(crate) const PRIVATE_KEY: Form<Vec<u8>> =
    Form { read: |reader, table, key| reader.private_key(table, key), ..CERTIFICATES };

/// An empty text means the same as no key.
pub(crate) const PROXY: Form<Url> = Form {
    shape: Shape::Proxy,
    read: |reader, table, key| {
        let text = reader.text_or_nothing(table, key)?;
        match parse_proxy(&text.value) {
            Ok(url) => Some(url),
            Err(wrong) => reader.refuse_value(&text.place, wrong),
        }
    },
    show: |_| String::new(),
};

pub(crate) const FLAG: Form<bool> =
    Form { shape: Shape::Flag, read: |reader, table, key| reader.flag(table, key), show: bool::to_string };

pub(crate) const TIME: Form<Duration> = Form {
    shape: Shape::Time { may_be_zero: true, may_be_forever: false },
    read: |reader, table, key| reader.duration(table, key),
    show: |length| duration::write(*length),
};
/// A timeout.
pub(crate) const TIMEOUT: Form<Duration> = Form {
    shape: Shape::Time { may_be_zero: false, may_be_forever: false },
    read: |reader, table, key| reader.timeout(table, key),
    ..TIME
};
/// The time for which an answer stays valid; `forever` is the longest duration.
pub(crate) const TTL: Form<Duration> = Form {
    shape: Shape::Time { may_be_zero: true, may_be_forever: true },
    read: |reader, table, key| {
        reader.length_or_forever(table, key).map(|length| match length {
            StaleLimit::Forever => Duration::MAX,
            StaleLimit::For(length) => length,
            StaleLimit::Never => Duration::ZERO,
        })
    },
    ..TIME
};
pub(crate) const STALE_LIMIT: Form<StaleLimit> = Form {
    shape: TTL.shape,
    read: |reader, table, key| reader.length_or_forever(table, key),
    show: |limit| match limit {
        StaleLimit::Forever => FOREVER.to_owned(),
        StaleLimit::For(length) => duration::write(*length),
        StaleLimit::Never => duration::write(Duration::ZERO),
    },
};

/// A size that can be turned off.
pub(crate) const SIZE_OR_OFF: Form<Option<Cap>> = Form {
    shape: Shape::OrOff(&Shape::Size),
    read: |reader, table, key| {
        let text = reader.size_text(table, key)?;
        if text.value == OFF {
            return Some(None);
        }
        let cap = size::parse_size(&text.value);
        if cap.is_none() {
            let advice = match size::near_miss(&text.value) {
                Some(meant) => format!("write {meant:?}"),
                None => "write a number above zero with a unit, such as \"500GB\" or \"1.5TiB\", a share of the file \
                         system from \"1%\" to \"100%\", or \"off\""
                    .to_owned(),
            };
            return reader.refuse_value(&text.place, &format!("{:?} is no size; {advice}", text.written));
        }
        Some(cap)
    },
    show: |cap| cap.map_or_else(|| OFF.to_owned(), size::write_size),
};

/// Bytes that stay free. All of the file system would leave no room for an image.
pub(crate) const FREE_SIZE_OR_OFF: Form<Option<Cap>> = Form {
    read: |reader, table, key| {
        let cap = (SIZE_OR_OFF.read)(reader, table, key)?;
        if cap == Some(Cap::Percent(100)) {
            let place = reader.place(table, key);
            let wrong = "\"100%\" leaves no room for any image; write a smaller share, such as \"5%\"";
            return reader.refuse_value(&place, wrong);
        }
        Some(cap)
    },
    ..SIZE_OR_OFF
};

/// Bytes per second.
pub(crate) const RATE: Form<NonZeroU64> = Form {
    shape: Shape::Rate,
    read: |reader, table, key| {
        let text = reader.text(table, key)?;
        let rate = size::parse_rate(&text.value);
        if rate.is_none() {
            return reader.refuse_value(
                &text.place,
                "is no rate; write bytes per second above zero, such as \"10MB/s\"",
            );
        }
        rate
    },
    show: |rate| size::write_rate(*rate),
};

/// Bytes per second, or no limit.
pub(crate) const RATE_OR_OFF: Form<Option<NonZeroU64>> = Form {
    shape: Shape::OrOff(&Shape::Rate),
    read: |reader, table, key| {
        let text = reader.text(table, key)?;
        if text.value == OFF {
            return Some(None);
        }
        let rate = size::parse_rate(&text.value);
        if rate.is_none() {
            let wrong = "is no rate; write bytes per second above zero, such as \"10MB/s\", or \"off\"";
            return reader.refuse_value(&text.place, wrong);
        }
        Some(rate)
    },
    show: |rate| rate.map_or_else(|| OFF.to_owned(), size::write_rate),
};

/// Patterns that name images.
pub(crate) const IMAGES: Form<Vec<ImagePattern>> = Form {
    shape: Shape::List(&Shape::Images),
    read: |reader, table, key| {
        let mut patterns = Vec::new();
        for text in reader.texts(table, key)? {
            // No image has a blank or a comma, so a text is the list that a variable would be.
            for pattern in outside::texts(&text.value) {
                match pattern.parse() {
                    Ok(pattern) => patterns.push(pattern),
                    Err(error) => {
                        let error: PatternError = error;
                        let wrong = format!(
                            "{pattern:?}: {error}; write, for example, \"alpine:3.*\" or \"ghcr.io/org/*\""
                        );
                        reader.refuse(&text.place, wrong);
                    }
                }
            }
        }
        Some(patterns)
    },
    show: |patterns| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
};

/// Patterns that name repositories.
pub(crate) const REPOSITORIES: Form<Vec<ImagePattern>> = Form {
    shape: Shape::List(&Shape::Repositories),
    read: |reader, table, key| {
        let patterns = (IMAGES.read)(reader, table, key)?;
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.has_reference()) {
            let place = reader.place(table, key);
            let wrong = format!(
                "\"{pattern}\" names a tag or a digest, and access is for whole repositories; leave it out"
            );
            return reader.refuse_value(&place, &wrong);
        }
        Some(patterns)
    },
    ..IMAGES
};

/// Patterns for names.
pub(crate) const NAMES: Form<Vec<NamePattern>> = Form {
    shape: Shape::List(&Shape::Text),
    read: |reader, table, key| {
        let mut names = Vec::new();
        for text in reader.texts(table, key)? {
            match NamePattern::parse(&text.value) {
                Some(name) => names.push(name),
                None => {
                    let wrong =
                        format!("{:?} is no name; write one such as \"alice\" or \"ci-*\"", text.written);
                    reader.refuse(&text.place, wrong);
                }
            }
        }
        Some(names)
    },
    show: |names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
};
/// Patterns for names that have no case, such as host names.
pub(crate) const LOWER_CASE_NAMES: Form<Vec<NamePattern>> = Form {
    read: |reader, table, key| {
        let names = (NAMES.read)(reader, table, key)?;
        Some(names.into_iter().map(NamePattern::in_lower_case).collect())
    },
    ..NAMES
};

/// Addresses and networks.
pub(crate) const NETWORKS: Form<Vec<Network>> = Form {
    shape: Shape::List(&Shape::Network),
    read: |reader, table, key| {
        let mut networks = Vec::new();
        for text in reader.texts(table, key)? {
            match text.value.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(wrong) => reader.refuse(&text.place, format!("{:?}: {wrong}", text.written)),
            }
        }
        Some(networks)
    },
    show: |networks| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
};

/// Hosts that are reached without a proxy.
pub(crate) const NO_PROXY: Form<Vec<NoProxyRule>> = Form {
    shape: Shape::List(&Shape::NoProxy),
    read: |reader, table, key| {
        let mut rules = Vec::new();
        for text in reader.texts(table, key)? {
            match text.value.parse::<NoProxyRule>() {
                Ok(rule) => rules.push(rule),
                Err(wrong) => reader.refuse(&text.place, format!("{:?}: {wrong}", text.written)),
            }
        }
        Some(rules)
    },
    show: |rules| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
};

/// A length of time that can be turned off, with `"off"`.
pub(crate) const TIME_OR_OFF: Form<Option<Duration>> = Form {
    shape: Shape::OrOff(&TIMEOUT.shape),
    read: |reader, table, key| match reader.text(table, key)? {
        text if text.value == OFF => Some(None),
        _ => reader.timeout(table, key).map(Some),
    },
    show: |length| length.map_or_else(|| OFF.to_owned(), duration::write),
};

/// A whole number from 1 to `MAX` that can be turned off, with `"off"`.
pub(crate) const fn count_or_off<const MAX: usize>(shape: &'static Shape) -> Form<Option<usize>> {
    Form {
        shape: Shape::OrOff(shape),
        read: |reader, table, key| match table.peek(key) {
            Some(OFF) => Some(None),
            _ => reader.count(table, key, 1..=MAX).map(Some),
        },
        show: |count| count.map_or_else(|| OFF.to_owned(), |count| count.to_string()),
    }
}

/// A whole number from 1 to `MAX`.
pub(crate) const fn count<const MAX: usize>() -> Form<usize> {
    count_from::<1, MAX>()
}

/// A whole number from `MIN` to `MAX`.
pub(crate) const fn count_from<const MIN: usize, const MAX: usize>() -> Form<usize> {
    Form {
        shape: Shape::Count { min: MIN, max: MAX, unit: Unit::Things },
        read: |reader, table, key| reader.count(table, key, MIN..=MAX),
        show: usize::to_string,
    }
}

const fn text(shape: Shape) -> Form<Text> {
    Form { shape, read: |reader, table, key| reader.text(table, key), show: show_text }
}

fn show_text(text: &Text) -> String {
    text.written.clone()
}

impl Reader<'_> {
    /// Refuses a value, which therefore counts as absent.
    pub(crate) fn refuse_value<T>(&mut self, place: &Place, wrong: &str) -> Option<T> {
        self.refuse(place, wrong);
        None
    }

    /// The texts of a list that `parse` accepts, in its spelling. Each other text gets a remark.
    fn parsed_texts(
        &mut self,
        table: &Table<'_>,
        key: &str,
        parse: fn(&str) -> Result<String, &'static str>,
    ) -> Vec<Text> {
        let mut list = Vec::new();
        for text in self.texts(table, key).unwrap_or_default() {
            match parse(&text.value) {
                Ok(value) => list.push(Text { value, ..text }),
                Err(wrong) => self.refuse(&text.place, format!("{:?}: {wrong}", text.written)),
            }
        }
        list
    }

    /// The text of a size. A bare number gets a remark of its own, because it lacks more than quotes.
    fn size_text(&mut self, table: &Table<'_>, key: &str) -> Option<Text> {
        let (place, value) = self.find(table, key)?;
        let number = match value {
            Value::Toml(toml) => toml.get_ref().as_integer().map(ToString::to_string),
            Value::Outside(text) => text.parse::<u64>().ok().map(|_| text.to_owned()),
        };
        let Some(number) = number else { return self.text(table, key) };
        let wrong =
            format!("the number has no unit; write \"{number}GB\" for gigabytes, or \"{number}B\" for bytes");
        self.refuse_value(&place, &wrong)
    }

    /// A length of time, which may be unlimited; `0s` means never.
    fn length_or_forever(&mut self, table: &Table<'_>, key: &str) -> Option<StaleLimit> {
        let text = self.duration_text(table, key)?;
        let limit = match text.value.as_str() {
            FOREVER => Some(StaleLimit::Forever),
            "0s" => Some(StaleLimit::Never),
            length => parse_duration(length).map(StaleLimit::For),
        };
        if limit.is_none() {
            let wrong = format!(
                "{:?} is not a length of time; write one such as \"0s\", \"60s\", \"1h\" or \"forever\"",
                text.written
            );
            self.refuse(&text.place, wrong);
        }
        limit
    }
}
