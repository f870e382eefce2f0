//! The promises of the fill, kept by the whole program before an upstream that misbehaves on request.

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
