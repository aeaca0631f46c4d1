//! The sealed link from outside: a good network, a bad one, and an evil one in the middle. Time is paused.

mod evil;
mod flow;
mod world;
