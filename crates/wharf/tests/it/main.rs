//! The whole process before a fake registry: how it starts, serves, speaks, and ends.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

mod check;
mod environment;
mod examples;
mod log;
mod program;
mod reload;
mod serve;
mod start;
mod stop;
mod terminal;
