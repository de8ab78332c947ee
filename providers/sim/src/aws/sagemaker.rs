//! SageMaker's runtime: InvokeEndpoint.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>

use http::Method;
use serde_json::{Value, json};

use super::{by_signature, refuse::unauthorized, request_id};
use crate::{
    answer::{Answer, Ask, Refusal, Result, Whole, decode},
    cloud::State,
    container::{Container, Dialect, Failure, Nature},
};

/// The variant that serves those who ask for none.
const VARIANT: &str = "AllTraffic";
/// The longest names of endpoints, variants and components, and the longest header, in bytes.
const LONGEST_NAME: usize = 63;
const LONGEST_HEADER: usize = 1024;

/// Which model of an endpoint is asked.
struct Wanted<'a> {
    endpoint: &'a str,
    variant: Option<&'a str>,
    model: Option<&'a str>,
    component: Option<&'a str>,
}

pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/endpoints/")
}

pub(super) fn answer(state: &State, ask: &Ask<'_>) -> Result<Answer> {
    let endpoint = endpoint(ask).filter(|_| ask.method == Method::POST).ok_or(Refusal::UnknownPath)?;
    by_signature(state, ask, "sagemaker")?;
    let endpoint = decode(endpoint, false);
    let wanted = Wanted {
        endpoint: &endpoint,
        variant: ask.header("x-amzn-sagemaker-target-variant"),
        model: ask.header("x-amzn-sagemaker-target-model"),
        component: ask.header("x-amzn-sagemaker-inference-component"),
    };
    wanted.check()?;
    let names: Vec<_> = wanted.names().collect();
    let container = Container {
        scorer: &state.options.scorer,
        model: wanted.endpoint,
        nature: Nature::of(&names),
        dialect: Dialect::Instances,
    };
    let whole = container.answer(ask).map_err(|failure| model_error(ask, wanted.endpoint, &failure))?;
    Ok(whole
        .with("x-amzn-requestid", request_id(ask))
        .with("x-amzn-invoked-production-variant", wanted.variant.unwrap_or(VARIANT))
        .into())
}

/// `/endpoints/{name}/invocations`.
fn endpoint<'a>(ask: &Ask<'a>) -> Option<&'a str> {
    let name = ask.path.strip_prefix("/endpoints/")?.strip_suffix("/invocations")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

impl<'a> Wanted<'a> {
    fn names(&self) -> impl Iterator<Item = &'a str> {
        [Some(self.endpoint), self.variant, self.model, self.component].into_iter().flatten()
    }

    /// The names must be well formed, and each must be there.
    fn check(&self) -> Result<()> {
        check_name("endpointName", self.endpoint)?;
        self.variant.map_or(Ok(()), |variant| check_name("targetVariant", variant))?;
        self.component.map_or(Ok(()), |component| check_name("inferenceComponentName", component))?;
        if self.model.is_some_and(|model| model.is_empty() || model.len() > LONGEST_HEADER) {
            return Err(malformed(
                "targetModel",
                self.model.unwrap_or_default(),
                "a path of 1 to 1024 characters",
            ));
        }
        for name in self.names() {
            Refusal::by_model(name).map_err(|refusal| match refusal {
                Refusal::UnknownModel(_) if name != self.endpoint => invalid(&self.absent(name)),
                other => other,
            })?;
        }
        Ok(())
    }

    /// SageMaker's words for a variant, a model or a component that is not there.
    fn absent(&self, name: &str) -> String {
        if Some(name) == self.variant {
            format!("Variant {name} not found for Request.")
        } else if Some(name) == self.model {
            format!(
                "Failed to download model data(bucket: simulated, key: {name}). Please ensure that there is an object \
                 located at the URL and that the role passed to CreateModel has permissions to download the model."
            )
        } else {
            format!("Inference Component {name} of account {ACCOUNT} not found.")
        }
    }
}

const ACCOUNT: &str = "000000000000";

/// Letters, digits, and hyphens between them.
fn check_name(member: &str, name: &str) -> Result<()> {
    let inside = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ends = name.starts_with(|first: char| first.is_ascii_alphanumeric()) && !name.ends_with('-');
    if inside && ends && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(malformed(member, name, "regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9])*"))
}

fn malformed(member: &str, value: &str, rule: &str) -> Refusal {
    invalid(&format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy {rule}"
    ))
}

fn invalid(message: &str) -> Refusal {
    Refusal::invalid(message)
}

/// The container answered, but not with 200.
fn model_error(ask: &Ask<'_>, endpoint: &str, failure: &Failure) -> Refusal {
    let (side, code) = match failure.status {
        ..500 => ("client", Some("CLIENT_ERROR_FROM_MODEL")),
        _ => ("server", None),
    };
    let (status, original) = (failure.status, failure.body());
    let group = format!("/aws/sagemaker/Endpoints/{endpoint}");
    let message = format!(
        "Received {side} error ({status}) from primary with message \"{original}\". See \
         https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEventViewer:group={group} in \
         account {ACCOUNT} for more information."
    );
    let mut body = json!({
        "LogStreamArn": format!("arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{group}"),
        "Message": message, "OriginalMessage": original, "OriginalStatusCode": status,
    });
    if let (Some(code), Some(body)) = (code, body.as_object_mut()) {
        body.insert("ErrorCode".to_owned(), json!(code));
    }
    Refusal::Own(Box::new(exception(424, "ModelError", &body).with("x-amzn-requestid", request_id(ask))))
}

/// SageMaker's refusal. It throttles with 400, and without a message.
pub(super) fn refuse(ask: &Ask<'_>, refusal: &Refusal) -> Whole {
    let told = |message: &str| json!({"Message": message});
    let (status, name, body) = match refusal {
        Refusal::Own(whole) => return (**whole).clone(),
        Refusal::Invalid { message, .. } => (400, "ValidationError", told(message)),
        Refusal::UnknownModel(name) => {
            (400, "ValidationError", told(&format!("Endpoint {name} of account {ACCOUNT} not found.")))
        }
        Refusal::Credentials(wrong) => {
            let (status, name, message) = unauthorized(ask, *wrong);
            (status, name, json!({"message": message}))
        }
        Refusal::Denied(_) => {
            let endpoint = endpoint(ask).unwrap_or_default();
            let message = format!(
                "User: arn:aws:iam::{ACCOUNT}:user/simulated is not authorized to perform: sagemaker:InvokeEndpoint on \
                 resource: arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/{endpoint}"
            );
            (403, "AccessDeniedException", told(&message))
        }
        Refusal::UnknownPath => (404, "UnknownOperationException", json!({})),
        Refusal::Throttled(_) => (400, "ThrottlingException", json!({"message": null})),
        Refusal::Server(503) => {
            (503, "ServiceUnavailable", told("The service is unavailable. Try your call again."))
        }
        Refusal::Server(status) => (*status, "InternalFailure", told("An internal failure occurred.")),
        Refusal::Filtered => (400, "ValidationError", told("The request was blocked.")),
    };
    exception(status, name, &body).with("x-amzn-requestid", request_id(ask))
}

fn exception(status: u16, name: &str, body: &Value) -> Whole {
    // The name comes with a link, which readers must cut off.
    let named = format!("{name}:http://internal.amazon.com/coral/com.amazonaws.sagemaker.runtime/");
    Whole::json(status, body).with("x-amzn-errortype", named)
}
