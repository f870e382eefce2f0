//! The admin listener: metrics, states and commands for the operator, on its own address.
//!
//! `server` accepts its connections under its limits and deadlines, as it does for clients that pull. A
//! request passes `guard`, which refuses malformed, unauthorized and web-page requests, and then a router,
//! which calls a function in `endpoints`. The functions get their state from [`Parts`].

mod admin;
mod endpoints;
mod guard;
mod image_work;
mod parts;
mod places;
mod reload;
mod settings;
mod streamed;
mod text;
mod token;

pub use admin::Admin;
pub use image_work::{IMAGE_COUNT_MAX, ImageRequest, ImageWork};
pub use parts::Parts;
pub use reload::{ReloadAnswer, ReloadRequest, Reloads};
pub use settings::Settings;
