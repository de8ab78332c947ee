//! What a caller may use.

use std::fmt;

use aigate_contract::{Chat, Embed, Predict, Task, settings::Fault};
use http::StatusCode;

/// The kinds of work that rights can name, as the config writes them.
pub(crate) const TASKS: [&str; 3] = [Chat::NAME, Embed::NAME, Predict::NAME];

/// Which models and tasks a caller may use. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The models; none named: all.
    pub models: Vec<Pattern>,
    /// The tasks: `chat`, `embed`, `predict`; none named: all.
    pub tasks: Vec<String>,
}

impl Rights {
    /// Reads what the config lists under `models` and `tasks`.
    ///
    /// # Errors
    /// A fault for each entry that is no pattern or no task.
    pub fn parse(models: &[String], tasks: &[String]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut read = Vec::with_capacity(models.len());
        for (index, text) in models.iter().enumerate() {
            match Pattern::new(text) {
                Ok(pattern) => read.push(pattern),
                Err(why) => faults.push(Fault::at(format!("models[{index}]"), why)),
            }
        }
        for (index, task) in tasks.iter().enumerate().filter(|(_, task)| !TASKS.contains(&task.as_str())) {
            let message = format!("`{task}` is not a task: expected one of {}", TASKS.join(", "));
            faults.push(Fault::at(format!("tasks[{index}]"), message));
        }
        if faults.is_empty() { Ok(Self { models: read, tasks: tasks.to_vec() }) } else { Err(faults) }
    }

    /// Whether a model may be used for a task: `chat`, `embed` or `predict`.
    ///
    /// # Errors
    /// Which of the two is not allowed, with the texts for the caller: [`Self::permits`] does without.
    pub fn allows(&self, model: &str, task: &str) -> Result<(), NotAllowed> {
        if !self.permits_task(task) {
            return Err(NotAllowed::Task { task: shortened(task), allowed: listed(&self.tasks) });
        }
        if !self.permits_model(model) {
            return Err(NotAllowed::Model { model: shortened(model), allowed: listed(&self.models) });
        }
        Ok(())
    }

    /// Whether a model may be used for a task: `chat`, `embed` or `predict`.
    pub fn permits(&self, model: &str, task: &str) -> bool {
        self.permits_task(task) && self.permits_model(model)
    }

    fn permits_task(&self, task: &str) -> bool {
        self.tasks.is_empty() || self.tasks.iter().any(|allowed| allowed == task)
    }

    fn permits_model(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(model))
    }
}

/// What a caller may not use, and what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// Not this model.
    Model {
        /// The model asked for.
        model: String,
        /// The patterns of the allowed ones, for people.
        allowed: String,
    },
    /// Not this kind of work.
    Task {
        /// The task asked for.
        task: String,
        /// The allowed ones, for people.
        allowed: String,
    },
}

impl NotAllowed {
    /// What to tell the caller.
    pub fn message(&self) -> String {
        match self {
            Self::Model { model, allowed } => {
                format!(
                    "you may not use the model `{model}` here, only {allowed}: ask this gateway's operator for the right to it"
                )
            }
            Self::Task { task, allowed } => {
                format!(
                    "you may not use the task `{task}` here, only {allowed}: ask this gateway's operator for the right to it"
                )
            }
        }
    }

    /// 403: the caller is known, and may not.
    pub fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
}

