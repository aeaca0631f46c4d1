//! What is counted of mail.

use prometheus::{IntCounterVec, IntGauge};

ops::metrics! {
    /// The outbox.
    pub struct MailMetrics {
        /// Mails by what came of a try: sent, again (later), failed (for good), expired.
        pub manager_mails_total: IntCounterVec["result"],
        /// Mails that wait in the outbox, whichever manager will send them.
        pub manager_mails_waiting: IntGauge,
        /// Seconds for which the oldest of them has been waiting; 0 when there is none.
        pub manager_mail_wait_seconds: IntGauge,
    }
}
