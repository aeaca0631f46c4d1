//! The ops crate from outside: metrics, health, and listeners over real sockets.

#![cfg(test)]

mod health;
mod listeners;
mod metrics;
mod stop;
