//! From the secret digits to the keys.
