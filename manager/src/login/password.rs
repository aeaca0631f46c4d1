//! Passwords: read into a type, hashed with argon2id, never printed.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, SaltString, rand_core::CryptoRngCore},
};
use proto::api::UnixMillis;
use zeroize::Zeroizing;
use zxcvbn::zxcvbn;

use crate::company::policy::PasswordPolicy;

/// Shortest password that can be set; no company may go below. Source: the product's whitepaper, 8 to 20 characters.
pub const LEN_MIN: usize = 8;
/// Longest password that can be set unless the company allows more. Source: as above.
pub const LEN_MAX_DEFAULT: usize = 20;
/// The most a company may allow, and the longest that is hashed at a login.
pub const LEN_MAX: usize = 128;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days within which a password that somebody else set is used, or it is worth nothing: as long as a link lives that
/// invites. Source: OWASP ASVS 5.0, 6.4.1.
pub const INITIAL_DAYS: i64 = 7;

/// Memory, passes and lanes of argon2id. Source: OWASP ASVS 5.0 appendix C; 39 ms on one core of the test machine.
const MEMORY_KIB: u32 = 19 * 1024;
/// See [`MEMORY_KIB`].
const PASSES: u32 = 2;
/// See [`MEMORY_KIB`].
const LANES: u32 = 1;
/// Characters of a password that is drawn: none that is read for another. Their number divides 256, so each is as likely.
const DRAWN: &[u8; 64] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789#%+-=?@*";
/// Characters of a password that is drawn: 72 bits.
const DRAWN_LEN: usize = 12;
/// A denied word that is shorter forbids too much.
pub const DENIED_WORD_LEN_MIN: usize = 4;
/// A password that is found within fewer guesses is refused: what can be tried against a login that slows guessing down.
/// Source: D. L. Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016.
const GUESSES_MIN: u64 = 1_000_000;
/// What else is guessed first, one a line, in small letters, 8 characters and more: Japanese words and names, and words of
/// offices, with the endings that people give them. The frequent passwords of the world are known to zxcvbn.
const GUESSED: &str = include_str!("guessed.txt");
/// A hash of no known password with the same parameters, for accounts that do not exist.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as somebody typed it. Prints as nothing.
pub struct Password(Zeroizing<String>);

/// When a password that may expire does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Never, or not soon.
    Far,
    /// In so many days, which is soon.
    Soon {
        /// Days that are left, at least 1.
        days: i64,
    },
    /// It has.
    Over,
}

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
    #[error("a password has {min} to {max} characters, this has {found}")]
    Length {
        /// Characters found.
        found: usize,
        /// The fewest the company allows.
        min: usize,
        /// The most the company allows.
        max: usize,
    },
    /// A character that is not printable half-width ASCII.
    #[error("a password has half-width letters, digits and symbols only, no spaces")]
    Character,
    /// Too few of small letters, capitals, digits and symbols.
    #[error("a password has {min} of small letters, capitals, digits and symbols, this has {found}")]
    Kinds {
        /// Kinds found.
        found: usize,
        /// The fewest the company allows.
        min: usize,
    },
    /// It is, or holds, a word that is guessed first.
    #[error("this password is easy to guess")]
    Guessable,
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
            return Err(NewPasswordError::Length { found: text.len(), min: LEN_MIN, max });
        }
        Ok(Self(Password(Zeroizing::new(text.to_owned()))))
    }

    /// Checks a password that shall be set by the company's rules; `own` are words of the account: id, name, company code.
    ///
    /// # Errors
    /// See [`NewPasswordError`].
    pub fn by_policy(text: &str, policy: &PasswordPolicy, own: &[&str]) -> Result<Self, NewPasswordError> {
        let password = Self::parse(text, policy.len_max)?;
        if text.len() < policy.len_min {
            return Err(NewPasswordError::Length { found: text.len(), min: policy.len_min, max: policy.len_max });
        }
        let kinds: [fn(&char) -> bool; 4] =
            [char::is_ascii_lowercase, char::is_ascii_uppercase, char::is_ascii_digit, char::is_ascii_punctuation];
        let found = kinds.iter().filter(|kind| text.chars().any(|c| kind(&c))).count();
        if found < policy.kinds_min {
            return Err(NewPasswordError::Kinds { found, min: policy.kinds_min });
        }
        let folded = text.to_ascii_lowercase();
        let denied = policy.denied.iter().map(String::as_str).chain(own.iter().copied());
        let holds = |word: &str| DENIED_WORD_LEN_MIN <= word.len() && folded.contains(&word.to_ascii_lowercase());
        let guessed = GUESSED.lines().any(|word| word == folded) || zxcvbn(text, &[]).guesses() < GUESSES_MIN;
        if guessed || denied.into_iter().any(holds) { Err(NewPasswordError::Guessable) } else { Ok(password) }
    }

    /// The password as it would be typed, to compare it with what was set before.
    pub fn as_typed(&self) -> Password {
        Password(self.0.0.clone())
    }

    /// Draws a password that a company's rules take, for somebody to change at once.
    pub fn draw(policy: &PasswordPolicy, rng: &mut impl CryptoRngCore) -> Self {
        let len = DRAWN_LEN.clamp(policy.len_min.max(LEN_MIN), policy.len_max.max(LEN_MIN));
        loop {
            let mut bytes = Zeroizing::new(vec![0; len]);
            rng.fill_bytes(&mut bytes);
            let letter = |byte: &u8| DRAWN.get(usize::from(*byte) % DRAWN.len()).map(|c| char::from(*c));
            let text: Zeroizing<String> = Zeroizing::new(bytes.iter().filter_map(letter).collect());
            if let Ok(password) = Self::by_policy(&text, policy, &[]) {
                return password;
            }
        }
    }

    /// The same password again, for the thread that hashes it.
    pub fn same(&self) -> Self {
        Self(self.as_typed())
    }

    /// The password itself, for the one page that shows it.
    pub fn reveal(&self) -> &str {
        &self.0.0
    }

    /// Hashes the password with a new salt. Takes tens of milliseconds of a core.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn hash(&self, rng: &mut impl CryptoRngCore) -> Result<PasswordHash, HashError> {
        self.0.hash(rng)
    }
}

