//! The nearest right spelling.

use strsim::levenshtein;

/// The name nearest to `wrong`, if one is near enough to be meant: at most a third of its letters differ.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wrong.chars().count() / 3).max(2);
    let near = known.into_iter().map(|name| (levenshtein(wrong, name), name));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name)
}

/// `; did you mean …?`, or nothing.
pub(crate) fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("gpt-4.1-mimi", ["gpt-4.1", "gpt-4.1-mini"]), Some("gpt-4.1-mini"));
        assert_eq!(nearest("qwen3-32b", ["gpt-4.1", "gemini-2.5-pro"]), None);
    }
}
