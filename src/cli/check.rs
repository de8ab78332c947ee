//! `aigate check [FILE] [--explain MODEL]`

mod predict;

use std::{fmt::Write, path::PathBuf};

use super::{find, out::print, plan};
use crate::config::{LimitPlan, Measure, ModelPlan, Plan, Scope, Source, document::Strategy, nearest};

pub(super) fn check(file: Option<PathBuf>, explain: Option<&str>) -> Result<(), String> {
    let file = find(file)?;
    let plan = plan(&Source::File(file.clone())).map_err(|why| format!("{}: {why}", file.display()))?;
    match explain {
        None => print(&format!(
            "{}: no faults; {} models, {} keys, version {}\n",
            file.display(),
            plan.models.len(),
            plan.keys.len(),
            plan.version
        )),
        Some(name) => print(&explanation(&plan, name)?),
    }
}

fn explanation(plan: &Plan, name: &str) -> Result<String, String> {
    let model = plan.models.iter().find(|model| &*model.name == name).ok_or_else(|| {
        let near = nearest(name, plan.models.iter().map(|model| &*model.name));
        let hint = near.first().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no model `{name}`{hint}")
    })?;
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write_model(&mut text, plan, model);
    Ok(text)
}

fn write_model(out: &mut String, plan: &Plan, model: &ModelPlan) -> std::fmt::Result {
    let time = humantime::format_duration;
    let (timeouts, retry) = (&model.timeouts, &model.retry);
    let strategy = match model.strategy {
        Strategy::Order => "in this order",
        Strategy::Weighted => "by chance, in proportion to their weights",
        Strategy::Fastest => "the fastest lately of two drawn by chance, then the others by their speed",
        Strategy::Cheapest => "the cheapest first",
    };
    writeln!(out, "model {} ({}), config version {}", model.name, model.task.as_str(), plan.version)?;
    writeln!(out, "  a call passes, from the outside in:")?;
    match (plan.keys.len(), plan.issuers) {
        (0, 0) => writeln!(out, "    keys         none: every caller on this machine is let in")?,
        (count, 0) => writeln!(out, "    keys         one of {count}")?,
        (count, issuers) => {
            writeln!(out, "    keys         one of {count}, or a token of one of {issuers} issuers")?
        }
    }
    writeln!(out, "    observe      metrics{}", if plan.log.calls { ", one log line" } else { "" })?;
    match &model.cache {
        Some(cache) => writeln!(
            out,
            "    cache        for {}, shared by {}{}",
            time(cache.ttl),
            match &cache.scope {
                Scope::Key => "nobody: each key has its own".to_owned(),
                Scope::Label(label) => format!("keys with the same `{label}`"),
                Scope::Public => "everyone".to_owned(),
            },
            if cache.stale_if_error.is_zero() {
                String::new()
            } else {
                format!("; {} longer when nobody else answers", time(cache.stale_if_error))
            }
        )?,
        None => writeln!(out, "    cache        none")?,
    }
    writeln!(out, "    limits       those of the caller's key and labels")?;
    limits(out, "limits", &model.limits)?;
    writeln!(
        out,
        "    deadline     {} for everything below, a stream's end included",
        time(timeouts.deadline)
    )?;
    let (usual, all) = (predict::usual(model), model.deployments.len());
    let of = if usual < all { format!(" of {all}") } else { String::new() };
    writeln!(out, "    failover     {usual}{of} deployments, {strategy}")?;
    if let Some(plan) = &model.predict {
        predict::write_model(out, model, plan)?;
    }
    for (index, deployment) in model.deployments.iter().enumerate() {
        let (target, provider, breaker) = (&deployment.target, &deployment.description, &deployment.breaker);
        writeln!(out, "\n  {}. {}", index + 1, target.deployment)?;
        writeln!(
            out,
            "    provider     {} at {}, {}",
            deployment.system, provider.endpoint, provider.credentials
        )?;
        for (name, words) in deployment.provider.explain(model.task.as_str(), &target.model) {
            writeln!(out, "    {name:<12} {words}")?;
        }
        predict::write_target(out, target)?;
        if model.strategy == Strategy::Weighted {
            writeln!(out, "    weight       {}", deployment.weight)?;
        }
        writeln!(
            out,
            "    retry        {} more, waits {} to {}, budget {}%",
            retry.max_retries,
            time(retry.base),
            time(retry.max),
            (retry.budget * 100.0).round()
        )?;
        writeln!(out, "    observe      each try: metrics, a span")?;
        writeln!(
            out,
            "    breaker      opens after {} failures in a row or {}% of the last 32; for {} up to {}",
            breaker.failures,
            (breaker.failure_ratio * 100.0).round(),
            time(breaker.open),
            time(breaker.max_open)
        )?;
        limits(out, "quota", &deployment.limits)?;
        match &deployment.price {
            Ok(price) => writeln!(out, "    price        {}", price.describe())?,
            Err(why) => writeln!(out, "    price        not known: {why}")?,
        }
        writeln!(
            out,
            "    timeout      {} for an attempt; streams: {} to the first chunk, {} between chunks",
            time(timeouts.attempt),
            time(timeouts.first_chunk),
            time(timeouts.idle)
        )?;
        writeln!(out, "    unsupported  {:?}", target.on_unsupported)?;
    }
    Ok(())
}

/// One line for each limit.
fn limits(out: &mut String, name: &str, limits: &[LimitPlan]) -> std::fmt::Result {
    if limits.is_empty() && name == "quota" {
        writeln!(out, "    quota        no bound")?;
    }
    for limit in limits {
        let of = if limit.shared { "all replicas together" } else { "each replica" };
        match limit.measure {
            Measure::Rate(rate) => {
                writeln!(out, "    {name:<12} {} {} of {of}", limit.unit.as_str(), rate.words(limit.unit))?
            }
            Measure::AtOnce(most) => writeln!(out, "    {name:<12} {most} calls at once of {of}")?,
        }
    }
    Ok(())
}
