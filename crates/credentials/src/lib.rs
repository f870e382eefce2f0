//! The logins that wharf uses at upstreams: where they come from, and how long they are good.
//!
//! A [`Source`] gives a login, maybe with an end. An [`Account`] keeps the last login of one source, renews
//! it in time, and takes nothing away while the source fails. [`Accounts`] are those of one registry, chosen
//! by the repository. No login is printed, logged, or passed on a command line.

mod account;
mod accounts;
mod aws;
mod azure;
mod command;
mod credential_helper;
mod docker_config;
mod document;
mod environment;
mod failure;
mod files;
mod google;
mod http;
mod kubelet;
mod login;
mod password_file;
mod process;
mod registry_key;
mod settings;
mod source;

pub use account::{Account, HeldLogin, Observer, State, Status};
pub use accounts::{Accounts, Context};
pub use aws::EcrSettings;
pub use azure::AzureSettings;
pub use credential_helper::program as helper_program;
pub use environment::Variables;
pub use failure::Failure;
pub use google::GoogleSettings;
pub use http::{
    ANSWER_BYTES_MAX, HttpAnswer, HttpClient, HttpMethod, HttpRequest, MACHINE_WAIT_MAX, NETWORK_WAIT_MAX,
    Reach,
};
pub use login::Login;
pub use process::{ProcessSettings, run_to_success as run_program};
pub use settings::{CONFIGURATION, Rule, Settings, SourceSettings};
pub use source::{Grant, Question, Source};
