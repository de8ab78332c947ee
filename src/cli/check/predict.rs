//! What `aigate check --explain` tells of predict models alone: their tensors, versions, and how each deployment is asked.

use std::fmt::{Result, Write};

use aigate_contract::{
    Target,
    predict::{AnswerForm, BodyForm, Form, Place, RowForm},
};

use crate::config::{DeploymentPlan, ModelPlan, PredictPlan, document::FailoverTo};

/// How many deployments may answer a caller who names no version.
pub(super) fn usual(model: &ModelPlan) -> usize {
    let version = |deployment: &DeploymentPlan| deployment.target.version.clone();
    let first = model.deployments.first().map(version);
    let same = |deployment: &&DeploymentPlan| Some(version(deployment)) == first;
    match &model.predict {
        Some(PredictPlan { failover: FailoverTo::SameVersion, .. }) => {
            model.deployments.iter().filter(same).count()
        }
        _ => model.deployments.len(),
    }
}

/// The tensors, and which version may decide for a caller who names none.
pub(super) fn write_model(out: &mut String, model: &ModelPlan, predict: &PredictPlan) -> Result {
    match (predict.failover, model.deployments.first().and_then(|first| first.target.version.as_ref())) {
        (FailoverTo::SameVersion, Some(version)) => writeln!(
            out,
            "    version      {version} decides; another one only for callers who name it in the path"
        )?,
        _ => writeln!(out, "    version      any may decide; callers may insist on one in the path")?,
    }
    writeln!(out, "    platform     {}", predict.platform)?;
    writeln!(out, "\n  inputs")?;
    for input in &predict.signature.inputs {
        let nullable = if input.nullable { ", may be missing" } else { "" };
        writeln!(out, "    {} {} {:?}{nullable}", input.name, input.datatype, input.shape)?;
        if !input.columns.is_empty() {
            writeln!(out, "      columns {}", input.columns.join(", "))?;
        }
    }
    writeln!(out, "  outputs")?;
    for output in &predict.signature.outputs {
        let on_request = if output.on_request { ", on request" } else { "" };
        writeln!(out, "    {} {} {:?}{on_request}", output.name, output.datatype, output.shape)?;
    }
    Ok(())
}

/// A deployment's version, its form, and whether it stands in for others.
pub(super) fn write_target(out: &mut String, target: &Target) -> Result {
    if let Some(version) = &target.version {
        writeln!(out, "    version      {version}")?;
    }
    if target.fallback {
        writeln!(
            out,
            "    fallback     stands in for the others; its answers say `x-aigate-degraded: local`"
        )?;
    }
    match &target.form {
        Some(form) => write_form(out, form),
        None => Ok(()),
    }
}

fn write_form(out: &mut String, form: &Form) -> Result {
    let body = match form.body {
        BodyForm::Csv => "CSV",
        BodyForm::Json => "JSON",
        BodyForm::JsonLines => "JSON Lines",
        BodyForm::Oip => "Open Inference Protocol",
        BodyForm::Instances => "JSON, Vertex AI's `instances`",
        BodyForm::InputData => "JSON, MLflow's `input_data`",
    };
    write!(out, "    form         {body}")?;
    match (form.body, form.rows) {
        (BodyForm::Csv, _) if form.header => write!(out, " with a header")?,
        (BodyForm::Csv, _) => write!(out, " without a header")?,
        (BodyForm::Oip | BodyForm::InputData, _) => {}
        (_, RowForm::List) => write!(out, ", rows are lists")?,
        (_, RowForm::Object) => write!(out, ", rows are objects")?,
    }
    if form.body == BodyForm::Json {
        write!(out, " in `{}`", form.rows_field)?;
    }
    let names: Vec<&str> = form.row_names().collect();
    writeln!(out, ": {}", names.join(", "))?;
    let answer = match form.answer {
        AnswerForm::Csv => "CSV",
        AnswerForm::Json => "JSON",
        AnswerForm::JsonLines => "JSON Lines",
        AnswerForm::Oip => "Open Inference Protocol",
    };
    write!(out, "    answer       {answer}")?;
    if form.answer == AnswerForm::Json && !form.answer_rows.is_empty() {
        write!(out, ", rows at `{}`", form.answer_rows)?;
    }
    let place = |place: &Place| match place.at.as_str() {
        "" => format!("{} is the row's item itself", place.output.name),
        at => format!("{} at `{at}`", place.output.name),
    };
    let places: Vec<String> = form.places.iter().map(place).collect();
    writeln!(out, ": {}", places.join(", "))
}
