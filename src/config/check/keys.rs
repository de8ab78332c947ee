//! Callers' keys and labels.

use std::collections::{BTreeSet, HashSet};

use aigate_contract::settings::Fault;
use aigate_keys::{Key as RingKey, Rights, parse_time, secret::parse_hash};

use super::{
    Faults,
    limits::{Owner, Tables},
};
use crate::config::{
    Entry,
    document::{Key, Labels},
    load::{self, join},
    plan::{KeyPlan, LabelPlan},
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

pub(super) fn check_keys(keys: &[Entry], context: &Context<'_>, faults: &mut Faults) -> Vec<KeyPlan> {
    let mut plans = Vec::with_capacity(keys.len());
    plans
        .extend(keys.iter().filter_map(|entry| check_key(entry.name(), &load::key(entry)?, context, faults)));
    let mut seen = HashSet::new();
    for plan in &plans {
        for hash in &plan.key.hashes {
            if !seen.insert(*hash) {
                faults.add::<()>(&["keys", &plan.key.name, "hash"], "another key has the same secret");
            }
        }
    }
    plans
}

fn check_key(name: &str, key: &Key, context: &Context<'_>, faults: &mut Faults) -> Option<KeyPlan> {
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
            let base = join(&["keys".to_owned(), name.to_owned()]);
            faults.0.extend(
                inner.into_iter().map(|fault| Fault::at(format!("{base}.{}", fault.path), fault.message)),
            );
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
    let key = RingKey { name: name.into(), hashes, rights: rights?, expires, revoked: key.revoked, labels };
    Some(KeyPlan { key, allowance })
}

fn check_label(label: &str, value: &str, path: &[&str], faults: &mut Faults) {
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
    };
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !plain(label) || !label.chars().all(name) || label.starts_with(|c: char| c.is_ascii_digit()) {
        faults.add::<()>(path, format!("the label's name `{label}` is not 1 to 64 letters, digits and `_`"));
    }
    if !plain(value) {
        let path = [path, &[label]].concat();
        faults.add::<()>(&path, "a label's value is 1 to 64 visible ASCII characters");
    }
}

pub(super) fn check_labels(
    labels: &Labels,
    keys: &[KeyPlan],
    has_tokens: bool,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Vec<LabelPlan> {
    let mut plans = Vec::new();
    let of_keys: HashSet<(&str, &str)> =
        keys.iter().flat_map(|key| &key.key.labels).map(|(name, value)| (&**name, &**value)).collect();
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
