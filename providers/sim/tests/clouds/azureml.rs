use aigate_sim::{Cloud, CloudKind, Fault};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{azure::token, client, cloud};

const KEY: &str = "Bearer simulated-key";
const DEPLOYMENT: &str = "azureml-model-deployment";

pub(crate) fn scoring(cloud: &Cloud, path: &str, body: &Value) -> RequestBuilder {
    let request = client().post(format!("{}{path}", cloud.url())).header("authorization", KEY);
    request.header("content-type", "application/json").body(body.to_string())
}

/// An answer: its status, the deployment that it names, why the model failed, its body.
struct Told {
    status: u16,
    deployment: Option<String>,
    failed: Option<(String, String)>,
    text: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn tell(request: RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header("x-ms-request-id").is_some());
    Told {
        status: response.status().as_u16(),
        deployment: header(DEPLOYMENT),
        failed: header("ms-azureml-model-error-reason").zip(header("ms-azureml-model-error-statuscode")),
        text: response.text().await.unwrap(),
    }
}

#[tokio::test]
async fn each_form_has_its_own_answer() {
    let cloud = cloud(CloudKind::Azure).await;
    let split = json!({"input_data": {"columns": ["age", "housing"], "index": [0, 1],
        "data": [[37, "own"], [21, "rent"]]}});
    let told = tell(scoring(&cloud, "/score", &split)).await;
    assert_eq!((told.status, told.deployment.as_deref()), (200, Some("blue")));
    let scores = told.json();
    assert!(scores.as_array().unwrap().iter().all(Value::is_f64) && scores.as_array().unwrap().len() == 2);
    for field in ["data", "instances"] {
        let told = tell(scoring(&cloud, "/score", &json!({field: [[37, "own"], [21, "rent"]]}))).await;
        assert_eq!(told.json(), json!({"predictions": scores}), "{field}");
    }
    let tensors = json!({"inputs": [
        {"name": "age", "shape": [2], "datatype": "INT64", "data": [37, 21]},
        {"name": "housing", "shape": [2], "datatype": "BYTES", "data": ["own", "rent"]},
    ]});
    let told = tell(scoring(&cloud, "/v2/models/credit/infer", &tensors)).await;
    let output = json!({"name": "score", "datatype": "FP64", "shape": [2], "data": scores});
    assert_eq!(told.json(), json!({"model_name": "credit", "model_version": "1", "outputs": [output]}));
}

#[tokio::test]
async fn the_deployment_asked_for_is_the_one_that_answers() {
    let cloud = cloud(CloudKind::Azure).await;
    let body = json!({"data": [[1]]});
    let with = |name: &'static str| tell(scoring(&cloud, "/score", &body).header(DEPLOYMENT, name));
    let green = with("green").await;
    assert_eq!((green.status, green.deployment.as_deref()), (200, Some("green")));
    for (name, status) in [("missing-green", 404), ("busy-green", 429), ("denied-green", 401)] {
        let told = with(name).await;
        assert_eq!((told.status, told.deployment), (status, None), "{name}");
        assert!(told.failed.is_none() && serde_json::from_str::<Value>(&told.text).is_err());
    }
    let failed = |status: &str| Some(("model_error".to_owned(), status.to_owned()));
    let broken = with("broken-green").await;
    assert_eq!((broken.status, broken.failed.clone()), (424, failed("500")));
    assert_eq!(broken.json(), json!({"error": "the simulated container is broken"}));
    assert_eq!(broken.deployment.as_deref(), Some("broken-green"));
    assert_eq!(with("picky-green").await.failed, failed("400"));
    let told = tell(scoring(&cloud, "/v2/models/broken/infer", &body)).await;
    assert_eq!((told.status, told.failed), (424, failed("500")));
    for (path, status) in [("/credit/score", 200), ("/broken-one/score", 424), ("/busy-one/score", 429)] {
        assert_eq!(tell(scoring(&cloud, path, &body)).await.status, status, "{path}");
    }
    let told = tell(scoring(&cloud, "/missing-one/v2/models/credit/infer", &body)).await;
    assert_eq!(told.status, 404);
    let told = tell(scoring(&cloud, "/score", &json!({"rows": [[1]]}))).await;
    assert_eq!((told.status, told.failed), (424, failed("400")));
}

#[tokio::test]
async fn keys_and_tokens_for_azure_ml_are_taken_and_no_others() {
    let cloud = cloud(CloudKind::Azure).await;
    let url = format!("{}/score", cloud.url());
    let send = |name: &'static str, value: String| {
        let request = client().post(&url).header(name, value).header("content-type", "application/json");
        tell(request.body(json!({"data": [[1]]}).to_string()))
    };
    let form = |resource: &str| {
        format!(
            "grant_type=client_credentials&client_id=me&client_secret=simulated-secret&scope=https%3A%2F%2F{resource}%2F.default"
        )
    };
    let mut bearers = Vec::new();
    for resource in ["ml.azure.com", "ai.azure.com", "management.azure.com"] {
        let (_, reply) = token(&cloud.url(), &form(resource)).await;
        bearers.push(format!("Bearer {}", reply["access_token"].as_str().unwrap()));
    }
    let statuses = [200, 401, 401];
    for (bearer, status) in bearers.iter().zip(statuses) {
        assert_eq!(send("authorization", bearer.clone()).await.status, status);
    }
    // A token for Azure ML is none for the models.
    let chat = client().post(format!("{}/openai/v1/chat/completions", cloud.url()));
    assert_eq!(chat.header("authorization", &bearers[0]).send().await.unwrap().status(), 401);

    let missing = send("api-key", "simulated-key".to_owned()).await;
    assert_eq!((missing.status, missing.text.as_str()), (401, "key_auth_bad_header_forbidden"));
    let wrong = send("authorization", "Bearer wrong".to_owned()).await;
    assert_eq!((wrong.status, wrong.text.as_str()), (401, "key_auth_access_denied"));
    cloud.set_fault(Some(Fault::ExpiredToken));
    assert_eq!(send("authorization", KEY.to_owned()).await.status, 401);
    assert_eq!(send("authorization", bearers[0].clone()).await.status, 401);
    let get = client().get(&url).header("authorization", KEY);
    cloud.set_fault(None);
    assert_eq!(tell(get).await.status, 404);
}
