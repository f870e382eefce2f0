//! The whole process in front of a fake registry: its start, answers, log and end.

#![allow(clippy::unwrap_used, reason = "a test: every failure is to be loud")]

mod admin_socket;
mod api;
mod bandwidth;
mod carry;
mod cert;
mod check;
mod client;
mod daemon;
mod denied;
mod environment;
mod examples;
mod failover;
mod images;
mod log;
mod monitoring;
mod numbers;
mod offline;
mod passthrough;
mod passthrough_apart;
mod passthrough_trouble;
mod private;
mod program;
mod pull;
mod reload;
mod sandbox;
mod secrets;
mod serve;
mod start;
mod stop;
mod terminal;
mod verbs;
mod who_may_pull;
