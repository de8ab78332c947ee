//! What the claims of a verified token say: whether it is good now and here, who calls, and what it may use.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aigate_contract::{Caller, settings::Fault};
use serde_json::{Map, Value};

use super::JwtConfig;
use crate::{
    Admitted, Pattern, Rights,
    moment::from_seconds,
    refused::TokenFault,
    rights::TASKS,
    secret::{hash, hexadecimal},
};

/// A verified token's claims.
pub(super) type Claims = Map<String, Value>;

/// The longest subject and the longest value of a label, in bytes.
const MAX_NAME: usize = 128;
/// What a subject is made of.
const VISIBLE: RangeInclusive<u8> = b'!'..=b'~';
/// What a label's value is made of, as it is in the config.
const VISIBLE_OR_SPACE: RangeInclusive<u8> = b' '..=b'~';
/// The most models that a token grants.
const MAX_GRANTED: usize = 256;

/// What an issuer's tokens must claim, and what its claims mean.
pub(super) struct Reader {
    issuer: String,
    audience: Vec<String>,
    leeway: Duration,
    subject: Arc<str>,
    models_claim: Option<Arc<str>>,
    tasks_claim: Option<Arc<str>>,
    /// Granted to every token.
    granted: Rights,
    /// Label and claim, sorted by label.
    labels: Vec<(Arc<str>, Arc<str>)>,
    /// Claim and value.
    required: Vec<(Arc<str>, Arc<str>)>,
}

impl Reader {
    /// # Errors
    /// Faults in `models` and `tasks`.
    pub(super) fn build(config: &JwtConfig) -> Result<Self, Vec<Fault>> {
        let pair = |(one, other): (&String, &String)| (Arc::from(one.as_str()), Arc::from(other.as_str()));
        Ok(Self {
            issuer: config.issuer.clone(),
            audience: config.audience.as_slice().to_vec(),
            leeway: config.leeway(),
            subject: config.subject_claim.as_deref().unwrap_or("sub").into(),
            models_claim: config.models_claim.as_deref().map(Arc::from),
            tasks_claim: config.tasks_claim.as_deref().map(Arc::from),
            granted: Rights::parse(&config.models, &config.tasks)?,
            labels: config.labels.iter().map(pair).collect(),
            required: config.required.iter().map(pair).collect(),
        })
    }

    /// Who holds the token, and until when it is good.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(
        &self,
        issuer: &str,
        claims: &Claims,
        now: SystemTime,
    ) -> Result<(Admitted, SystemTime), TokenFault> {
        let until = self.check(claims, now)?;
        self.check_required(claims)?;
        let subject = claim(claims, &self.subject).and_then(plain).filter(|text| !text.is_empty());
        let subject = subject.ok_or_else(|| TokenFault::Claim(Arc::clone(&self.subject)))?;
        let name = Arc::from(format!("{issuer}:{}", safe(&subject, VISIBLE)));
        let caller = Arc::new(Caller { name, labels: self.labels(claims) });
        Ok((Admitted { caller, rights: Arc::new(self.rights(claims)?) }, until))
    }

    /// Whether the token is from this issuer, for us, and good now; then until when.
    fn check(&self, claims: &Claims, now: SystemTime) -> Result<SystemTime, TokenFault> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenFault::Issuer);
        }
        let for_us = claims.get("aud").is_some_and(|aud| match aud {
            Value::String(one) => self.audience.contains(one),
            Value::Array(many) => {
                many.iter().filter_map(Value::as_str).any(|one| self.audience.iter().any(|us| us == one))
            }
            _ => false,
        });
        if !for_us {
            return Err(TokenFault::Audience);
        }
        let moment = |name: &'static str| match claims.get(name) {
            Some(value) => seconds(value).map(Some).ok_or_else(|| TokenFault::Claim(name.into())),
            None => Ok(None),
        };
        let since = moment("exp")?.ok_or_else(|| TokenFault::Claim("exp".into()))?;
        let until = since + self.leeway;
        if until <= now {
            return Err(TokenFault::Expired { since });
        }
        match moment("nbf")? {
            Some(from) if now + self.leeway < from => Err(TokenFault::NotYet { from }),
            _ => Ok(until),
        }
    }

    fn check_required(&self, claims: &Claims) -> Result<(), TokenFault> {
        let holds = |(name, value): &(Arc<str>, Arc<str>)| words(claims, name).any(|word| word == &**value);
        match self.required.iter().find(|needed| !holds(needed)) {
            Some((claim, value)) => {
                Err(TokenFault::Lacks { claim: Arc::clone(claim), value: Arc::clone(value) })
            }
            None => Ok(()),
        }
    }

    /// What every token is granted, and what this one's claims grant. A claim that grants nothing must not end up as the
    /// empty list, which means all.
    fn rights(&self, claims: &Claims) -> Result<Rights, TokenFault> {
        let mut rights = self.granted.clone();
        if let Some(name) = &self.models_claim {
            rights
                .models
                .extend(words(claims, name).filter_map(|word| Pattern::new(word).ok()).take(MAX_GRANTED));
            refuse_none(&rights.models, name)?;
        }
        if let Some(name) = &self.tasks_claim {
            let known = TASKS.into_iter().filter(|task| words(claims, name).any(|word| word == *task));
            rights.tasks.extend(known.map(str::to_owned));
            refuse_none(&rights.tasks, name)?;
        }
        Ok(rights)
    }

    fn labels(&self, claims: &Claims) -> Vec<(Arc<str>, Arc<str>)> {
        let label = |(label, name): &(Arc<str>, Arc<str>)| {
            let value = claim(claims, name).and_then(plain).filter(|text| !text.is_empty())?;
            Some((Arc::clone(label), Arc::from(safe(&value, VISIBLE_OR_SPACE))))
        };
        self.labels.iter().filter_map(label).collect()
    }
}

