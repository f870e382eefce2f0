//! The texts for every client: against golden files, and against the page that quotes them.

mod golden;
mod page;
mod rules;
