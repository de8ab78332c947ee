//! Callers' keys and labels.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use aigate_keys::{Gate, Issuer, JwtConfig, Key as RingKey, Rights, Ring, parse_time, secret::parse_hash};

use super::{
    Faults,
    limits::{Owner, Tables},
};
use crate::config::{
    Entry,
    document::{Key, Labels},
    load,
    plan::{Before, KeyPlan, LabelPlan, Print},
    suggest::hint,
};

/// What the keys' check needs to know of the rest.
pub(super) struct Context<'a> {
    /// The tasks of all models.
    pub(super) tasks: &'a BTreeSet<&'static str>,
    /// The models' names, sorted.
    pub(super) models: &'a [&'a str],
    /// Whether replicas share anything.
    pub(super) has_redis: bool,
}

/// What the keys may consume, and what the gate is to know of them.
pub(super) fn check_keys(
    keys: &[Entry],
    context: &Context<'_>,
    faults: &mut Faults,
) -> (Vec<KeyPlan>, Vec<RingKey>) {
    let (mut plans, mut holders) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    for entry in keys {
        let Some(key) = load::key(entry) else { continue };
        if let Some((plan, holder)) = check_key(entry.name(), &key, context, faults) {
            plans.push(plan);
            holders.push(holder);
        }
    }
    (plans, holders)
}

/// Who is let in. The gate of before stays while keys and identity providers do; else of the latter what was fetched.
pub(super) fn gate(
    holders: Vec<RingKey>,
    jwt: &BTreeMap<String, JwtConfig>,
    print: Print,
    before: &Before,
    faults: &mut Faults,
) -> Arc<Gate> {
    let known = before.gate();
    if let Some((_, gate)) = known.filter(|(before, _)| *before == print) {
        return Arc::clone(gate);
    }
    let ring = if holders.is_empty() { Ok(None) } else { Ring::build(holders).map(Some) };
    let ring = ring.unwrap_or_else(|inner| {
        faults.beneath(&["keys"], inner);
        None
    });
    let mut issuers = Vec::with_capacity(jwt.len());
    for (name, config) in jwt {
        match Issuer::build(name, config, known.and_then(|(_, gate)| gate.issuer(name))) {
            Ok(issuer) => issuers.push(issuer),
            Err(inner) => faults.beneath(&["jwt", name], inner),
        }
    }
    match Gate::new(ring, issuers) {
        Ok(gate) => Arc::new(gate),
        Err(inner) => {
            faults.beneath(&["jwt"], inner);
            Arc::default()
        }
    }
}

/// The labels that a caller may have.
pub(super) fn known_labels(holders: &[RingKey], jwt: &BTreeMap<String, JwtConfig>) -> BTreeSet<String> {
    let of_keys = holders.iter().flat_map(|key| &key.labels).map(|(name, _)| &**name);
    let of_tokens = jwt.values().flat_map(|issuer| issuer.labels.keys().map(String::as_str));
    of_keys.chain(of_tokens).map(str::to_owned).collect()
}

