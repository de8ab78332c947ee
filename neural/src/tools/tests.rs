use proptest::prelude::*;
use serde_json::json;

use super::*;

fn names() -> Vec<String> {
    ["now", "add"].map(String::from).to_vec()
}

fn call(name: &str, arguments: &str) -> Part {
    Part::Call { name: name.into(), arguments: arguments.into() }
}

fn said(text: &str) -> Part {
    Part::Text(text.into())
}

/// Joins texts in a row, which depend on how the answer was cut.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text))
            | (Some(Part::Reasoning(before)), Part::Reasoning(text)) => {
                *before += &text;
            }
            (_, part) => joined.push(part),
        }
    }
    joined
}

fn parsed(style: Style, pieces: &[&str]) -> Vec<Part> {
    let mut parser = Parser::new(style, names());
    let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    parts.extend(parser.finish());
    joined(parts)
}

const HERMES: &str = "Let me see.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": \"}</tool_call>\\\"{\"}}</tool_call>\nDone.";
const MISTRAL: &str = "[TOOL_CALLS] [{\"name\": \"now\", \"arguments\": {}, \"id\": \"abc\"}, {\"name\": \"add\", \"arguments\": {\"a\": [1]}}]\n";
const LLAMA: &str =
    " <|python_tag|>{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"add\", \"parameters\": {\"a\": 1}}";

fn answers() -> [(Style, &'static str, Vec<Part>); 3] {
    [
        (
            Style::Hermes,
            HERMES,
            vec![
                said("Let me see.\n"),
                call("now", "{}"),
                call("add", "{\"a\": \"}</tool_call>\\\"{\"}"),
                said("Done."),
            ],
        ),
        (Style::Mistral, MISTRAL, vec![call("now", "{}"), call("add", "{\"a\": [1]}")]),
        (Style::Llama, LLAMA, vec![call("now", "{}"), call("add", "{\"a\": 1}")]),
    ]
}

#[test]
fn calls_are_read_in_every_style() {
    for (style, text, parts) in answers() {
        assert_eq!(parsed(style, &[text]), parts);
    }
    assert_eq!(
        parsed(Style::Llama, &["{\"name\": \"add\", \"parameters\": {\"a\": 1}}"]),
        [call("add", "{\"a\": 1}")]
    );
    // Arguments as a text of JSON, and none at all behind a marker.
    assert_eq!(
        parsed(
            Style::Hermes,
            &["<tool_call>{\"name\": \"add\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>"]
        ),
        [call("add", "{\"a\": 1}")]
    );
    assert_eq!(parsed(Style::Hermes, &["<tool_call>{\"name\": \"now\"}"]), [call("now", "{}")]);
}

#[test]
fn what_only_began_like_a_call_is_text() {
    let cases = [
        (Style::Hermes, "a < b, <tool_, <tool_call"),
        (Style::Hermes, "<tool_call>{\"name\": \"now\", \"arguments\": {"),
        (Style::Hermes, "<tool_call>\nnow()\n</tool_call>"),
        (Style::Hermes, "<tool_call>{\"name\": \"gone\", \"arguments\": {}}</tool_call>"),
        (Style::Hermes, "<tool_call>{\"name\": \"add\", \"arguments\": [1]}</tool_call>"),
        (Style::Hermes, "<tool_call>{\"name\": \"add\", \"arguments\": \"1\"}</tool_call>"),
        (Style::Hermes, "<tool_call>{\"arguments\": {}}</tool_call>"),
        (Style::Mistral, "[TOOL_CALLS] {\"name\": \"now\", \"arguments\": {}}"),
        (Style::Mistral, "[TOOL_"),
        (Style::Llama, "<|python_tag|>print(1)"),
        (Style::Llama, "{\"name\": \"now\"}"),
        (Style::Llama, "{\"name\": \"gone\", \"parameters\": {}}"),
        (Style::Llama, "  {\"name\": 1} and more"),
        (Style::Llama, "So: {\"name\": \"now\", \"parameters\": {}}"),
        (Style::Llama, "}"),
    ];
    for (style, text) in cases {
        assert_eq!(parsed(style, &[text]), [said(text)], "{style:?}");
    }
    assert_eq!(parsed(Style::Hermes, &[""]), []);
}

#[test]
fn a_call_behind_what_was_none_is_still_read() {
    let text = "<tool_call>oh <tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>";
    assert_eq!(parsed(Style::Hermes, &[text]), [said("<tool_call>oh "), call("now", "{}")]);
    let text = "<tool_call>{\"name\": <tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>";
    assert_eq!(parsed(Style::Hermes, &[text]), [said("<tool_call>{\"name\": "), call("now", "{}")]);
}

#[test]
fn plain_text_is_passed_on_at_once() {
    let mut parser = Parser::new(Style::Hermes, names());
    assert_eq!(parser.push("Hello"), [said("Hello")]);
    assert_eq!(parser.push(" <to"), [said(" ")]);
    assert_eq!(parser.push("p>"), [said("<top>")]);
}

proptest! {
    #[test]
    fn however_an_answer_is_cut_the_parts_are_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for (style, text, parts) in answers() {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let pieces: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parsed(style, &pieces), parts);
        }
    }

    #[test]
    fn any_text_comes_out_whole_and_the_same_however_cut(
        words in prop::collection::vec(
            prop::sample::select(vec!["<tool_call>", "</tool_call>", "{", "}", "\"", "\\", "[TOOL_CALLS]", "[", "]", "<|python_tag|>", "ä", " ", "x", ";"]),
            0..20,
        ),
        style in prop::sample::select(vec![Style::Hermes, Style::Llama, Style::Mistral]),
    ) {
        let text = words.concat();
        let whole = parsed(style, &[&text]);
        prop_assert_eq!(&whole, &parsed(style, &words));
        let expected = if text.is_empty() { vec![] } else { vec![said(&text)] };
        prop_assert_eq!(whole, expected);
    }
}

