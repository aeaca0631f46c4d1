//! Folds a text so that a search finds it however it is written: half-width kana, full-width letters, katakana for
//! hiragana, capitals, spaces.

use unicode_normalization::UnicodeNormalization as _;

/// From a katakana to its hiragana.
const KANA_DISTANCE: u32 = 0x60;

/// The form in which texts are stored for the search, and in which what is searched for is compared.
pub fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).map(to_hiragana).collect()
}

/// Several texts as one, parted by what no folded text has.
pub fn fold_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(fold).collect::<Vec<_>>().join("\n")
}

fn to_hiragana(c: char) -> char {
    match c {
        'ァ'..='ヶ' => u32::from(c).checked_sub(KANA_DISTANCE).and_then(char::from_u32).unwrap_or(c),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_however_it_is_written() {
        for written in ["やまだ たろう", "ヤマダ　タロウ", "ﾔﾏﾀﾞ ﾀﾛｳ", "ヤマダタロウ"]
        {
            assert_eq!(fold(written), "やまだたろう", "{written}");
        }
        assert_eq!(fold("ＴＡＲＯ Yamada"), "taroyamada");
        assert_eq!(fold("ヴァイオリン"), "ゔぁいおりん");
        assert_eq!(fold_all(["A b", "C"]), "ab\nc");
    }
}
