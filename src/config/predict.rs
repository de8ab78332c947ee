//! What the check does for predict models: their signature, each deployment's version and form.

use std::sync::Arc;

use aigate_contract::{
    Known, Provider,
    predict::{Datatype, Input, Output, Signature},
    settings::Fault,
};

use super::{
    check::Built,
    document::{Deployment, FailoverTo, Model},
    load::join,
    plan::{DeploymentPlan, PredictPlan},
};

/// What the metadata names as the platform where nothing else is known.
const PLATFORM: &str = "aigate";

/// Refuses what only predict models have.
pub(super) fn refuse(name: &str, model: &Model, faults: &mut Vec<Fault>) -> Option<PredictPlan> {
    let mut only = |path: &[&str], there: bool| {
        if there {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            faults.push(Fault::at(join(&path), "only means something with `task = \"predict\"`"));
        }
    };
    let at = |key: &'static str| ["models", name, key];
    only(&at("inputs"), !model.inputs.is_empty());
    only(&at("outputs"), !model.outputs.is_empty());
    only(&at("platform"), model.platform.is_some());
    only(&at("failover"), model.failover.is_some());
    for (index, deployment) in model.deployments.iter().enumerate() {
        let index = index.to_string();
        only(&["models", name, "deployments", &index, "version"], deployment.version.is_some());
        only(&["models", name, "deployments", &index, "wire"], deployment.wire.is_some());
    }
    None
}

/// What a predict model takes and gives: as declared, else as its deployment on this machine knows.
pub(super) fn model(
    providers: &Built,
    name: &str,
    model: &Model,
    faults: &mut Vec<Fault>,
) -> Option<PredictPlan> {
    let before = faults.len();
    let known = model.deployments.iter().find_map(|deployment| known(providers, deployment));
    let at = |key: &str| join(&["models".to_owned(), name.to_owned(), key.to_owned()]);
    if name.contains("/versions/") || ["/infer", "/ready"].iter().any(|end| name.ends_with(end)) {
        let message = "a predict model's name has no `/versions/` in it and does not end in `/infer` or `/ready`: its paths \
                       would mean something else";
        faults.push(Fault::at(join(&["models".to_owned(), name.to_owned()]), message));
    }
    let mut signature = Signature { inputs: model.inputs.clone(), outputs: model.outputs.clone() };
    match &known {
        Some(known) => complete(&mut signature, &known.signature),
        None if model.deployments.iter().any(|deployment| is_local(providers, deployment)) => {
            // Why its file cannot be used is told at its target.
            return None;
        }
        None => {}
    }
    let missing = "is not set, and no deployment on this machine knows it: write a list such as";
    if signature.inputs.is_empty() {
        let message = format!("{missing} [{{ name = \"age\", datatype = \"INT64\" }}]");
        faults.push(Fault::at(at("inputs"), message));
    }
    if signature.outputs.is_empty() {
        let message = format!("{missing} [{{ name = \"score\", datatype = \"FP64\" }}]");
        faults.push(Fault::at(at("outputs"), message));
    }
    check_tensors(&signature, &at, faults);
    if faults.len() > before {
        return None;
    }
    let platform = model.platform.as_deref().or(known.as_ref().map(|known| known.platform));
    Some(PredictPlan {
        signature: Arc::new(signature),
        platform: platform.unwrap_or(PLATFORM).into(),
        failover: model.failover.unwrap_or_default(),
    })
}

/// Fills in what is not declared, and what a model on this machine gives on request.
fn complete(signature: &mut Signature, known: &Signature) {
    if signature.inputs.is_empty() {
        signature.inputs.clone_from(&known.inputs);
    }
    if signature.outputs.is_empty() {
        signature.outputs.clone_from(&known.outputs);
    }
    for output in known.outputs.iter().filter(|output| output.on_request) {
        if !signature.outputs.iter().any(|declared| declared.name == output.name) {
            signature.outputs.push(output.clone());
        }
    }
}

fn check_tensors(signature: &Signature, at: &impl Fn(&str) -> String, faults: &mut Vec<Fault>) {
    let inputs = signature.inputs.iter().map(|Input { name, shape, .. }| (name, shape));
    check_list(&at("inputs"), inputs, faults);
    for (index, input) in signature.inputs.iter().enumerate().filter(|(_, input)| !input.columns.is_empty()) {
        if input.row_width() != Some(input.columns.len()) {
            let message = format!("has {} names, which is not how wide the shape is", input.columns.len());
            faults.push(Fault::at(format!("{}[{index}].columns", at("inputs")), message));
        }
    }
    let outputs = signature.outputs.iter().map(|Output { name, shape, .. }| (name, shape));
    check_list(&at("outputs"), outputs, faults);
}

fn check_list<'a>(
    list: &str,
    tensors: impl Iterator<Item = (&'a String, &'a Vec<i64>)>,
    faults: &mut Vec<Fault>,
) {
    let mut seen = Vec::new();
    for (index, (name, shape)) in tensors.enumerate() {
        if name.is_empty() {
            faults.push(Fault::at(format!("{list}[{index}].name"), "is empty"));
        }
        if seen.contains(&name) {
            faults.push(Fault::at(format!("{list}[{index}].name"), format!("`{name}` stands twice")));
        }
        seen.push(name);
        if shape.first() != Some(&-1) || shape.iter().any(|dimension| *dimension < -1 || *dimension == 0) {
            let message = "the first dimension is -1, the rows; others are -1 or above zero";
            faults.push(Fault::at(format!("{list}[{index}].shape"), message));
        }
    }
}