#[test]
fn a_style_is_known_by_its_template() {
    let hermes =
        "<tool_call>\\n{\\\"name\\\": <function-name>, \\\"arguments\\\": <args-json-object>}\\n</tool_call>";
    assert_eq!(Style::of(hermes), Some(Style::Hermes));
    assert_eq!(
        Style::of("'<tool_call>\\n{\"name\": \"' + x + '\", \"arguments\": ' + y"),
        Some(Style::Hermes)
    );
    assert_eq!(Style::of("{{ '<tool_call>\\n<function=' + name }} \"arguments\": "), None);
    assert_eq!(Style::of("'[TOOL_CALLS] [' + calls"), Some(Style::Mistral));
    assert_eq!(Style::of("'[TOOL_CALLS]' + name + '[ARGS]'"), None);
    assert_eq!(
        Style::of("Respond in the format {\"name\": function name, \"parameters\": dictionary"),
        Some(Style::Llama)
    );
    assert_eq!(Style::of("{{ messages }}"), None);
}

#[test]
fn offered_tools_are_read_and_checked() {
    let tools = json!([{"type": "function", "function": {"name": "a", "parameters": {}}}, {"function": {"name": "b", "parameters": null}}]);
    let read = offered(&tools).unwrap();
    assert_eq!((read[0].name, read[0].parameters, read[1].parameters), ("a", Some(&json!({})), None));
    assert!(offered(&json!([{"name": "a"}])).unwrap_err().contains("index 0"));
    assert!(
        offered(&json!([{"function": {"name": "a"}}, {"function": {"name": "a"}}]))
            .unwrap_err()
            .contains("\"a\"")
    );
    assert!(offered(&json!({})).is_err());
}

fn split(prompt: &str, pieces: &[&str]) -> Vec<Part> {
    let mut thoughts = Thoughts::of("{{ '</think>' }}", prompt).unwrap();
    let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| thoughts.push(piece)).collect();
    parts.extend(thoughts.finish());
    joined(parts)
}

fn thought(text: &str) -> Part {
    Part::Reasoning(text.into())
}

#[test]
fn thoughts_are_split_from_the_answer() {
    let both = [thought("so it is"), said("Yes. <think>no</think>")];
    assert_eq!(split("", &["\n<think>\nso it is\n</think>\n\nYes. <think>no</think>"]), both);
    assert_eq!(split("<|assistant|>\n<think>\n", &["so it is\n</think>\n\nYes. <think>no</think>"]), both);
    assert_eq!(split("", &["Yes. <think>"]), [said("Yes. <think>")]);
    assert_eq!(split("", &["<think>unfinished\n"]), [thought("unfinished")]);
    assert_eq!(split("", &["<think></think>ok"]), [said("ok")]);
    assert_eq!(split("", &[" <thi"]), [said(" <thi")]);
    assert!(Thoughts::of("{{ messages }}", "").is_none());
}

proptest! {
    #[test]
    fn however_thoughts_are_cut_they_are_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let text = " <think> a </thi b\n\n c </think> \n d ";
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let pieces: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(split("", &pieces), [thought("a </thi b\n\n c"), said("d ")]);
    }
}
