//! The admin listener: numbers and states for the operator, and what the operator may ask for, on an address of its own.
//!
//! `server` accepts its connections and gives them seats and deadlines, as it does for clients that pull. A request goes
//! through `guard`, which refuses what is malformed, what a web page sends and whoever may not ask, and then through a
//! router to the function in `endpoints` that answers it. Whatever a later endpoint needs goes into [`Parts`].

mod admin;
mod endpoints;
mod guard;
mod parts;
mod reload;
mod settings;
mod text;
mod token;

pub use admin::Admin;
pub use parts::Parts;
pub use reload::{ReloadAnswer, ReloadRequest, Reloads};
pub use settings::Settings;
