//! What is measured: model files, and deployments of a model in the configuration.

use std::sync::Arc;

use aigate_contract::{Predict, predict::Signature};
use aigate_tabular::{
    artefact::{Artefact, Predictor},
    progress::Progress,
    schema::Schema,
    table::Csv,
    train,
};

use super::Arguments;
use crate::{
    cli::{
        find_or_sample,
        model::{load, score, subject, unread, unscored},
        plan,
    },
    config::{ModelPlan, Plan, PredictPlan},
    metrics::Metrics,
    policy::Route,
    stack::{ModelRoutes, Routes},
    state::State,
};

/// Something that scores rows.
pub(super) enum System {
    /// A model file.
    File { name: String, predictor: Box<Predictor> },
    /// A deployment, asked through its policies.
    Deployment { name: String, version: String, signature: Arc<Signature>, route: Route<Predict> },
}

/// The systems that the arguments name.
pub(super) fn find(arguments: &Arguments) -> Result<Vec<System>, String> {
    let mut systems = Vec::new();
    for path in &arguments.artefact {
        let predictor = Predictor::load(path).map_err(|error| unread(path, &error))?;
        systems.push(System::File { name: path.display().to_string(), predictor: Box::new(predictor) });
    }
    match &arguments.model {
        Some(model) => systems.extend(deployments(arguments, model)?),
        None if systems.is_empty() => {
            let predictor = Predictor::new(load(None)?);
            systems
                .push(System::File { name: aigate_local::SAMPLE.to_owned(), predictor: Box::new(predictor) });
        }
        None => {}
    }
    Ok(systems)
}

fn deployments(arguments: &Arguments, name: &str) -> Result<Vec<System>, String> {
    let plan = plan(&find_or_sample(arguments.config.clone()))?;
    let model = plan.models.iter().find(|model| &*model.name == name);
    let Some((model, predict)) = model.and_then(|model| Some((model, model.predict.as_ref()?))) else {
        let known: Vec<&str> =
            plan.models.iter().filter(|model| model.predict.is_some()).map(|model| &*model.name).collect();
        return Err(format!(
            "the configuration has no predict model `{name}`: it has {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ));
    };
    let names: Vec<&str> =
        model.deployments.iter().map(|deployment| &*deployment.target.deployment).collect();
    if let Some(wrong) = arguments.deployment.iter().find(|wanted| !names.contains(&wanted.as_str())) {
        return Err(format!("`{name}` has no deployment `{wrong}`: it has {}", names.join(", ")));
    }
    let wanted = |deployment: &str| {
        arguments.deployment.is_empty() || arguments.deployment.iter().any(|wanted| wanted == deployment)
    };
    names
        .into_iter()
        .filter(|deployment| wanted(deployment))
        .map(|one| alone(&plan, model, predict, one))
        .collect()
}

/// A route on which only this deployment may answer.
fn alone(plan: &Plan, model: &ModelPlan, predict: &PredictPlan, deployment: &str) -> Result<System, String> {
    let deployments = model.deployments.iter().filter(|other| &*other.target.deployment == deployment);
    let deployments: Vec<_> = deployments.cloned().collect();
    let version = deployments.first().and_then(|deployment| deployment.target.version.as_deref());
    let version = version.unwrap_or_default().to_owned();
    let metrics = Arc::new(Metrics::new());
    // Each row is asked afresh, and on nobody's account.
    let model = ModelPlan { deployments, cache: None, limits: Vec::new(), ..model.clone() };
    let plan = plan.with_model_alone(model.clone());
    let routes = Routes::build(&plan, &State::new(&plan)?, &metrics)?;
    match routes.get(&model.name) {
        Some(ModelRoutes::Predict(routes)) => Ok(System::Deployment {
            name: deployment.to_owned(),
            version,
            signature: Arc::clone(&predict.signature),
            route: routes.usual.clone(),
        }),
        _ => Err(format!("`{deployment}` has no route")),
    }
}

impl System {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Deployment { name, .. } => name,
        }
    }

    fn artefact(&self) -> Option<&Artefact> {
        match self {
            Self::File { predictor, .. } => predictor.artefact(),
            Self::Deployment { .. } => None,
        }
    }

    pub(super) fn schema(&self) -> Option<&Schema> {
        match self {
            Self::File { predictor, .. } => Some(predictor.schema()),
            Self::Deployment { .. } => None,
        }
    }

    pub(super) fn threshold(&self) -> Option<f64> {
        match self {
            Self::File { predictor, .. } => predictor.threshold(),
            Self::Deployment { .. } => None,
        }
    }

    pub(super) fn importance(&self) -> Vec<(String, f64)> {
        self.artefact().map(|artefact| artefact.importance.clone()).unwrap_or_default()
    }

    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::File { predictor, .. } => predictor.version(),
            Self::Deployment { version, .. } => Some(version),
        }
    }

    /// Who was asked, and how.
    pub(super) fn facts(&self, folds: Option<usize>) -> Vec<(String, String)> {
        let version = self.version().unwrap_or("not stated");
        let asked = match (self, folds) {
            (Self::Deployment { .. }, _) => "through the gateway's policies",
            (Self::File { .. }, None) => "as a model file",
            (Self::File { .. }, Some(_)) => "trained anew on each fold; the rows left out were scored",
        };
        vec![subject::fact("version", version), subject::fact("asked", asked)]
    }

    /// What a reader must know.
    pub(super) fn caution(&self, folds: Option<usize>) -> Option<String> {
        if matches!(self, Self::Deployment { .. }) {
            let name = self.name();
            return Some(format!(
                "{name}: what it was trained on is not known here; rows that were among it would flatter it."
            ));
        }
        let artefact = self.artefact().filter(|_| folds.is_none())?;
        Some(format!(
            "{}: rows that it was trained on flatter it; it was trained on {} (SHA-256 {}).",
            self.name(),
            artefact.data.file,
            artefact.data.sha256
        ))
    }

    /// One score for each row.
    pub(super) async fn score(
        &self,
        csv: &Csv,
        arguments: &Arguments,
        progress: &dyn Progress,
    ) -> Result<Vec<f64>, String> {
        progress.begin(&format!("scoring at {}", self.name()), csv.table.rows as u64);
        match self {
            Self::Deployment { name, signature, route, .. } => {
                score::score(route, name, signature, &arguments.output, &csv.table, progress).await
            }
            Self::File { predictor, .. } => match (arguments.folds, predictor.artefact()) {
                (None, _) => predictor.score(&csv.table).map_err(|error| unscored(&arguments.data, error)),
                (Some(folds), Some(artefact)) => train::again(artefact, csv, folds, arguments.seed, progress)
                    .map_err(|error| error.to_string()),
                (Some(_), None) => Err("an ONNX file cannot be trained anew: leave --folds out".to_owned()),
            },
        }
    }
}
