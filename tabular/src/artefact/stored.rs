//! How a model stands in the file: the variant's name outside its content, so that a forest of millions of numbers is read
//! straight into its vectors. (An inner tag would make serde keep all of it in memory a second time first.)

use serde::{Deserialize, Serialize};

use crate::model::{Form, Kernel, Linear, Link, Model, Trees};

/// A [`Model`] in the file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Model", deny_unknown_fields)]
pub(super) struct StoredModel {
    link: Link,
    #[serde(with = "StoredForm")]
    form: Form,
}

/// A [`Form`] in the file.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Form", rename_all = "snake_case")]
enum StoredForm {
    Linear(Linear),
    Kernel(Kernel),
    Trees(Trees),
}
