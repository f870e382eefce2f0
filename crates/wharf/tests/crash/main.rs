//! The program is killed, the power is cut and bits rot, again and again: content that is there afterwards is
//! right, and promised content is there.
//!
//! Every run prints its seed; `WHARF_SEED` runs the same schedule again. The threads of the program are not
//! part of the schedule, so a failure may take several runs to recur.

mod audit;
mod carry;
mod churn;
mod cuts;
mod disk;
mod kills;
mod library;
mod load;
mod rot;
mod schedule;
mod several;
mod tight;

/// The program under test.
const WHARF: &str = env!("CARGO_BIN_EXE_wharf");