/// A model's name, or a glob: each `*` stands for any text, also none. There is no escape and nothing else is special;
/// upper and lower case differ. `credit-*` allows `credit-` and `credit-card`, `*` allows all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The longest pattern, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Reads a pattern.
    ///
    /// # Errors
    /// A message for the operator when it is empty, too long, or has white space or control characters.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "is empty: expected a model's name, or a pattern such as `credit-*` or `*`".to_owned()
            );
        }
        if text.len() > Self::MAX_BYTES {
            return Err(format!("is longer than {} bytes", Self::MAX_BYTES));
        }
        if text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err(format!(
                "`{}` has white space or control characters: expected one model's name or pattern",
                text.escape_debug()
            ));
        }
        Ok(Self(text.into()))
    }

    /// Whether a name fits. The time is at most that of searching the name once for each piece of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        // Taking each middle piece where it first occurs leaves the most room for those after it.
        for piece in pieces {
            match rest.split_once(piece) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name that is repeated in a message, in characters.
const LONGEST_NAME: usize = 100;
/// The most names that a message lists.
const LISTED: usize = 8;

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

fn listed(names: &[impl fmt::Display]) -> String {
    let mut shown: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if names.len() > LISTED {
        shown.push(format!("{} more", names.len() - LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rights(models: &[&str], tasks: &[&str]) -> Result<Rights, Vec<Fault>> {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Rights::parse(&owned(models), &owned(tasks))
    }

    #[test]
    fn rights_that_name_nothing_allow_everything() {
        assert_eq!(Rights::default().allows("anything", "chat"), Ok(()));
        assert_eq!(rights(&[], &[]).unwrap(), Rights::default());
    }

    #[test]
    fn a_model_and_a_task_must_both_be_allowed_and_the_refusal_says_which_is_not() {
        let rights = rights(&["credit-*", "gpt"], &["chat", "predict"]).unwrap();
        assert_eq!(rights.allows("credit-card", "predict"), Ok(()));
        assert_eq!(rights.allows("gpt", "chat"), Ok(()));
        let model = rights.allows("gpt-4", "chat").unwrap_err();
        assert!(
            model.message().contains("model `gpt-4` here, only `credit-*`, `gpt`:"),
            "{}",
            model.message()
        );
        assert_eq!(model.status(), StatusCode::FORBIDDEN);
        let task = rights.allows("gpt", "embed").unwrap_err();
        assert!(task.message().contains("task `embed` here, only `chat`, `predict`:"), "{}", task.message());
    }

    #[test]
    fn a_refusal_stays_short_however_long_the_names_and_the_list() {
        let many: Vec<String> = (0..1000).map(|number| format!("model-{number}")).collect();
        let rights = Rights::parse(&many, &[]).unwrap();
        let message = rights.allows(&"ä".repeat(10_000), "chat").unwrap_err().message();
        assert!(message.len() < 700 && message.contains("992 more"), "{message}");
    }

    #[test]
    fn what_is_no_pattern_or_no_task_is_a_fault_at_its_place() {
        let faults = rights(&["ok", "", "two words"], &["chat", "singing"]).unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["models[1]", "models[2]", "tasks[1]"]);
        assert!(faults[2].message.contains("one of chat, embed, predict"), "{}", faults[2].message);
        assert!(Pattern::new(&"x".repeat(257)).is_err());
    }

    #[test]
    fn globs_fit_as_documented() {
        for (pattern, fits, fits_not) in [
            ("*", &["", "a", "a*b"][..], &[][..]),
            ("credit-*", &["credit-", "credit-card"], &["credit", "my-credit-card", "Credit-card"]),
            ("*-mini", &["-mini", "gpt-mini"], &["gpt-mini-2"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc"], &["ab", "acb", "abcd"]),
            ("ab*ba", &["abba", "abXba"], &["aba"]),
            ("exact", &["exact"], &["exact ", "exac", "exacts"]),
            ("**x", &["x", "yx"], &["xy"]),
        ] {
            let glob = Pattern::new(pattern).unwrap();
            for name in fits {
                assert!(glob.matches(name), "{pattern} fits {name}");
            }
            for name in fits_not {
                assert!(!glob.matches(name), "{pattern} does not fit {name}");
            }
        }
    }

    /// The definition, slow and plain.
    fn fits(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => fits(rest, name),
            (Some((b'*', rest)), Some((_, after))) => fits(rest, name) || fits(pattern, after),
            (Some((wanted, rest)), Some((found, after))) => wanted == found && fits(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(pattern in "[ab*]{1,7}", name in "[ab]{0,8}") {
            let quick = Pattern::new(&pattern).unwrap().matches(&name);
            prop_assert_eq!(quick, fits(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn what_is_permitted_is_what_is_allowed(
            models in prop::collection::vec("[ab*]{1,3}", 0..3),
            tasks in prop::sample::subsequence(TASKS.as_slice(), 0..=2),
            (model, task) in ("[ab]{0,3}", prop::sample::select(TASKS.as_slice())),
        ) {
            let tasks: Vec<String> = tasks.into_iter().map(str::to_owned).collect();
            let rights = Rights::parse(&models, &tasks).unwrap();
            prop_assert_eq!(rights.permits(&model, task), rights.allows(&model, task).is_ok());
        }
    }
}