impl Password {
    /// Hashes a password that was proved, as hashes are made now; its rules were those of the time when it was set.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn hash(&self, rng: &mut impl CryptoRngCore) -> Result<PasswordHash, HashError> {
        let salt = SaltString::generate(rng);
        let hash = hasher().map_err(HashError)?.hash_password(self.0.as_bytes(), &salt).map_err(HashError)?;
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

    /// Whether it was made as hashes are made now.
    pub fn is_current(&self) -> bool {
        let Ok(hash) = password_hash::PasswordHash::new(&self.0) else { return false };
        let is_same =
            |params: Params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
        hash.algorithm == Algorithm::Argon2id.ident() && Params::try_from(&hash).is_ok_and(is_same)
    }
}

/// When a password that somebody else set stops working, from when it was set.
pub const fn initial_until(changed_at_ms: UnixMillis) -> UnixMillis {
    changed_at_ms.saturating_add(INITIAL_DAYS * DAY_MS)
}

impl Expiry {
    /// By a company's rules.
    pub fn of(policy: &PasswordPolicy, changed_at_ms: UnixMillis, now: UnixMillis) -> Self {
        if policy.expiry_days <= 0 {
            return Self::Far;
        }
        let ends_at_ms = changed_at_ms.saturating_add(policy.expiry_days.saturating_mul(DAY_MS));
        let left_ms = ends_at_ms.saturating_sub(now);
        if left_ms <= 0 {
            return Self::Over;
        }
        let days = left_ms.saturating_add(DAY_MS - 1) / DAY_MS;
        if days <= policy.warn_days { Self::Soon { days } } else { Self::Far }
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
    fn a_company_may_ask_for_kinds_and_deny_words() {
        let policy = PasswordPolicy { kinds_min: 3, denied: vec!["Uketsuke".to_owned()], ..PasswordPolicy::default() };
        let check = |text: &str| NewPassword::by_policy(text, &policy, &["yamada", "ab"]).map(|_| ());

        assert_eq!(check("abcdefg1"), Err(NewPasswordError::Kinds { found: 2, min: 3 }));
        assert_eq!(check("Abcdmfg1"), Ok(()));
        assert_eq!(check("xUKETSUKE1"), Err(NewPasswordError::Guessable));
        assert_eq!(check("Yamada-2026"), Err(NewPasswordError::Guessable));
        assert_eq!(check("P@ssw0rd"), Err(NewPasswordError::Guessable));
        assert_eq!(check("Table-9-Lamp"), Ok(()));
    }

    #[test]
    fn frequent_passwords_are_refused_backwards_with_endings_and_with_digits_for_letters() {
        let check = |text: &str| NewPassword::by_policy(text, &PasswordPolicy::default(), &[]).map(|_| ());

        for text in ["iloveyou", "drowssap1", "P@ssw0rd123", "Sunshine12", "qwertyuiop", "aaaaaaaaaaaa", "tokyo2020"] {
            assert_eq!(check(text), Err(NewPasswordError::Guessable), "{text}");
        }
        for text in ["wexktr7q", "Table-9-Lamp", "kurage-to-tsuki"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_drawn_password_follows_the_rules() {
        let policy = PasswordPolicy { kinds_min: 4, len_min: 16, ..PasswordPolicy::default() };
        let drawn = NewPassword::draw(&policy, &mut OsRng);

        assert_eq!(drawn.reveal().len(), 16);
        assert_ne!(drawn.reveal(), NewPassword::draw(&policy, &mut OsRng).reveal());
    }

    #[test]
    fn a_password_expires_after_its_days_and_warns_before() {
        let policy = PasswordPolicy { expiry_days: 90, warn_days: 14, ..PasswordPolicy::default() };
        let at = |days: i64| Expiry::of(&policy, 0, days * DAY_MS);

        assert_eq!(
            [at(75), at(76), at(89), at(90)],
            [Expiry::Far, Expiry::Soon { days: 14 }, Expiry::Soon { days: 1 }, Expiry::Over]
        );
        assert_eq!(Expiry::of(&PasswordPolicy::default(), 0, i64::MAX), Expiry::Far);
    }

    #[test]
    fn only_the_password_that_was_hashed_matches() {
        let hash = parse("correct-horse").unwrap().hash(&mut OsRng).unwrap();

        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.matches(&Password::typed("correct-horse".to_owned())));
        assert!(!hash.matches(&Password::typed("correct-horsf".to_owned())));
        assert!(!PasswordHash::decoy().matches(&Password::typed(String::new())));
        assert!(PasswordHash::decoy().is_current(), "an account that is not there costs what one costs that is");
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
