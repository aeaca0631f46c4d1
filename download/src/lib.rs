//! download.
