//! The proof key of the number that is being entered.
//!
//! A manager may store an entry whose answer is lost; it answers it again for the same proof key only. So the key
//! outlives the press of "connect" that drew it, and the customer who presses again, or types the same number again,
//! gets the session that is there already. It is in memory only. Before it the typed number, after it `enter.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{number::Locator, ticket::ProofKey};
use rand_core::CryptoRngCore;

/// The key of the number that was entered last; a clone is the same one.
///
/// Guarantees: a number that is entered again has the key that it had, for as long as no manager has answered with its
/// session; any other entry has a new key. The repeat is for a lost answer only: who was answered may have a connection
/// at a relay, and a relay that has not seen its end yet takes a second meeting with the same key for an older
/// connection. One key is kept at most, until the next number, the answer or the end of the program, and is wiped when
/// nobody has it any more; how long an entry is answered again is the manager's to say. A number is known by the digits
/// that the manager gets: the secret ones are not kept here, and whoever mistyped only those keeps the key.
#[derive(Debug, Clone, Default)]
pub struct EntryKey(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    locator: Locator,
    proof_key: Arc<ProofKey>,
}

impl EntryKey {
    /// No number was entered yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// The key for a number that is entered now.
    pub fn of(&self, locator: Locator, rng: &mut impl CryptoRngCore) -> Arc<ProofKey> {
        let mut kept = self.kept();
        let same = kept.take().filter(|kept| kept.locator == locator).map(|kept| kept.proof_key);
        let proof_key = same.unwrap_or_else(|| Arc::new(ProofKey::random(rng)));
        *kept = Some(Kept { locator, proof_key: Arc::clone(&proof_key) });
        proof_key
    }

    /// A manager has answered with the session: no answer is lost that could be asked for again.
    pub fn forget(&self) {
        *self.kept() = None;
    }

    /// No await while the guard lives.
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    /// The public half of the key for a number that is entered now.
    fn entered(entry_key: &EntryKey, locator: &str) -> [u8; 32] {
        entry_key.of(locator.parse().unwrap(), &mut OsRng).public()
    }

    #[test]
    fn a_number_that_is_entered_again_keeps_its_key_until_it_was_answered() {
        let entry_key = EntryKey::none();
        let key = entered(&entry_key, "412905");
        assert_eq!(entered(&entry_key.clone(), "412905"), key, "the next visit has it too");
        entry_key.clone().forget();
        assert_ne!(entered(&entry_key, "412905"), key);
    }

    #[test]
    fn another_number_has_another_key_and_so_has_the_first_one_after_it() {
        let entry_key = EntryKey::none();
        let first = entered(&entry_key, "412905");
        let other = entered(&entry_key, "412906");
        let again = entered(&entry_key, "412905");
        assert!(first != other && other != again && first != again, "one key is kept and no more");
    }
}
