//! What is counted of receptions.

use prometheus::{IntCounter, IntCounterVec};

ops::metrics! {
    /// Receptions.
    pub struct ReceptionMetrics {
        /// Receptions issued; pairs with manager_receptions_closed_total.
        pub manager_receptions_issued_total: IntCounter,
        /// Receptions closed, by state: proved, expired, cancelled, burned.
        pub manager_receptions_closed_total: IntCounterVec["state"],
    }
}