/// Completes a predict deployment: its version and its form.
pub(super) fn deployment(
    providers: &Built,
    model: &PredictPlan,
    deployment: &Deployment,
    plan: &mut DeploymentPlan,
    path: &[&str],
    faults: &mut Vec<Fault>,
) {
    let at = |key: &str| {
        let mut path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        path.push(key.to_owned());
        join(&path)
    };
    let Some(provider) = providers.get(&deployment.provider) else { return };
    let mut target = (*plan.target).clone();
    if is_local(providers, deployment) {
        let Some(known) = provider.known(&deployment.target) else { return };
        for (key, there) in [("version", deployment.version.is_some()), ("wire", deployment.wire.is_some())] {
            if there {
                faults.push(Fault::at(at(key), "a model on this machine knows this itself: remove the key"));
            }
        }
        compare(&model.signature, &known.signature, &at("target"), faults);
        target.version = Some(known.version.as_str().into());
    } else {
        match deployment.version.as_deref() {
            Some("") | None => faults.push(Fault::at(
                at("version"),
                "is not set: a decision says which version of the model made it",
            )),
            Some(version) => target.version = Some(version.into()),
        }
        let form = deployment.wire.clone().unwrap_or_default();
        let inner = |fault: Fault| Fault { path: format!("{}.{}", at("wire"), fault.path), ..fault };
        match form.resolve(&model.signature, provider.usual_body()) {
            Ok(form) => {
                target.form = Some(Arc::new(form));
                let found = provider.check_form(&target).err().unwrap_or_default();
                faults.extend(found.into_iter().map(inner));
            }
            Err(found) => faults.extend(found.into_iter().map(inner)),
        }
    }
    plan.target = Arc::new(target);
}

/// Weights that divide no calls: those of deployments with another version than the one that decides.
pub(super) fn check_weights(
    name: &str,
    model: &PredictPlan,
    deployments: &[DeploymentPlan],
    faults: &mut Vec<Fault>,
) {
    let version = |plan: &DeploymentPlan| plan.target.version.clone().unwrap_or_default();
    let Some(first) = deployments.first().map(version) else { return };
    let others: Vec<&str> = (deployments.iter())
        .filter(|plan| plan.weight > 0 && version(plan) != first)
        .map(|plan| &*plan.target.deployment)
        .collect();
    if model.failover == FailoverTo::SameVersion && !others.is_empty() {
        let message = format!(
            "`same_version`, the default, keeps every call at version `{first}`, so the weight of {} has no effect: write \
             `failover = \"any_version\"`, or give them `weight = 0`",
            others.join(", ")
        );
        faults.push(Fault::at(join(&["models".to_owned(), name.to_owned(), "failover".to_owned()]), message));
    }
}

/// A model on this machine must take what callers send, and give what they are promised.
fn compare(promised: &Signature, known: &Signature, at: &str, faults: &mut Vec<Fault>) {
    let mut undeclared = Vec::new();
    for input in &known.inputs {
        match promised.inputs.iter().find(|declared| declared.name == input.name) {
            Some(declared) if declared.shape == input.shape && takes(input.datatype, declared.datatype) => {}
            Some(declared) => faults.push(Fault::at(
                at,
                format!(
                    "its input `{}` is {} {:?}, the model declares {} {:?}",
                    input.name, input.datatype, input.shape, declared.datatype, declared.shape
                ),
            )),
            None if input.nullable => {}
            None => undeclared.push(input.name.as_str()),
        }
    }
    if !undeclared.is_empty() {
        let message = format!("it needs inputs that the model does not declare: {}", undeclared.join(", "));
        faults.push(Fault::at(at, message));
    }
    for input in promised.inputs.iter().filter(|input| !known.inputs.iter().any(|own| own.name == input.name))
    {
        let message = format!("it has no input `{}`, which the model declares", input.name);
        faults.push(Fault::at(at, message));
    }
    for output in promised.outputs.iter().filter(|output| !output.on_request) {
        match known.outputs.iter().find(|own| own.name == output.name) {
            Some(own) if own.datatype == output.datatype && own.shape == output.shape => {}
            _ => faults.push(Fault::at(
                at,
                format!("it does not give the output `{}` as the model declares it", output.name),
            )),
        }
    }
}

/// Whether a model on this machine takes what is declared: it reads every number as an `FP64`.
fn takes(own: Datatype, declared: Datatype) -> bool {
    own == declared || (own == Datatype::Fp64 && (declared.is_float() || declared.is_whole()))
}

fn known(providers: &Built, deployment: &Deployment) -> Option<Known> {
    providers.get(&deployment.provider)?.known(&deployment.target)
}

fn is_local(providers: &Built, deployment: &Deployment) -> bool {
    let local = |provider: &Arc<dyn Provider>| provider.is_local();
    providers.get(&deployment.provider).is_some_and(local)
}
