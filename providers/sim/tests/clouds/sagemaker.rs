use aigate_sim::{Cloud, CloudKind, Fault};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{aws::sign, client, cloud};

const KEYS: (&str, &str) = ("SIMULATED", "simulated-secret");

/// An answer: its status, a header, its body.
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) variant: Option<String>,
    pub(crate) media: String,
    pub(crate) text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// An invocation that is signed, with the media type of its body.
pub(crate) fn invocation(cloud: &Cloud, endpoint: &str, media: &str, body: &str) -> RequestBuilder {
    let path = format!("/endpoints/{endpoint}/invocations");
    sign(cloud, &path, "sagemaker", KEYS, None, body).header("content-type", media)
}

pub(crate) async fn tell(request: RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let kind = header("x-amzn-errortype").unwrap_or_default();
    Told {
        status: response.status().as_u16(),
        kind: kind.split(':').next().unwrap().to_owned(),
        variant: header("x-amzn-invoked-production-variant"),
        media: header("content-type").unwrap_or_default(),
        text: response.text().await.unwrap(),
    }
}

async fn ask(cloud: &Cloud, endpoint: &str, media: &str, body: &str) -> Told {
    tell(invocation(cloud, endpoint, media, body)).await
}

#[tokio::test]
async fn each_form_has_its_own_answer() {
    let cloud = cloud(CloudKind::Aws).await;
    let csv = ask(&cloud, "credit", "text/csv", "37,own\n21,rent\n").await;
    assert_eq!((csv.status, csv.media.as_str()), (200, "text/csv; charset=utf-8"));
    let scores: Vec<f64> = csv.text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(scores.len() == 2 && scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
    assert_eq!(csv.variant.as_deref(), Some("AllTraffic"));

    let predictions = json!([{"score": scores[0]}, {"score": scores[1]}]);
    for rows in [json!([[37, "own"], [21, "rent"]]), json!([{"a": 37, "h": "own"}, {"a": 21, "h": "rent"}])] {
        let body = json!({"instances": rows}).to_string();
        let json = ask(&cloud, "credit", "application/json; charset=utf-8", &body).await;
        assert_eq!(json.json(), json!({"predictions": predictions}));
    }
    let lines = ask(&cloud, "credit", "application/jsonlines", "[37, \"own\"]\n[21, \"rent\"]").await;
    assert_eq!(lines.media, "application/jsonlines");
    assert_eq!(lines.text, format!("{{\"score\":{}}}\n{{\"score\":{}}}\n", scores[0], scores[1]));

    let tensors = json!({"id": "7", "inputs": [
        {"name": "a", "shape": [2], "datatype": "INT64", "data": [37, 21]},
        {"name": "h", "shape": [2, 1], "datatype": "BYTES", "data": [["own"], ["rent"]]},
    ]});
    let oip = ask(&cloud, "credit", "application/json", &tensors.to_string()).await;
    let output = json!({"name": "score", "datatype": "FP64", "shape": [2], "data": scores});
    let wanted = json!({"model_name": "credit", "model_version": "1", "id": "7", "outputs": [output]});
    assert_eq!(oip.json(), wanted);

    let other =
        invocation(&cloud, "credit", "text/csv", "37,own\n21,rent\n").header("accept", "application/json");
    assert_eq!(tell(other).await.json(), json!({"predictions": predictions}));
    let headed = ask(&cloud, "headed-credit", "text/csv", "a,h\n37,own\n21,rent\n").await;
    assert_eq!(headed.text, csv.text);
}

#[tokio::test]
async fn the_variant_asked_for_is_the_one_that_answers() {
    let cloud = cloud(CloudKind::Aws).await;
    let with = |name: &'static str, value: &'static str| {
        tell(invocation(&cloud, "credit", "text/csv", "1\n").header(name, value))
    };
    let blue = with("X-Amzn-SageMaker-Target-Variant", "blue").await;
    assert_eq!((blue.status, blue.variant.as_deref()), (200, Some("blue")));
    assert_eq!(with("X-Amzn-SageMaker-Target-Model", "a/b.tar.gz").await.status, 200);
    assert_eq!(with("X-Amzn-SageMaker-Inference-Component", "part").await.status, 200);
    for (name, value, words) in [
        ("X-Amzn-SageMaker-Target-Variant", "missing-blue", "Variant missing-blue not found"),
        ("X-Amzn-SageMaker-Target-Model", "a/missing.tar.gz", "Failed to download model data"),
        ("X-Amzn-SageMaker-Inference-Component", "missing", "Inference Component missing"),
        ("X-Amzn-SageMaker-Target-Variant", "-", "failed to satisfy constraint"),
    ] {
        let told = with(name, value).await;
        assert_eq!((told.status, told.kind.as_str()), (400, "ValidationError"), "{value}");
        assert!(told.json()["Message"].as_str().unwrap().contains(words), "{}", told.text);
    }
    let broken = with("X-Amzn-SageMaker-Target-Variant", "broken-blue").await;
    assert_eq!((broken.status, broken.variant), (424, None));
}

#[tokio::test]
async fn endpoints_that_cannot_answer_say_so_as_sagemaker_does() {
    let cloud = cloud(CloudKind::Aws).await;
    for (endpoint, status, kind) in [
        ("missing-one", 400, "ValidationError"),
        ("busy-one", 400, "ThrottlingException"),
        ("denied-one", 403, "AccessDeniedException"),
        ("broken-one", 424, "ModelError"),
        ("picky-one", 424, "ModelError"),
        ("under_score", 400, "ValidationError"),
    ] {
        let told = ask(&cloud, endpoint, "text/csv", "1\n").await;
        assert_eq!((told.status, told.kind.as_str()), (status, kind), "{endpoint}");
    }
    let missing = ask(&cloud, "missing-one", "text/csv", "1\n").await;
    assert_eq!(missing.json()["Message"], "Endpoint missing-one of account 000000000000 not found.");
    let broken = ask(&cloud, "broken-one", "text/csv", "1\n").await.json();
    assert_eq!(broken["OriginalStatusCode"], 500);
    assert_eq!(broken["OriginalMessage"], r#"{"error":"the simulated container is broken"}"#);
    assert!(broken["LogStreamArn"].as_str().unwrap().ends_with(":/aws/sagemaker/Endpoints/broken-one"));
    let picky = ask(&cloud, "picky-one", "text/csv", "1\n").await.json();
    assert_eq!(
        (&picky["OriginalStatusCode"], &picky["ErrorCode"]),
        (&json!(400), &json!("CLIENT_ERROR_FROM_MODEL"))
    );
}

#[tokio::test]
async fn containers_refuse_what_they_cannot_read() {
    let cloud = cloud(CloudKind::Aws).await;
    for (media, body, status) in [
        ("text/plain", "1", 415),
        ("text/csv", "", 400),
        ("text/csv", "1,2\n3\n", 400),
        ("application/json", "{", 400),
        ("application/json", r#"{"instances": 1}"#, 400),
        ("application/json", r#"{"instances": [1]}"#, 400),
        ("application/json", r#"{"instances": []}"#, 400),
        ("application/json", r#"{"instances": [[1]], "more": 1}"#, 400),
        ("application/json", r#"{"data": [[1]]}"#, 400),
        ("application/json", r#"{"inputs": [{"name": "a"}]}"#, 400),
        ("application/jsonlines", "[1]\n2\n", 400),
    ] {
        let told = ask(&cloud, "credit", media, body).await;
        assert_eq!(told.status, 424, "{media} {body}");
        assert_eq!(told.json()["OriginalStatusCode"], status, "{media} {body}");
    }
    let image = invocation(&cloud, "credit", "text/csv", "1\n").header("accept", "image/png");
    assert_eq!(tell(image).await.json()["OriginalStatusCode"], 406);
    assert_eq!(tell(invocation(&cloud, "a/b", "text/csv", "1\n")).await.status, 404);
}

#[tokio::test]
async fn only_signatures_for_sagemaker_are_taken() {
    let cloud = cloud(CloudKind::Aws).await;
    let path = "/endpoints/credit/invocations";
    let url = format!("{}{path}", cloud.url());
    assert_eq!(tell(client().post(&url)).await.kind, "MissingAuthenticationTokenException");
    let bearer = client().post(&url).header("authorization", "Bearer simulated-key");
    assert_eq!(tell(bearer).await.kind, "IncompleteSignatureException");
    let bedrock = tell(sign(&cloud, path, "bedrock", KEYS, None, "1\n")).await;
    assert_eq!((bedrock.status, bedrock.kind.as_str()), (403, "InvalidSignatureException"));
    let wrong = tell(sign(&cloud, path, "sagemaker", ("SIMULATED", "wrong"), None, "1\n")).await;
    assert_eq!((wrong.status, wrong.kind.as_str()), (403, "InvalidSignatureException"));
    cloud.set_fault(Some(Fault::ExpiredToken));
    let expired = ask(&cloud, "credit", "text/csv", "1\n").await;
    assert_eq!((expired.status, expired.kind.as_str()), (403, "ExpiredTokenException"));
}