fn refuse_none<T>(granted: &[T], claim: &Arc<str>) -> Result<(), TokenFault> {
    if granted.is_empty() { Err(TokenFault::GrantsNothing { claim: Arc::clone(claim) }) } else { Ok(()) }
}

/// A claim by its name, or by its path when that begins with `/`.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    match path.split_once('/') {
        Some((first, rest)) => claim(claims.get(first)?.as_object()?, &format!("/{rest}")),
        None => claims.get(path),
    }
}

/// The words of a claim that holds a list of texts, or a text with spaces.
fn words<'a>(claims: &'a Claims, name: &str) -> impl Iterator<Item = &'a str> {
    let (text, list) = match claim(claims, name) {
        Some(Value::String(text)) => (text.as_str(), &[][..]),
        Some(Value::Array(list)) => ("", list.as_slice()),
        _ => ("", &[][..]),
    };
    text.split_whitespace().chain(list.iter().filter_map(Value::as_str))
}

/// A text, number or truth value as text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A moment in seconds since 1970, also with a fraction.
fn seconds(value: &Value) -> Option<SystemTime> {
    let whole = value.as_u64();
    // A cast from a float stops at the largest number there is.
    let rounded = || value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64);
    whole.or_else(rounded).map(from_seconds)
}

/// A text of these bytes only, at most 128 of them, different for different texts: whoever could take another's name would
/// share its budget and its cached answers. Other bytes and `%` become `%XX`; of a longer text the beginning stays, with a hash.
fn safe(text: &str, plain: RangeInclusive<u8>) -> String {
    let mut safe = String::with_capacity(text.len().min(MAX_NAME));
    for byte in text.bytes() {
        if byte != b'%' && plain.contains(&byte) {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    if safe.len() < MAX_NAME {
        return safe;
    }
    // Only shortened texts have all 128 bytes, so nobody can choose one.
    let digits = hexadecimal(&hash(text));
    let digits = digits.get(..32).unwrap_or_default();
    safe.truncate(MAX_NAME - 1 - digits.len());
    format!("{safe}~{digits}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subject_is_made_safe_without_making_two_equal() {
        let safe = |text: &str| safe(text, VISIBLE);
        assert_eq!(safe("auth0|user@bank.example"), "auth0|user@bank.example");
        assert_eq!(safe("a b\nü%"), "a%20b%0A%C3%BC%25");
        let long = "x".repeat(200);
        let short = safe(&long);
        assert_eq!(short.len(), MAX_NAME);
        assert_ne!(short, safe(&"x".repeat(201)));
        assert_ne!(safe(&short), short, "a subject that copies a shortened one");
    }

    #[test]
    fn a_label_s_value_keeps_its_spaces_as_the_config_writes_them() {
        let safe = |text: &str| safe(text, VISIBLE_OR_SPACE);
        assert_eq!(safe("risk team"), "risk team");
        assert_eq!(safe("risk%20team\n"), "risk%2520team%0A", "another team");
    }

    #[test]
    fn a_moment_is_a_number_that_is_not_negative() {
        assert_eq!(seconds(&Value::from(7)), Some(from_seconds(7)));
        assert_eq!(seconds(&Value::from(7.9)), Some(from_seconds(7)));
        assert_eq!(seconds(&Value::from(1e300)), Some(from_seconds(u64::MAX)));
        for wrong in [Value::from(-1), Value::from("7"), Value::Null, Value::from(-0.5)] {
            assert_eq!(seconds(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_claim_is_found_by_name_first_and_by_path_after_a_slash() {
        let claims: Claims =
            serde_json::from_str(r#"{"https://a/b": 1, "a": {"b": {"c": 2}}, "l": [3]}"#).unwrap();
        assert_eq!(claim(&claims, "https://a/b"), Some(&Value::from(1)));
        assert_eq!(claim(&claims, "/a/b/c"), Some(&Value::from(2)));
        for absent in ["a.b", "/a/x", "/l/0", "/", "//", "/a/b/c/d"] {
            assert_eq!(claim(&claims, absent), None, "{absent}");
        }
    }

    proptest! {
        #[test]
        fn every_safe_text_is_visible_ascii_and_short(text in "\\PC{0,200}|.{0,60}") {
            let name = safe(&text, VISIBLE);
            prop_assert!(name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
            let label = safe(&text, VISIBLE_OR_SPACE);
            prop_assert!(label.len() <= MAX_NAME && label.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{label}");
        }

        #[test]
        fn different_values_of_a_label_stay_different(one in "[a%2 0\n]{0,6}", other in "[a%2 0\n]{0,6}") {
            prop_assert_eq!(safe(&one, VISIBLE_OR_SPACE) == safe(&other, VISIBLE_OR_SPACE), one == other);
        }
    }
}
