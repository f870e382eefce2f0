//! The keys of `[[registry.credentials]]`: where the login for some repositories comes from.

use std::path::PathBuf;
use std::time::Duration;

use credentials::ProcessSettings;

use super::super::form::{self, Form, Shape};
use super::super::key::{Group, Key, Preset, Section};
use super::super::reader::Text;

pub(crate) static MATCH: Key<Text> = Key {
    name: "match",
    form: form::TEXT,
    default: Preset::Computed("every repository"),
    reloadable: true,
    doc: "The repositories, without the registry: `team/*`. `*` stands for any characters, `?` for one. The first rule \
          that matches counts.",
};

pub(crate) static SOURCE: Key<Text> = Key {
    name: "source",
    form: Form { shape: Shape::CredentialSource, ..form::TEXT },
    default: Preset::Computed("the `username` of this rule"),
    reloadable: true,
    doc: "Where the login comes from. See [Sources of credentials](#sources-of-credentials).",
};

pub(crate) static USERNAME: Key<Text> = Key {
    name: "username",
    form: form::USERNAME,
    default: Preset::Absent,
    reloadable: true,
    doc: "The login's name, in place of `source`. Needs `password` or `password_file`.",
};

pub(crate) static PASSWORD: Key<Text> = Key {
    name: "password",
    form: form::PASSWORD,
    default: Preset::Absent,
    reloadable: true,
    doc: "The login's password.",
};

pub(crate) static PASSWORD_FILE: Key<PathBuf> = Key {
    name: "password_file",
    form: form::PASSWORD_FILE,
    default: Preset::Absent,
    reloadable: true,
    doc: "A file with the password as its only line. wharf reads it again when it changes, without a reload.",
};

pub(crate) static ARGUMENTS: Key<Vec<Text>> = Key {
    name: "arguments",
    form: form::TEXTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Arguments for the program of `command:` and `kubelet:`. Every user of the machine can see them, so they must \
          hold no secret.",
};

pub(crate) static ENVIRONMENT: Key<Vec<Text>> = Key {
    name: "environment",
    form: form::TEXTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Names of wharf's own variables that the program gets as well. It always gets `PATH`, `HOME`, `USER`, `TMPDIR`, \
          `LANG`, `XDG_CONFIG_HOME`, those of proxies and those of certificate files, and nothing else.",
};

pub(crate) static TIMEOUT: Key<Duration> = Key {
    name: "timeout",
    form: form::TIMEOUT,
    default: Preset::Value(ProcessSettings::TIMEOUT),
    reloadable: true,
    doc: "The longest time that the program may run, 50 s at most.",
};

pub(crate) static CREDENTIALS: Section = Section {
    name: "registry.credentials",
    doc: "Where the login for some repositories of a registry comes from.",
    groups: &[
        Group { is_shared: false, keys: &[&MATCH, &SOURCE, &USERNAME, &PASSWORD, &PASSWORD_FILE] },
        Group { is_shared: false, keys: &[&ARGUMENTS, &ENVIRONMENT, &TIMEOUT] },
    ],
    subsections: &[],
};
