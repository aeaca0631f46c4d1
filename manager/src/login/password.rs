//! Passwords: read into a type, hashed with argon2id, never printed.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, SaltString, rand_core::CryptoRngCore},
};
use zeroize::Zeroizing;

/// Shortest password that can be set; no company may go below. Source: the product's whitepaper, 8 to 20 characters.
pub const LEN_MIN: usize = 8;
/// Longest password that can be set unless the company allows more. Source: as above.
pub const LEN_MAX_DEFAULT: usize = 20;
/// The most a company may allow, and the longest that is hashed at a login.
pub const LEN_MAX: usize = 128;

/// Memory, passes and lanes of argon2id. Source: OWASP ASVS 5.0 appendix C; 39 ms on one core of the test machine.
const MEMORY_KIB: u32 = 19 * 1024;
/// See [`MEMORY_KIB`].
const PASSES: u32 = 2;
/// See [`MEMORY_KIB`].
const LANES: u32 = 1;
/// A hash of no known password with the same parameters, for accounts that do not exist.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as somebody typed it. Prints as nothing.
pub struct Password(Zeroizing<String>);

/// A password that may be set: 8 to 20 printable half-width characters.
#[derive(Debug)]
pub struct NewPassword(Password);

/// What is stored: parameters, salt and hash in PHC form. Prints as nothing.
#[derive(Clone)]
pub struct PasswordHash(String);

/// Why a text cannot be set as a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NewPasswordError {
    /// Too short or too long.
    #[error("a password has {LEN_MIN} to {max} characters, this has {found}")]
    Length {
        /// Characters found.
        found: usize,
        /// The most the company allows.
        max: usize,
    },
    /// A character that is not printable half-width ASCII.
    #[error("a password has half-width letters, digits and symbols only, no spaces")]
    Character,
}

/// The hash could not be made, which no password causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(password_hash::Error);

impl Password {
    /// Reads what was typed at a login; longer than any password can be is read as none.
    pub fn typed(text: String) -> Self {
        let text = Zeroizing::new(text);
        if text.len() <= LEN_MAX { Self(text) } else { Self(Zeroizing::default()) }
    }
}

impl NewPassword {
    /// Checks a password that shall be set; `max` is the company's maximum.
    ///
    /// # Errors
    /// See [`NewPasswordError`].
    pub fn parse(text: &str, max: usize) -> Result<Self, NewPasswordError> {
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(NewPasswordError::Character);
        }
        if text.len() < LEN_MIN || max.min(LEN_MAX) < text.len() {
            return Err(NewPasswordError::Length { found: text.len(), max });
        }
        Ok(Self(Password(Zeroizing::new(text.to_owned()))))
    }

    /// Hashes the password with a new salt. Takes tens of milliseconds of a core.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn hash(&self, rng: &mut impl CryptoRngCore) -> Result<PasswordHash, HashError> {
        let salt = SaltString::generate(rng);
        let hash = hasher().map_err(HashError)?.hash_password(self.0.0.as_bytes(), &salt).map_err(HashError)?;
        Ok(PasswordHash(hash.to_string()))
    }
}

impl PasswordHash {
    /// Wraps what the database has.
    pub const fn stored(phc: String) -> Self {
        Self(phc)
    }

    /// A hash that no password has.
    pub fn decoy() -> Self {
        Self(DECOY.to_owned())
    }

    /// The value of the database column.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `password` is the one that was hashed; a column that is no hash matches nothing.
    pub fn matches(&self, password: &Password) -> bool {
        let (Ok(hash), Ok(hasher)) = (password_hash::PasswordHash::new(&self.0), hasher()) else {
            return false;
        };
        hasher.verify_password(password.0.as_bytes(), &hash).is_ok()
    }
}

fn hasher() -> Result<Argon2<'static>, password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    fn parse(text: &str) -> Result<NewPassword, NewPasswordError> {
        NewPassword::parse(text, LEN_MAX_DEFAULT)
    }

    #[test]
    fn eight_to_twenty_printable_half_width_characters_can_be_set() {
        assert!(parse("abcdefg").is_err());
        assert!(parse("abcdefgh").is_ok());
        assert!(parse("!\"#$%&'()*+,-./:;<=>").is_ok());
        assert!(parse("?@[\\]^_`{|}~0Zz aaaa").is_err());
        assert!(parse("abcdefghijklmnopqrst").is_ok());
        assert!(parse("abcdefghijklmnopqrstu").is_err());
        assert_eq!(parse("パスワードを入れる").unwrap_err(), NewPasswordError::Character);
        assert_eq!(parse("abcdefgh\u{7f}").unwrap_err(), NewPasswordError::Character);
        assert_eq!(parse("ａｂｃｄｅｆｇｈ").unwrap_err(), NewPasswordError::Character);
    }

    #[test]
    fn a_company_may_allow_longer_ones_up_to_128() {
        assert!(NewPassword::parse(&"x".repeat(64), 64).is_ok());
        assert!(NewPassword::parse(&"x".repeat(129), 1000).is_err());
    }

    #[test]
    fn only_the_password_that_was_hashed_matches() {
        let hash = parse("correct-horse").unwrap().hash(&mut OsRng).unwrap();

        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.matches(&Password::typed("correct-horse".to_owned())));
        assert!(!hash.matches(&Password::typed("correct-horsf".to_owned())));
        assert!(!PasswordHash::decoy().matches(&Password::typed(String::new())));
        assert!(!PasswordHash::stored("garbage".to_owned()).matches(&Password::typed("garbage".to_owned())));
    }

    #[test]
    fn passwords_and_hashes_print_as_nothing() {
        let password = parse("planted-secret").unwrap();
        let hash = password.hash(&mut OsRng).unwrap();

        assert!(!format!("{password:?}").contains("planted"));
        assert!(!format!("{hash:?}").contains("argon2id"));
    }
}
