//! A real relay on loopback, with real tools and strangers.

mod world;

mod admit;
mod cli;
mod drain;
mod forward;
mod meet;
mod pair;
mod report;
mod stranger;
