//! Amazon ECR: access keys, signed requests, and the login that they give.

mod access_keys;
mod ecr;
mod keys;
mod profile;
mod settings;
mod signature;

pub(crate) use self::ecr::Ecr;
pub use self::settings::EcrSettings;
