//! The second factor: codes of an authenticator, each taken once, and recovery codes for who has lost it.
//!
//! A code is valid for its half minute and the ones before and after it, so a clock may be off by one step.
//! Source: RFC 6238 with SHA-1, 6 digits and 30 seconds, which every authenticator has.

use std::fmt::Write as _;

use proto::{api::UnixMillis, id::OperatorId};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::column_key::ColumnKey;

/// Bytes of a secret. Source: RFC 4226, 4: 20 recommended.
const SECRET_LEN: usize = 20;
/// Recovery codes of an account.
pub const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code, without those that are read for others; an o is read as the nought that it is not.
const RECOVERY_ALPHABET: &[u8; 32] = b"023456789abcdefghjkmnpqrstuvwxyz";
/// Characters of a recovery code without its hyphen: 50 bits.
const RECOVERY_LEN: usize = 10;

/// The secret of one account. Prints as nothing.
pub struct Factor(Zeroizing<Vec<u8>>);

impl Factor {
    /// Draws a secret.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut secret = Zeroizing::new(vec![0; SECRET_LEN]);
        rng.fill_bytes(&mut secret);
        Self(secret)
    }

    /// The value of the column.
    pub fn seal(&self, key: &ColumnKey, operator_id: OperatorId, rng: &mut impl CryptoRngCore) -> Option<String> {
        key.seal(&self.0, &place(operator_id), rng)
    }

    /// Reads the column; `None` when it was sealed under another key.
    pub fn open(sealed: &str, key: &ColumnKey, operator_id: OperatorId) -> Option<Self> {
        key.open(sealed, &place(operator_id)).map(Self)
    }

    /// The step of a code that is valid now, without spaces in it; the caller sees to it that a step is taken once.
    pub fn step_of(&self, code: &str, now: UnixMillis) -> Option<i64> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let secs = u64::try_from(now).ok()?.div_euclid(1000);
        let step = self.totp("", "")?.check(&code, secs)?;
        i64::try_from(step).ok()
    }

    /// The code of a moment, for tests and the command line.
    pub fn code_at(&self, now: UnixMillis) -> Option<String> {
        let secs = u64::try_from(now).ok()?.div_euclid(1000);
        Some(self.totp("", "")?.generate(secs).to_string())
    }

    /// What is typed into an authenticator that cannot scan, in groups of four.
    pub fn to_typed(&self) -> String {
        let text = Secret::from(self.0.to_vec()).to_base32();
        let groups: Vec<String> =
            text.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        groups.join(" ")
    }

    /// What an authenticator scans; `account` is what it shows.
    pub fn to_address(&self, issuer: &str, account: &str) -> Option<String> {
        // A colon parts the two names in the address.
        self.totp(&issuer.replace(':', " "), &account.replace(':', " "))?.to_url().ok()
    }

    fn totp(&self, issuer: &str, account: &str) -> Option<Totp> {
        let issuer = (!issuer.is_empty()).then_some(issuer);
        Builder::new()
            .with_secret(self.0.to_vec())
            .with_skew(1)
            .with_account_name(account)
            .with_issuer(issuer)
            .build()
            .ok()
    }
}

/// A text as the squares of a QR code, for an inline SVG: its width in squares, and a path of all dark ones.
pub fn qr_path(text: &str) -> Option<(i32, String)> {
    let code = qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // Writing to a string never fails.
            let _never: std::fmt::Result = write!(path, "M{x} {y}h1v1h-1z");
        }
    }
    Some((code.size(), path))
}

/// Draws a recovery code: `xxxxx-xxxxx`.
pub fn draw_recovery_code(rng: &mut impl CryptoRngCore) -> String {
    let mut bytes = [0; RECOVERY_LEN];
    rng.fill_bytes(&mut bytes);
    let mut code: String =
        bytes.iter().filter_map(|byte| RECOVERY_ALPHABET.get(usize::from(byte % 32))).map(|c| char::from(*c)).collect();
    code.insert(RECOVERY_LEN / 2, '-');
    code
}

/// What is stored of a recovery code. It is random, so a plain hash is as good as a slow one.
pub fn recovery_hash(operator_id: OperatorId, code: &str) -> String {
    let code: String = code
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c == 'o' { '0' } else { c })
        .collect();
    hex::encode(
        Sha256::new_with_prefix("uketsuke-recovery-v1")
            .chain_update(operator_id.as_bytes())
            .chain_update(code)
            .finalize(),
    )
}

fn place(operator_id: OperatorId) -> String {
    format!("totp:{operator_id}")
}

impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Factor(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    /// Source: RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn the_codes_are_those_of_the_standard() {
        let factor = Factor(Zeroizing::new(b"12345678901234567890".to_vec()));

        for (secs, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(factor.code_at(secs * 1000).as_deref(), Some(code));
            assert_eq!(factor.step_of(&format!(" {code} "), secs * 1000), Some(secs / 30));
        }
    }

    #[test]
    fn a_clock_may_be_off_by_one_step_and_no_more() {
        let factor = Factor::random(&mut OsRng);
        let code = factor.code_at(900_000).unwrap();

        assert_eq!(factor.step_of(&code, 900_000 + 30_000), Some(30));
        assert_eq!(factor.step_of(&code, 900_000 - 1), Some(30));
        assert_eq!(factor.step_of(&code, 900_000 + 60_000), None);
        for bad in ["", "12345", "1234567", "abcdef", "１２３４５６"] {
            assert_eq!(factor.step_of(bad, 900_000), None, "{bad}");
        }
    }

    #[test]
    fn recovery_codes_have_fifty_bits_and_are_read_as_people_type_them() {
        let code = draw_recovery_code(&mut OsRng);
        let operator_id = OperatorId::from_bytes([1; 16]);

        assert_eq!(code.len(), 11);
        assert_eq!(
            recovery_hash(operator_id, &code),
            recovery_hash(operator_id, &format!(" {} ", code.to_uppercase().replace('-', "")))
        );
        assert_ne!(recovery_hash(operator_id, &code), recovery_hash(OperatorId::from_bytes([2; 16]), &code));
    }
}
