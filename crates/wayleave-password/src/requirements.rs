//! What a new password must be: long enough, not among those that everybody tries, not made of what everybody knows
//! about its owner. Nothing is asked of its composition (R095, R096).

use wayleave_core::ports::Account;

use crate::password::Password;

/// Demands on new passwords. They bind when one is set, never when one is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    minimum_characters: u16,
    words: Vec<Box<str>>,
}

impl Requirements {
    /// The lowest minimum that can be chosen, and the default (ASVS 6.2.1).
    pub const LOWEST_MINIMUM: u16 = 8;
    /// The highest minimum that can be chosen: 64 characters must always be enough (ASVS 6.2.9).
    pub const HIGHEST_MINIMUM: u16 = 64;
    /// The minimum to choose where a password is the only factor (NIST SP 800-63B-4).
    pub const RECOMMENDED_MINIMUM: u16 = 15;
    /// Most words of the product.
    pub const MAX_WORDS: usize = 64;

    /// At least `minimum_characters` Unicode characters, and not built of `words`: the names of the product, the
    /// company, the host.
    ///
    /// # Errors
    /// [`InvalidRequirements`] for a minimum outside 8 to 64, or more than [`Self::MAX_WORDS`] words.
    pub fn new<'a>(
        minimum_characters: u16,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidRequirements> {
        let words: Vec<Box<str>> = words.into_iter().take(Self::MAX_WORDS + 1).map(Box::from).collect();
        let fits = (Self::LOWEST_MINIMUM..=Self::HIGHEST_MINIMUM).contains(&minimum_characters);
        if fits && words.len() <= Self::MAX_WORDS {
            Ok(Self { minimum_characters, words })
        } else {
            Err(InvalidRequirements)
        }
    }

    /// Judges `password` as a new one of `account`. Takes some milliseconds: not for the threads of an async runtime.
    pub(crate) fn check(&self, password: &Password, account: &Account) -> Result<(), Weak> {
        if password.as_str().chars().count() < usize::from(self.minimum_characters) {
            return Err(Weak::TooShort { minimum_characters: self.minimum_characters });
        }
        let words = self.words_about(account);
        if rests_on(password.as_str(), &words) {
            return Err(Weak::ContainsContext);
        }
        if is_common(password.as_str(), &words) { Err(Weak::TooCommon) } else { Ok(()) }
    }

    /// The words that a guesser would try first, lower-cased, the longest first.
    fn words_about(&self, account: &Account) -> Vec<String> {
        let email = account.email.as_str();
        let local = email.rsplit_once('@').map_or(email, |(local, _)| local);
        let pieces = |text: &str| -> Vec<String> {
            let pieces = text.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
            pieces.chain([text.to_lowercase()]).collect()
        };
        let mut words: Vec<String> = [email, local, &*account.name]
            .into_iter()
            .chain(self.words.iter().map(AsRef::as_ref))
            .flat_map(pieces)
            .filter(|word| word.chars().count() >= SHORTEST_WORD)
            .collect();
        words.sort_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        words.dedup();
        words.truncate(MOST_WORDS_TRIED);
        words
    }
}

impl Default for Requirements {
    /// 8 characters, and not built of `wayleave`.
    fn default() -> Self {
        Self { minimum_characters: Self::LOWEST_MINIMUM, words: vec!["wayleave".into()] }
    }
}

const SHORTEST_WORD: usize = 3;
const MOST_WORDS_TRIED: usize = 128;

/// Guesses below which a password is as good as listed: zxcvbn's bound for what falls to a throttled attacker. Whatever
/// is in its lists of common passwords, names and words stays far below, also capitalised or respelled in digits.
const COMMON_BELOW: u64 = 1_000_000;

/// As many characters as are judged. The estimate is worse than quadratic in them for texts that respell every letter,
/// and what is this long without being common so far is not common.
const JUDGED: usize = 32;

/// Whether too little is left of `password` when `words` are taken out of it.
fn rests_on(password: &str, words: &[String]) -> bool {
    let lower = password.to_lowercase();
    let rest = words.iter().fold(lower.clone(), |rest, word| rest.replace(word.as_str(), ""));
    rest.len() < lower.len() && rest.chars().count() < usize::from(Requirements::LOWEST_MINIMUM)
}

fn is_common(password: &str, words: &[String]) -> bool {
    let judged: String = password.chars().take(JUDGED).collect();
    let judged = zeroize::Zeroizing::new(judged);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    zxcvbn::zxcvbn(&judged, &words).guesses() < COMMON_BELOW
}

/// Why a password cannot be chosen.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// It has too few characters.
    #[error("choose a password of at least {minimum_characters} characters")]
    TooShort {
        /// How many it needs.
        minimum_characters: u16,
    },
    /// It is among the first that anybody would try: a common password, a keyboard row, a date, a repetition.
    #[error("this password is too easy to guess; choose a less common one")]
    TooCommon,
    /// Little is left of it without the account's e-mail address or name and the product's name.
    #[error("choose a password that is not built from your name, your e-mail address or the name of this service")]
    ContainsContext,
    /// It is the one in force, and another was asked for.
    #[error("choose another password than the one you have")]
    Unchanged,
}

/// The minimum is not one that can be chosen, or there are too many words.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the minimum length of passwords is 8 to 64 characters, with at most 64 words to avoid")]
pub struct InvalidRequirements;

