//! One story: text and variables become a [`Document`](document::Document), the document is checked whole, and a checked
//! document is a [`Plan`]. Start and reload take the same path.

mod check;
mod diff;
pub mod document;
mod interpolate;
mod load;
mod merge;
mod plan;
mod predict;
mod schema;
mod suggest;
mod tree;

pub use self::{
    check::{check, check_after},
    diff::diff,
    load::{Loaded, Source, load, load_after},
    plan::{
        Allowance, Before, BreakerPlan, BudgetPlan, CachePlan, CacheStorePlan, DeploymentPlan, HedgeAfter,
        HedgePlan, KeyPlan, LabelPlan, LimitPlan, Measure, ModelPlan, Plan, PredictPlan, Print, RetryPlan,
        Scope, ServerPlan, SharedPlan, TimeoutPlan, UpkeepPlan,
    },
    schema::schema,
    suggest::nearest,
    tree::{Entry, Tree},
};
pub use aigate_contract::settings::Fault;

/// Prints faults, one a line, as `path: message`.
pub fn report(faults: &[Fault]) -> String {
    let line = |fault: &Fault| match fault.path.as_str() {
        "" => fault.message.clone(),
        path => format!("{path}: {}", fault.message),
    };
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}
