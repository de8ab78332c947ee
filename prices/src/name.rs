//! Which names of the catalogue a deployment's target goes by.
//!
//! A row's name is compared whole, never as the beginning of another: `gpt-4.1` is not `gpt-4.1-mini`. It is the target that
//! is shortened, one step at a time, and the first step that a row has the name of wins:
//!
//! 1. the target as it stands, without the path or ARN around it (capitals do not matter);
//! 2. at AWS: without the geography of an inference profile (`eu.`, `us.`, `global.`, …);
//! 3. without a version: `@20251001`, `:0`, `-v1`, `-2025-04-14`, `-20251001`, and what is a stable version at Google: `-001`.
//!
//! `eu.anthropic.claude-haiku-4-5-20251001-v1:0` thus ends as `anthropic.claude-haiku-4-5`.

/// Geographies of Bedrock's inference profiles.
const GEOGRAPHIES: [&str; 12] =
    ["global", "us", "us-gov", "eu", "apac", "jp", "au", "ca", "sa", "in", "me", "af"];

/// The names that `target` goes by, best first; none when it names no model.
pub(crate) fn names(kind: &str, target: &str) -> Vec<String> {
    let lower = target.trim().to_ascii_lowercase();
    let Some(plain) = without_path(kind, &lower) else { return Vec::new() };
    let mut names = vec![plain.to_owned()];
    let mut short = plain;
    while let Some(shorter) = shortened(kind, short) {
        names.push(shorter.to_owned());
        short = shorter;
    }
    names
}

/// The geography of the inference profile at AWS that `target` names.
pub(crate) fn geography(target: &str) -> Option<&'static str> {
    let lower = target.trim().to_ascii_lowercase();
    let plain = without_path("aws", &lower)?;
    let (first, rest) = plain.split_once('.')?;
    // `us.` alone is a geography only before a vendor: `us.anthropic.claude-…`.
    let known = GEOGRAPHIES.into_iter().find(|&geography| geography == first)?;
    rest.contains('.').then_some(known)
}

/// `None` for an ARN that hides which model it runs.
fn without_path<'a>(kind: &str, target: &'a str) -> Option<&'a str> {
    match kind {
        "aws" if target.starts_with("arn:") => {
            let (head, name) = target.rsplit_once('/')?;
            let tells = head.ends_with(":foundation-model") || head.ends_with(":inference-profile");
            tells.then_some(name)
        }
        "google" => match target.rsplit_once("models/") {
            Some((_, name)) => Some(name),
            None => Some(target),
        },
        _ => Some(target),
    }
    .filter(|name| !name.is_empty())
}

/// One step shorter; `None` at the end.
fn shortened<'a>(kind: &str, name: &'a str) -> Option<&'a str> {
    if kind == "aws"
        && let Some(geography) = geography(name)
    {
        return name.get(geography.len() + 1..);
    }
    if let Some((model, _)) = name.split_once(['@', ':']) {
        return (!model.is_empty()).then_some(model);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (model, last) = name.rsplit_once('-')?;
    let version = last.strip_prefix('v').is_some_and(digits)
        || last.len() == 8 && digits(last)
        || kind == "google" && last.len() == 3 && digits(last);
    if version {
        return Some(model);
    }
    let (year, month) = (model.len().checked_sub(8)?, model.len().checked_sub(3)?);
    let date = [model.get(year..year + 5)?, model.get(month..)?];
    let dated = digits(last)
        && last.len() == 2
        && date.iter().all(|part| part.starts_with('-') && digits(&part[1..]));
    if dated { name.get(..year) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(kind: &str, target: &str) -> String {
        names(kind, target).pop().unwrap()
    }

    #[test]
    fn a_target_is_shortened_to_the_model_it_runs() {
        for (kind, target, model) in [
            ("azure", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
            ("openai", "gpt-4.1", "gpt-4.1"),
            ("aws", "anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5"),
            ("aws", "eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5"),
            ("aws", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5"),
            (
                "aws",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-6",
                "anthropic.claude-sonnet-4-6",
            ),
            (
                "aws",
                "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0:300k",
                "amazon.nova-lite",
            ),
            ("aws", "deepseek.v3.2", "deepseek.v3.2"),
            ("google", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("google", "publishers/anthropic/models/claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("google", "models/Gemini-2.5-Flash", "gemini-2.5-flash"),
            ("google", "gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash-preview-09-2025"),
            ("openai", "é-11-11", "é-11-11"),
        ] {
            assert_eq!(last(kind, target), model, "{target}");
        }
        assert_eq!(
            names("aws", "amazon.titan-embed-text-v2:0"),
            ["amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2", "amazon.titan-embed-text"]
        );
    }

    #[test]
    fn an_arn_that_hides_its_model_has_no_name() {
        assert!(names("aws", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc").is_empty());
        assert!(names("aws", "arn:nonsense").is_empty());
        assert!(names("google", "models/").is_empty());
        assert_eq!(geography("global.anthropic.claude-opus-5"), Some("global"));
        assert_eq!(geography("anthropic.claude-opus-5"), None);
    }
}
