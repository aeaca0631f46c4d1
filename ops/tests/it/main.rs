//! The ops crate from outside: metrics, health, listeners over real sockets, and the rules for Prometheus.

#![cfg(test)]

mod alerts;
mod health;
mod listeners;
mod metrics;
mod stop;
