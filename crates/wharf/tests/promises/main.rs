//! The promises of the fill: tests of the whole program in front of an upstream that misbehaves on request.

mod answers;
mod attacks;
mod herd;
mod isolation;
mod malformed;
mod reach;
mod restart;
mod sharing;
mod upstream;
mod wrong;
