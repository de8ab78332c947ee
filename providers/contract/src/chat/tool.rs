//! Tools and the form of the answer.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

/// A tool that the model may call.
#[derive(Clone, Debug, Deserialize)]
pub struct Tool {
    /// `function`; other kinds only pass through to providers that speak OpenAI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The function, when the kind is `function`.
    #[serde(default)]
    pub function: Option<Function>,
    /// Fields that aigate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function that the model may call.
#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: Option<String>,
    /// JSON Schema of its arguments; absent for a function without any.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Whether the arguments must follow the schema exactly.
    #[serde(default)]
    pub strict: Option<bool>,
    /// Fields that aigate does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Which tool the model must or may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// None.
    None,
    /// Its choice.
    Auto,
    /// At least one.
    Required,
    /// This function.
    Function(String),
    /// Something else that only OpenAI knows; its `type`.
    Other(String),
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        match &value {
            Value::String(choice) => match choice.as_str() {
                "none" => Ok(Self::None),
                "auto" => Ok(Self::Auto),
                "required" => Ok(Self::Required),
                other => Err(D::Error::custom(format!(
                    "unknown choice `{other}`: expected `none`, `auto`, `required` or a function"
                ))),
            },
            Value::Object(choice) => match (choice.get("type").and_then(word), &choice.get("function")) {
                (Some(kind), Some(function)) if kind == "function" => function
                    .get("name")
                    .and_then(word)
                    .map(Self::Function)
                    .ok_or_else(|| D::Error::custom("the function has no `name`")),
                (Some(kind), _) if kind != "function" => Ok(Self::Other(kind)),
                _ => Err(D::Error::custom("expected {\"type\":\"function\",\"function\":{\"name\":…}}")),
            },
            _ => Err(D::Error::custom("expected `none`, `auto`, `required` or a function")),
        }
    }
}

/// The form of the answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Free text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema.
        json_schema: JsonSchemaFormat,
    },
    /// A form that aigate does not know: only for providers to whom the body passes through.
    #[serde(other)]
    Other,
}

/// A JSON Schema that the answer must follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JsonSchemaFormat {
    /// The schema's name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema.
    #[serde(default)]
    pub schema: Option<Map<String, Value>>,
    /// Whether it must be followed exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}
