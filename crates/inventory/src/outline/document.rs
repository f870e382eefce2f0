//! Reads the descriptions in a manifest as they come. A value of another form than expected is skipped, and
//! no part of it is built: a manifest of 4 MiB may consist of millions of values.

use std::fmt;
use std::marker::PhantomData;

use oci::{Digest, LenientValue};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The descriptions in a manifest.
#[derive(Default)]
pub(super) struct Document {
    pub(super) artifact_type: Option<String>,
    pub(super) annotations: Annotations,
    pub(super) config: Option<Named>,
    pub(super) layers: Vec<Named>,
    /// Of an OCI artifact manifest; of other kinds it may be anything.
    pub(super) blobs: Vec<Named>,
    pub(super) manifests: Vec<Named>,
}

/// A content as a manifest describes it.
#[derive(Default)]
pub(super) struct Named {
    pub(super) digest: Option<Digest>,
    pub(super) media_type: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) annotations: Annotations,
}

/// The annotations that are shown or say what a content is.
#[derive(Default)]
pub(super) struct Annotations {
    /// The kind of an attestation.
    pub(super) reference: Option<String>,
    pub(super) source: Option<String>,
}

/// A platform in an index or in a configuration.
#[derive(Default)]
pub(super) struct Platform {
    pub(super) os: Option<String>,
    pub(super) architecture: Option<String>,
    pub(super) variant: Option<String>,
    pub(super) os_version: Option<String>,
}

impl Document {
    /// `None`: it is no JSON object.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object<Self>>(bytes).ok()?.0
    }
}

impl Platform {
    /// `None`: it is no JSON object.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object<Self>>(bytes).ok()?.0
    }
}

/// What is read of an object, property by property.
trait Properties: Default {
    /// Reads or skips the value of one property.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// Whether it is kept as an element of a list.
    fn is_of_use(&self) -> bool {
        true
    }
}

impl Properties for Document {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "artifactType" => self.artifact_type = text(map)?,
            "annotations" => self.annotations = object(map)?.unwrap_or_default(),
            "config" => self.config = object(map)?,
            "layers" => self.layers = list(map)?,
            "blobs" => self.blobs = list(map)?,
            "manifests" => self.manifests = list(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Properties for Named {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "digest" => self.digest = text(map)?.and_then(|text| text.parse().ok()),
            "mediaType" => self.media_type = text(map)?,
            "platform" => self.platform = object(map)?,
            "annotations" => self.annotations = object(map)?.unwrap_or_default(),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn is_of_use(&self) -> bool {
        self.digest.is_some()
    }
}

impl Properties for Annotations {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "vnd.docker.reference.type" => self.reference = text(map)?,
            "org.opencontainers.image.source" => self.source = text(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Properties for Platform {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "os" => self.os = text(map)?,
            "architecture" => self.architecture = text(map)?,
            "variant" => self.variant = text(map)?,
            "os.version" => self.os_version = text(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(map.next_value::<LenientValue>()?.text())
}

fn object<'de, A: MapAccess<'de>, T: Properties>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(map.next_value::<Object<T>>()?.0)
}

fn list<'de, A: MapAccess<'de>, T: Properties>(map: &mut A) -> Result<Vec<T>, A::Error> {
    Ok(map.next_value::<List<T>>()?.0)
}

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// An object; `None`: a value of another form.
struct Object<T>(Option<T>);

/// The objects of use in a list; none: a value of another form.
struct List<T>(Vec<T>);

struct ObjectVisitor<T>(PhantomData<T>);

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Properties> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Properties> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// The methods of a visitor for values that are neither a list nor an object.
macro_rules! simple_values_are {
    ($nothing:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

impl<'de, T: Properties> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    simple_values_are!(Object(None));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Object<T>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<T>, A::Error> {
        let mut properties = T::default();
        while let Some(name) = map.next_key::<String>()? {
            properties.take(&name, &mut map)?;
        }
        Ok(Object(Some(properties)))
    }
}

impl<'de, T: Properties> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    simple_values_are!(List(Vec::new()));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(Object(element)) = list.next_element::<Object<T>>()? {
            all.extend(element.filter(T::is_of_use));
        }
        Ok(List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(List(Vec::new()))
    }
}
