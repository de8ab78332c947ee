//! What a report says of a model file.

use aigate_tabular::{
    artefact::Artefact,
    report::{Subject, System},
    schema::{Outcome, OutcomeKind},
};

/// A report on a model as it was measured when it was trained: on rows that it had not seen.
pub(super) fn trained(artefact: &Artefact) -> Subject {
    Subject {
        title: artefact.name.clone(),
        outcome: outcome(&artefact.schema.outcome),
        facts: vec![
            fact("data", &artefact.data.file),
            fact("rows", &artefact.data.rows.to_string()),
            fact("SHA-256 of the data", &artefact.data.sha256),
            fact("trained", &artefact.created),
            fact("command", &artefact.command),
            fact("measured", "on the rows left out of each fold of the cross-validation"),
        ],
        systems: vec![System {
            name: artefact.name.clone(),
            facts: facts(artefact),
            evaluation: artefact.metrics.clone(),
            importance: artefact.importance.clone(),
        }],
        notes: vec![artefact.choice.clone()],
    }
}

/// What holds for a model file alone.
pub(super) fn facts(artefact: &Artefact) -> Vec<(String, String)> {
    vec![fact("version", &artefact.version()), fact("tool", &artefact.tool)]
}

pub(super) fn fact(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// What is predicted, e.g. `default = 1`.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match &outcome.kind {
        OutcomeKind::Classes { positive, .. } => format!("{} = {positive}", outcome.column),
        OutcomeKind::Number => outcome.column.clone(),
    }
}
