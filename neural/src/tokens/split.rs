//! Splits a text into words, within which byte-pair encoding merges.

use regex::Regex;

/// One cut of the text: its matches become words of their own, as does what lies between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// A regular expression. Where the original ends in `\s+(?!\S)|\s+`, this one ends in `\s+`.
    pub(super) pattern: &'static str,
    pub(super) runs: Runs,
}

/// Which runs of white space leave their last character to the word after them: what `\s+(?!\S)` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// None.
    Whole,
    /// All.
    Leave,
    /// All but those that end in a line's end, which the pattern matches by itself.
    LeaveInLine,
}

/// Splits texts by rules, each within the words of the one before.
#[derive(Debug)]
pub(super) struct Splitter {
    rules: Vec<(Regex, Runs)>,
}

impl Splitter {
    pub(super) fn new(rules: &[Rule]) -> Result<Self, String> {
        let compile = |rule: &Rule| match Regex::new(rule.pattern) {
            Ok(regex) => Ok((regex, rule.runs)),
            Err(error) => Err(format!("the pattern {} is wrong: {error}", rule.pattern)),
        };
        Ok(Self { rules: rules.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// The words; together they are the text.
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        self.rules.iter().fold(vec![text], |words, (regex, runs)| {
            let mut cut = Vec::with_capacity(words.len());
            for word in words {
                cut_by(regex, *runs, word, &mut cut);
            }
            cut
        })
    }
}

fn cut_by<'a>(regex: &Regex, runs: Runs, text: &'a str, words: &mut Vec<&'a str>) {
    let mut at = 0;
    let mut push = |word: Option<&'a str>| words.extend(word.filter(|word| !word.is_empty()));
    while let Some(found) = regex.find_at(text, at) {
        let end = found.end() - left(found.as_str(), runs, found.end() == text.len());
        push(text.get(at..found.start()));
        push(text.get(found.start()..end));
        if end <= at {
            break;
        }
        at = end;
    }
    push(text.get(at..));
}

/// How many bytes of the match are left to the next word.
fn left(found: &str, runs: Runs, at_end: bool) -> usize {
    match found.chars().next_back() {
        _ if at_end || runs == Runs::Whole => 0,
        Some('\r' | '\n') if runs == Runs::LeaveInLine => 0,
        Some(last) if last.is_whitespace() && found.len() > last.len_utf8() => last.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pre;
    use super::*;

    fn words<'a>(pre: &str, text: &'a str) -> Vec<&'a str> {
        let pre = pre::find("gpt2", Some(pre)).expect("known");
        Splitter::new(pre.rules).expect("compiles").split(text)
    }

    #[test]
    fn gpt_2_leaves_the_last_space_of_a_run_to_the_next_word() {
        assert_eq!(
            words("gpt-2", "it's  12 o'clock\n\nno  "),
            ["it", "'s", " ", " 12", " o", "'", "clock", "\n", "\n", "no", "  "]
        );
    }

    #[test]
    fn llama_3_splits_numbers_by_three_and_keeps_lines_ends_together() {
        assert_eq!(
            words("llama-bpe", "I'LL  pay 12345€!\n\n  now \n"),
            ["I", "'LL", " ", " pay", " ", "123", "45", "€!\n\n", " ", " now", " \n"]
        );
    }

    #[test]
    fn qwen_splits_each_digit() {
        assert_eq!(words("qwen2", "x=42"), ["x", "=", "4", "2"]);
    }

    #[test]
    fn tekken_splits_words_where_capitals_begin() {
        assert_eq!(words("tekken", "HTTPServer isNow"), ["HTTPServer", " is", "Now"]);
    }

    #[test]
    fn every_pattern_compiles_and_loses_nothing() {
        let text = "Ünïcödé  don't\t12345,67\r\n\n  <|im_end|> 你好，世界 مرحبا \u{a0}\u{3000} 😀 _a1_B2/ \n";
        for pre in pre::names() {
            assert_eq!(words(pre, text).concat(), text, "{pre}");
            assert_eq!(words(pre, ""), [""; 0], "{pre}");
        }
    }
}
