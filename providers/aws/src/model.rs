//! What a target names: a model id, an inference profile or an ARN, and what the model behind it understands.

/// The models whose own fields this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Anthropic Claude.
    Claude(Thinking),
    /// Amazon Nova of the second generation.
    Nova2,
    /// OpenAI's open-weight models.
    OpenAi,
    /// Any other, or unknown because the ARN does not say.
    Other,
}

/// How a Claude model is told to think.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// It cannot.
    Never,
    /// With a budget of tokens (3.7 to 4.5).
    Budget,
    /// With an effort; it does not think unless told so (4.6 and later 4.x).
    Adaptive,
    /// With an effort; no documented way to stop it (5 and later).
    Always,
}

/// Longest target, as the API's model says.
const MAX_TARGET: usize = 2048;

/// Regions' prefixes of cross-region inference profiles.
const PROFILES: [&str; 10] = ["us", "us-gov", "eu", "apac", "jp", "au", "ca", "sa", "mx", "global"];

/// The model's id without region prefix or ARN; `None` when the ARN hides it (application profiles, provisioned
/// throughput, routers, imported models).
pub(crate) fn id(target: &str) -> Option<&str> {
    let name = if target.starts_with("arn:") {
        let (kind, name) = target.splitn(6, ':').nth(5)?.split_once('/')?;
        matches!(kind, "foundation-model" | "inference-profile").then_some(name)?
    } else {
        target
    };
    match name.split_once('.') {
        Some((prefix, rest)) if PROFILES.contains(&prefix) => Some(rest),
        _ => Some(name),
    }
}

impl Family {
    pub(crate) fn of(target: &str) -> Self {
        let Some(id) = id(target) else { return Self::Other };
        if let Some(name) = id.strip_prefix("anthropic.claude-") {
            Self::Claude(Thinking::of(name))
        } else if id.starts_with("amazon.nova-2-") {
            Self::Nova2
        } else if id.starts_with("openai.") {
            Self::OpenAi
        } else {
            Self::Other
        }
    }

    pub(crate) fn is_claude(self) -> bool {
        matches!(self, Self::Claude(_))
    }
}

impl Thinking {
    /// `name` is what follows `claude-`: `3-7-sonnet-20250219-v1:0`, `opus-4-6-v1`, `sonnet-5`, `v2:1`.
    fn of(name: &str) -> Self {
        if name.starts_with('v') || name.starts_with("instant") {
            return Self::Never;
        }
        let mut numbers = name
            .split('-')
            .skip_while(|part| !is_version(part))
            .take_while(|part| is_version(part))
            .filter_map(|part| part.parse::<u8>().ok());
        match (numbers.next(), numbers.next().unwrap_or(0)) {
            (Some(0..=2), _) | (Some(3), 0..=6) => Self::Never,
            (Some(3), _) | (Some(4), 0..=5) => Self::Budget,
            (Some(4), _) => Self::Adaptive,
            _ => Self::Always,
        }
    }
}

/// A version's part, not a date.
fn is_version(part: &str) -> bool {
    (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `target` has the form of a model id, profile id or ARN.
pub(crate) fn check(target: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if target.is_empty() || target.len() > MAX_TARGET || !target.bytes().all(fits) {
        return Err(format!(
            "`{target}` is not a Bedrock model: expected a model id such as `amazon.nova-lite-v1:0`, an inference \
             profile such as `eu.anthropic.claude-haiku-4-5-20251001-v1:0`, or an ARN"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_profiles_and_arns_lead_to_the_model() {
        for target in [
            "amazon.titan-embed-text-v2:0",
            "eu.amazon.titan-embed-text-v2:0",
            "arn:aws:bedrock:eu-central-1::foundation-model/amazon.titan-embed-text-v2:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.titan-embed-text-v2:0",
        ] {
            assert_eq!(id(target), Some("amazon.titan-embed-text-v2:0"), "{target}");
        }
        assert_eq!(id("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"), None);
        assert_eq!(id("arn:nonsense"), None);
    }

    #[test]
    fn claude_s_way_of_thinking_follows_from_its_version() {
        for (target, thinking) in [
            ("anthropic.claude-v2:1", Thinking::Never),
            ("anthropic.claude-3-haiku-20240307-v1:0", Thinking::Never),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", Thinking::Never),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Thinking::Budget),
            ("eu.anthropic.claude-sonnet-4-20250514-v1:0", Thinking::Budget),
            ("global.anthropic.claude-haiku-4-5-20251001-v1:0", Thinking::Budget),
            ("us.anthropic.claude-opus-4-6-v1", Thinking::Adaptive),
            ("anthropic.claude-opus-4-7", Thinking::Adaptive),
            ("global.anthropic.claude-sonnet-5", Thinking::Always),
            ("anthropic.claude-mythos-preview", Thinking::Always),
        ] {
            assert_eq!(Family::of(target), Family::Claude(thinking), "{target}");
        }
        assert_eq!(Family::of("us.amazon.nova-2-lite-v1:0"), Family::Nova2);
        assert_eq!(Family::of("amazon.nova-lite-v1:0"), Family::Other);
        assert_eq!(Family::of("openai.gpt-oss-120b-1:0"), Family::OpenAi);
    }
}
