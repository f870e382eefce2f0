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
    doc: "The repositories, without the registry: `team/*`. `*` stands for any characters, `?` for one. On Docker \
          Hub, `alpine` means `library/alpine`. The first rule that matches counts.",
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

pub(crate) static REGION: Key<Text> = Key {
    name: "region",
    form: form::TEXT,
    default: Preset::Computed("that of the registry's name"),
    reloadable: true,
    doc: "For `ecr`: the region of the registry.",
};

pub(crate) static PROFILE: Key<Text> = Key {
    name: "profile",
    form: form::TEXT,
    default: Preset::Computed("`AWS_PROFILE`, or `default`"),
    reloadable: true,
    doc: "For `ecr` and `ecr-public`: a profile of the shared credentials file. It outweighs keys in variables.",
};

pub(crate) static PROFILE_FILE: Key<Text> = Key {
    name: "profile_file",
    form: form::PATH,
    default: Preset::Computed("`AWS_SHARED_CREDENTIALS_FILE`, or `.aws/credentials` of wharf's user"),
    reloadable: true,
    doc: "For `ecr` and `ecr-public`: the shared credentials file.",
};

pub(crate) static ROLE: Key<Text> = Key {
    name: "role",
    form: form::TEXT,
    default: Preset::Computed("`AWS_ROLE_ARN`"),
    reloadable: true,
    doc: "For `ecr` and `ecr-public`: the role to take with the web identity in `token_file`.",
};

pub(crate) static TOKEN_FILE: Key<Text> = Key {
    name: "token_file",
    form: form::PATH,
    default: Preset::Computed("`AWS_WEB_IDENTITY_TOKEN_FILE`, `AZURE_FEDERATED_TOKEN_FILE`"),
    reloadable: true,
    doc: "For `ecr`, `ecr-public` and `azure`: a file with the token of a web identity or workload identity.",
};

pub(crate) static ENDPOINT: Key<Text> = Key {
    name: "endpoint",
    form: Form { shape: Shape::Upstream, ..form::TEXT },
    default: Preset::Computed("Amazon's own"),
    reloadable: true,
    doc: "For `ecr` and `ecr-public`: the address of the ECR API, such as that of a VPC endpoint.",
};

pub(crate) static ACCOUNT: Key<Text> = Key {
    name: "account",
    form: form::TEXT,
    default: Preset::Written("default"),
    reloadable: true,
    doc: "For `google` without a file: the service account at the metadata server.",
};

pub(crate) static TENANT: Key<Text> = Key {
    name: "tenant",
    form: form::TEXT,
    default: Preset::Computed("`AZURE_TENANT_ID`"),
    reloadable: true,
    doc: "For `azure`: the directory of the application.",
};

pub(crate) static CLIENT_ID: Key<Text> = Key {
    name: "client_id",
    form: form::TEXT,
    default: Preset::Computed("`AZURE_CLIENT_ID`"),
    reloadable: true,
    doc: "For `azure`: the application, or the managed identity if the machine has several.",
};

pub(crate) static CLIENT_SECRET_FILE: Key<PathBuf> = Key {
    name: "client_secret_file",
    form: form::PASSWORD_FILE,
    default: Preset::Computed("`AZURE_CLIENT_SECRET`, a variable with the secret itself"),
    reloadable: true,
    doc: "For `azure`: a file with the application's secret.",
};

pub(crate) static CREDENTIALS: Section = Section {
    name: "registry.credentials",
    doc: "Where the login for some repositories of a registry comes from.",
    groups: &[
        Group { is_shared: false, keys: &[&MATCH, &SOURCE, &USERNAME, &PASSWORD, &PASSWORD_FILE] },
        Group { is_shared: false, keys: &[&ARGUMENTS, &ENVIRONMENT, &TIMEOUT] },
        Group {
            is_shared: false,
            keys: &[
                &REGION,
                &PROFILE,
                &PROFILE_FILE,
                &ROLE,
                &TOKEN_FILE,
                &ENDPOINT,
                &ACCOUNT,
                &TENANT,
                &CLIENT_ID,
                &CLIENT_SECRET_FILE,
            ],
        },
    ],
    subsections: &[],
};