#[cfg(test)]
mod tests {
    use wayleave_core::permission::Permissions;
    use wayleave_core::ports::AccountId;
    use wayleave_core::record::Revision;
    use wayleave_core::time::Timestamp;

    use super::*;

    fn account() -> Account {
        Account {
            id: AccountId::new([1; 16]),
            email: "Maria.Lindqvist@example.org".parse().unwrap(),
            name: "Maria Lindqvist".into(),
            role: "".into(),
            phone: None,
            labels: Vec::new(),
            avatar: None,
            permissions: Permissions::none(),
            disabled: false,
            must_change_password: false,
            epoch: 0,
            created_at: Timestamp::MIN,
            updated_at: Timestamp::MIN,
            last_sign_in_at: None,
            revision: Revision::default(),
        }
    }

    fn check(requirements: &Requirements, text: &str) -> Result<(), Weak> {
        requirements.check(&Password::new(text.to_owned()).unwrap(), &account())
    }

    /// R096: length in characters, the lists, and what is known of the account; R095: nothing about composition.
    #[test]
    fn weak_passwords_are_named_and_others_pass() {
        let short = Err(Weak::TooShort { minimum_characters: 8 });
        let cases: &[(Result<(), Weak>, &[&str])] = &[
            (short, &["", "x7#kQ2!", "\u{1f511}\u{1f511}\u{1f511}"]),
            (
                Err(Weak::TooCommon),
                &[
                    "password",
                    "PASSWORD",
                    "Passw0rd",
                    "P@ssw0rd1",
                    "password1",
                    "password123",
                    "12345678",
                    "123456789",
                    "1234567890",
                    "qwertyuiop",
                    "1q2w3e4r",
                    "qazwsxedc",
                    "iloveyou",
                    "sunshine",
                    "princess",
                    "football",
                    "baseball1",
                    "trustno1",
                    "starwars",
                    "superman",
                    "computer",
                    "michelle",
                    "jennifer",
                    "corvette",
                    "liverpool",
                    "chocolate",
                    "butterfly",
                    "internet",
                    "whatever",
                    "samantha",
                    "letmein1",
                    "welcome1",
                    "drowssap",
                    "aaaaaaaa",
                    "abcdefgh",
                    "abcabcabc",
                    "11111111",
                    "01011990",
                    "changeme",
                    "administrator",
                    "elizabeth",
                    "asdfghjkl",
                    "00000000",
                    "password!",
                ],
            ),
            (
                Err(Weak::ContainsContext),
                &[
                    "wayleave",
                    "Wayleave2026",
                    "wayleave!wayleave",
                    "maria.lindqvist",
                    "Lindqvist1",
                    "mariamaria",
                    "maria.lindqvist@example.org",
                    "LINDQVIST-7",
                ],
            ),
            (
                Ok(()),
                &[
                    "correct horse battery staple",
                    "x7#kQ2!m",
                    "vier rote Fahrräder",
                    "maria-rides-a-blue-tractor",
                    "пароль-из-леса",
                    "tangerine ocelot",
                    "no upper case no digits",
                    "\u{1f511}\u{1f6b2}\u{1f333}\u{1f98a}\u{1f30a}\u{1f3b8}\u{1f9c5}\u{1f4a1}\u{2744}\u{1f955}",
                    "  blanks at both ends  ",
                    "nul\0inside-works",
                ],
            ),
        ];
        for (expected, texts) in cases {
            for text in *texts {
                assert_eq!(check(&Requirements::default(), text), *expected, "{text:?}");
            }
        }
    }

    /// R095: 64 characters and more are always allowed.
    #[test]
    fn long_passwords_are_allowed() {
        let phrase = "a marmot in the attic hums while the kettle sings of autumn rain, ";
        for length in [64, 65, 128, 1024] {
            let text: String = phrase.chars().cycle().take(length).collect();
            assert_eq!(check(&Requirements::default(), &text), Ok(()), "{length}");
        }
    }

    #[test]
    fn the_minimum_can_be_raised_and_not_lowered() {
        let strict = Requirements::new(Requirements::RECOMMENDED_MINIMUM, ["Kotori"]).unwrap();
        assert_eq!(check(&strict, "x7#kQ2!mPw9&z"), Err(Weak::TooShort { minimum_characters: 15 }));
        assert_eq!(check(&strict, "kotori-kotori-26"), Err(Weak::ContainsContext));
        assert_eq!(check(&strict, "x7#kQ2!mPw9&zTr"), Ok(()));
        assert_eq!(Requirements::new(7, []), Err(InvalidRequirements));
        assert_eq!(Requirements::new(65, []), Err(InvalidRequirements));
        assert_eq!(Requirements::new(8, std::iter::repeat_n("word", 65)), Err(InvalidRequirements));
    }

    /// A54: texts made to be expensive to judge are judged all the same, and without panic.
    #[test]
    fn hostile_texts_are_judged() {
        let respelled = "4@8({[</369&#!1/|0$5+7%2/".repeat(20);
        let repeated = "aA1aA1aA1".repeat(60);
        for text in [&respelled, &repeated, &"\0".repeat(300), &"\u{130}".repeat(200), &"\u{fdfa}".repeat(200)] {
            let _ = check(&Requirements::default(), text);
        }
    }
}
