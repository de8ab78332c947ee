use aigate_sim::{CloudKind, Options, Score, Scorer, start};
use serde_json::{Value, json};

use super::{ask, client, cloud};

/// A credential that Vertex AI takes.
pub(crate) const KEY: (&str, &str) = ("x-goog-api-key", "simulated-key");

pub(crate) fn path(endpoint: &str, method: &str) -> String {
    format!("/v1/projects/p/locations/europe-west4/endpoints/{endpoint}:{method}")
}

fn rows() -> Value {
    json!({"instances": [{"age": 37, "housing": "own"}, {"age": 21, "housing": "rent"}]})
}

#[tokio::test]
async fn a_prediction_has_the_scores_of_both_classes_and_says_who_made_it() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{}", cloud.url(), path("123", "predict"));
    let (status, reply) = ask(&url, KEY, &rows()).await;
    assert_eq!(status, 200, "{reply}");
    let scores = reply["predictions"][0]["scores"].as_array().unwrap();
    let sum: f64 = scores.iter().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-12 && reply["predictions"].as_array().unwrap().len() == 2);
    assert_eq!(reply["predictions"][1]["classes"], json!(["0", "1"]));
    assert_eq!((&reply["deployedModelId"], &reply["modelVersionId"]), (&json!("4242"), &json!("1")));
    assert_eq!(reply["model"], "projects/p/locations/europe-west4/models/2424");
    assert_eq!(reply["modelDisplayName"], "simulated");
    let mut with = rows();
    with["parameters"] = json!({"confidence": 0.5});
    assert_eq!(ask(&url, KEY, &with).await.0, 200);
}

#[tokio::test]
async fn an_explanation_adds_up_to_the_score() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{}", cloud.url(), path("123", "explain"));
    let (status, reply) = ask(&url, KEY, &rows()).await;
    assert_eq!((status, &reply["deployedModelId"]), (200, &json!("4242")), "{reply}");
    assert!(reply.get("model").is_none() && reply.get("modelVersionId").is_none());
    for row in 0..2 {
        let told = &reply["explanations"][row]["attributions"][0];
        assert_eq!((&told["outputIndex"], &told["outputName"]), (&json!([1]), &json!("scores")));
        let number = |value: &Value| value.as_f64().unwrap();
        let features = told["featureAttributions"].as_object().unwrap();
        let sum = number(&told["baselineOutputValue"]) + features.values().map(number).sum::<f64>();
        assert!((sum - number(&told["instanceOutputValue"])).abs() < 1e-12);
        assert!((sum - number(&reply["predictions"][row]["scores"][1])).abs() < 1e-12);
        assert!(features.contains_key("age") && features.contains_key("housing"));
    }
    let (_, reply) = ask(&url, KEY, &json!({"instances": [[1, 2, 3]]})).await;
    let features = &reply["explanations"][0]["attributions"][0]["featureAttributions"]["features"];
    assert_eq!(features.as_array().unwrap().len(), 3);
    let other = json!({"instances": [[1]], "deployedModelId": "1"});
    assert_eq!(ask(&url, KEY, &other).await.0, 400);
}

#[tokio::test]
async fn a_base_of_zero_is_left_out_and_a_bad_explanation_is_an_error() {
    let scorer = Scorer::new(|row| {
        let contributions = row.iter().filter(|(name, _)| *name != Some("odd")).map(|_| 0.25).collect();
        Ok(Score { score: 0.25, base: 0.0, contributions })
    });
    let cloud = start(CloudKind::Google, Options { scorer, ..Options::default() }).await.unwrap();
    let url = format!("{}{}", cloud.url(), path("123", "explain"));
    let (_, reply) = ask(&url, KEY, &json!({"instances": [{"a": 1}]})).await;
    let told = reply["explanations"][0]["attributions"][0].as_object().unwrap();
    assert!(!told.contains_key("baselineOutputValue") && told["instanceOutputValue"] == 0.25, "{told:?}");
    let (status, reply) = ask(&url, KEY, &json!({"instances": [{"odd": 1}]})).await;
    assert_eq!((status, &reply["error"]["status"]), (500, &json!("INTERNAL")));
}

#[tokio::test]
async fn a_raw_prediction_is_the_containers_own_answer() {
    let cloud = cloud(CloudKind::Google).await;
    let send = async |endpoint: &str, media: &str, body: &str| {
        let request = client().post(format!("{}{}", cloud.url(), path(endpoint, "rawPredict")));
        let request = request.header(KEY.0, KEY.1).header("content-type", media.to_owned());
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.headers()["x-vertex-ai-endpoint-id"], endpoint);
        assert_eq!(response.headers()["x-vertex-ai-deployed-model-id"], "4242");
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) = send("123", "text/csv", "37,own\n").await;
    let score: f64 = text.trim().parse().unwrap();
    let (_, json) = send("123", "application/json", r#"{"instances": [[37, "own"]]}"#).await;
    assert_eq!((status, json), (200, json!({"predictions": [{"score": score}]}).to_string()));
    let (status, text) = send("broken-1", "text/csv", "37,own\n").await;
    assert_eq!((status, text.as_str()), (500, r#"{"error":"the simulated container is broken"}"#));
    assert_eq!(send("picky-1", "text/csv", "37,own\n").await.0, 400);
    assert_eq!(send("123", "text/plain", "37,own\n").await.0, 415);
}

#[tokio::test]
async fn refusals_are_googles() {
    let cloud = cloud(CloudKind::Google).await;
    for (endpoint, status, word) in [
        ("missing-1", 404, "NOT_FOUND"),
        ("busy-1", 429, "RESOURCE_EXHAUSTED"),
        ("denied-1", 403, "PERMISSION_DENIED"),
        ("broken-1", 500, "INTERNAL"),
        ("picky-1", 400, "INVALID_ARGUMENT"),
    ] {
        let url = format!("{}{}", cloud.url(), path(endpoint, "predict"));
        let (got, reply) = ask(&url, KEY, &rows()).await;
        assert_eq!((got, &reply["error"]["status"]), (status, &json!(word)), "{endpoint} {reply}");
        assert_eq!(reply["error"]["code"], status);
    }
    let url = format!("{}{}", cloud.url(), path("123", "predict"));
    for body in [
        json!({}),
        json!({"instances": 1}),
        json!({"instances": {"a": 1}}),
        json!({"instances": []}),
        json!({"instances": [1]}),
        json!({"instances": [[1]], "more": 1}),
        json!([[1]]),
    ] {
        let (status, reply) = ask(&url, KEY, &body).await;
        assert_eq!((status, &reply["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{body}");
    }
    let url = format!("{}{}", cloud.url(), path("123", "other"));
    assert_eq!(ask(&url, KEY, &rows()).await.0, 404);
}

#[tokio::test]
async fn endpoints_take_the_tokens_that_models_take() {
    let cloud = cloud(CloudKind::Google).await;
    let url = format!("{}{}", cloud.url(), path("123", "predict"));
    let (status, reply) = ask(&url, ("x-other", "none"), &rows()).await;
    assert_eq!((status, &reply["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let metadata = "/computeMetadata/v1/instance/service-accounts/default/token";
    let request = client().get(format!("{}{metadata}", cloud.url())).header("metadata-flavor", "Google");
    let token: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    assert_eq!(ask(&url, ("authorization", &bearer), &rows()).await.0, 200);
    assert_eq!(ask(&url, ("authorization", "Bearer other"), &rows()).await.0, 401);
}
