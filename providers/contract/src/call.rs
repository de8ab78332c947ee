//! One request on its way.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Error, Result, Task, Trail, predict::Form};

/// One request on its way. Cheap to clone: retries and failover share the request.
#[derive(Debug)]
pub struct Call<T: Task> {
    /// What is asked.
    pub request: Arc<T::Request>,
    /// The deployment that is asked.
    pub target: Arc<Target>,
    /// When the whole call must have ended.
    pub deadline: Instant,
    /// What happened to the call so far.
    pub trail: Arc<Trail>,
}

impl<T: Task> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self {
            request: Arc::clone(&self.request),
            target: Arc::clone(&self.target),
            deadline: self.deadline,
            trail: Arc::clone(&self.trail),
        }
    }
}

impl<T: Task> Call<T> {
    /// The deployment cannot honour `field`, which changes the answer: refuses the attempt, or drops the field and
    /// names it in the answer's `x-aigate-dropped`, as the config says.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] naming the field, unless the deployment's `on_unsupported` is `drop`.
    pub fn unsupported(&self, field: &str, why: &str) -> Result<()> {
        match self.target.on_unsupported {
            OnUnsupported::Refuse => Err(Error::unsupported(field, why)),
            OnUnsupported::Drop => {
                self.trail.drop_field(&self.target, field);
                Ok(())
            }
        }
    }

    /// The deployment has no use for `field`, which does not change the answer (`user`, `metadata`, …): it is left
    /// out and named in `x-aigate-dropped`.
    pub fn leave_out(&self, field: &str) {
        self.trail.drop_field(&self.target, field);
    }
}

/// One concrete model or endpoint at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name in the config.
    pub provider: Arc<str>,
    /// The deployment's name: `provider/target`, unique within its model.
    pub deployment: Arc<str>,
    /// What the provider calls the model: `target` in the config.
    pub model: Arc<str>,
    /// What to do with a field that the deployment cannot honour.
    pub on_unsupported: OnUnsupported,
    /// The version of the model, where the config states one.
    pub version: Option<Arc<str>>,
    /// How a predict deployment wants to be asked.
    pub form: Option<Arc<Form>>,
    /// Whether it is a model on this machine that stands in for others: its answers are marked as degraded.
    pub fallback: bool,
}

impl Target {
    /// A deployment of which nothing but its names is known.
    pub fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.into(),
            deployment: format!("{provider}/{model}").into(),
            model: model.into(),
            on_unsupported: OnUnsupported::Refuse,
            version: None,
            form: None,
            fallback: false,
        }
    }
}

/// What to do with a request's field that the deployment cannot honour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnsupported {
    /// Refuse the attempt, naming the field; the next deployment is tried.
    #[default]
    Refuse,
    /// Leave the field out and name it in `x-aigate-dropped`.
    Drop,
}
