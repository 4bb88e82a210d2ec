//! Text that people write about people: one line of it, and nothing in it that does not show.

/// One line without blanks at its ends, of 1 to `most` characters, none of them [hidden](is_hidden).
#[must_use]
pub fn line(text: &str, most: usize) -> Option<Box<str>> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= most && !text.chars().any(is_hidden);
    fits.then(|| text.into())
}

/// Control characters, line separators, marks that turn the direction of text, and characters of no width: what a
/// terminal would act on, and what makes one name look like another (R164).
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_bounded_in_characters() {
        assert_eq!(line("  Ärztin ", 6).as_deref(), Some("Ärztin"));
        assert_eq!(line("Ärztin", 5), None);
        assert_eq!(line("दीपिका \u{5d0}\u{5d1} Nguyễn 王", 40).as_deref(), Some("दीपिका \u{5d0}\u{5d1} Nguyễn 王"));
        for hostile in ["", "  ", "a\nb", "a\u{85}b", "\u{0}"] {
            assert_eq!(line(hostile, 100), None, "{hostile:?}");
        }
    }

    /// R165: nothing turns the direction of what a page or a log shows after it, or does not show at all.
    #[test]
    fn what_does_not_show_is_refused() {
        let ranges = [0x200b..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069, 0xfeff..=0xfeff, 0x61c..=0x61c];
        for hidden in ranges.into_iter().flatten().filter_map(char::from_u32) {
            assert_eq!(line(&format!("a{hidden}b"), 100), None, "{:x}", u32::from(hidden));
        }
    }
}