fn check_key(
    name: &str,
    key: &Key,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<(KeyPlan, RingKey)> {
    let before = faults.0.len();
    let at = |field: &'static str| ["keys", name, field];
    if name.is_empty()
        || name.len() > 128
        || !name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ':'))
    {
        faults.add::<()>(
            &["keys", name],
            "a key's name is 1 to 128 visible ASCII characters without \", \\ and `:`, which callers with a token have in \
             theirs",
        );
    }
    let mut hashes = Vec::with_capacity(1 + usize::from(key.second_hash.is_some()));
    for (field, text) in [("hash", Some(&key.hash)), ("second_hash", key.second_hash.as_ref())] {
        match text.map(|text| parse_hash(text)) {
            Some(Ok(hash)) => hashes.push(hash),
            Some(Err(why)) => {
                faults.add::<()>(&at(field), why);
            }
            None => {}
        }
    }
    let tasks: Vec<String> = key.tasks.iter().map(|task| task.as_str().to_owned()).collect();
    let rights = match Rights::parse(&key.models, &tasks) {
        Ok(rights) => Some(rights),
        Err(inner) => {
            faults.beneath(&["keys", name], inner);
            None
        }
    };
    for model in key
        .models
        .iter()
        .filter(|model| !model.contains('*') && context.models.binary_search(&model.as_str()).is_err())
    {
        let known = context.models.iter().copied();
        faults.add::<()>(&at("models"), format!("there is no model `{model}`{}", hint(model, known)));
    }
    let expires = key.expires.as_deref().and_then(|text| match parse_time(text) {
        Ok(moment) => Some(moment),
        Err(why) => faults.add(&at("expires"), why),
    });
    for (label, value) in &key.labels {
        check_label(label, value, &["keys", name, "labels"], faults);
    }
    let allowed: BTreeSet<&'static str> = context
        .tasks
        .iter()
        .copied()
        .filter(|task| tasks.is_empty() || tasks.iter().any(|own| own == task))
        .collect();
    let owner = Owner {
        name: format!("key {name}").into(),
        path: &["keys", name],
        tasks: &allowed,
        fair: false,
        has_redis: context.has_redis,
    };
    let tables = Tables {
        limits: key.limits.as_deref(),
        limits_per_replica: key.limits_per_replica.as_deref(),
        budget: key.budget.as_deref(),
        budget_per_replica: key.budget_per_replica.as_deref(),
    };
    let allowance = owner.allowance(&tables, faults);
    if faults.0.len() > before {
        return None;
    }
    let labels =
        key.labels.iter().map(|(label, value)| (label.as_str().into(), value.as_str().into())).collect();
    let name: Arc<str> = name.into();
    let plan = KeyPlan { name: Arc::clone(&name), allowance };
    Some((plan, RingKey { name, hashes, rights: rights?, expires, revoked: key.revoked, labels }))
}

fn check_label(label: &str, value: &str, path: &[&str], faults: &mut Faults) {
    let plain = |text: &str| {
        // Without `%`, with which labels of tokens write what else is in them.
        let fits = |c: char| (c.is_ascii_graphic() && c != '%') || c == ' ';
        !text.is_empty() && text.len() <= 64 && text.chars().all(fits)
    };
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !plain(label) || !label.chars().all(name) || label.starts_with(|c: char| c.is_ascii_digit()) {
        faults.add::<()>(path, format!("the label's name `{label}` is not 1 to 64 letters, digits and `_`"));
    }
    if !plain(value) {
        let path = [path, &[label]].concat();
        faults.add::<()>(&path, "a label's value is 1 to 64 visible ASCII characters without `%`");
    }
}

pub(super) fn check_labels(
    labels: &Labels,
    holders: &[RingKey],
    has_tokens: bool,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Vec<LabelPlan> {
    let mut plans = Vec::new();
    let of_keys: HashSet<(&str, &str)> =
        holders.iter().flat_map(|key| &key.labels).map(|(name, value)| (&**name, &**value)).collect();
    for (name, values) in labels {
        for (value, label) in values {
            let path = ["labels", name, value];
            check_label(name, value, &["labels"], faults);
            if !has_tokens && !of_keys.contains(&(name.as_str(), value.as_str())) {
                faults.add::<()>(
                    &path,
                    format!("would never count: no key has the label {name} = \"{value}\""),
                );
            }
            let owner = Owner {
                name: format!("label {name}={value}").into(),
                path: &path,
                tasks: context.tasks,
                fair: true,
                has_redis: context.has_redis,
            };
            let tables = Tables {
                limits: Some(&label.limits),
                limits_per_replica: Some(&label.limits_per_replica),
                budget: label.budget.as_ref(),
                budget_per_replica: label.budget_per_replica.as_ref(),
            };
            let allowance = owner.allowance(&tables, faults);
            plans.push(LabelPlan { name: name.as_str().into(), value: value.as_str().into(), allowance });
        }
    }
    plans
}
