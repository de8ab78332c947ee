//! What the three predict services have in common: the model behind them, and the faults.

use std::time::Duration;

use aigate_sim::{Cloud, CloudKind, Fault, Options, Score, Scorer, start};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{azureml, client, cloud, sagemaker, vertex};

const KINDS: [CloudKind; 3] = [CloudKind::Google, CloudKind::Aws, CloudKind::Azure];

/// One row at each cloud.
fn request(cloud: &Cloud, kind: CloudKind) -> RequestBuilder {
    let body = json!({"instances": [{"age": 37, "housing": "own"}]});
    match kind {
        CloudKind::Google => {
            let request = client().post(format!("{}{}", cloud.url(), vertex::path("123", "predict")));
            request.header(vertex::KEY.0, vertex::KEY.1).body(body.to_string())
        }
        CloudKind::Aws => sagemaker::invocation(cloud, "credit", "application/json", &body.to_string()),
        CloudKind::Azure | CloudKind::OpenAi => azureml::scoring(cloud, "/score", &body),
    }
}

/// Where the score stands in each cloud's answer.
fn score(kind: CloudKind, reply: &Value) -> f64 {
    let prediction = &reply["predictions"][0];
    let score = match kind {
        CloudKind::Google => &prediction["scores"][1],
        CloudKind::Aws => &prediction["score"],
        CloudKind::Azure | CloudKind::OpenAi => prediction,
    };
    score.as_f64().unwrap()
}

async fn answer(cloud: &Cloud, kind: CloudKind) -> (u16, String) {
    let response = request(cloud, kind).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_same_row_has_the_same_score_at_every_cloud() {
    let mut scores = Vec::new();
    for kind in KINDS {
        let (status, text) = answer(&cloud(kind).await, kind).await;
        assert_eq!(status, 200, "{kind:?} {text}");
        scores.push(score(kind, &serde_json::from_str(&text).unwrap()));
    }
    assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
}

#[tokio::test]
async fn the_model_handed_over_sees_the_names_and_values_and_may_refuse() {
    let scorer = Scorer::new(|row| match row {
        [(Some("age"), age), (Some("housing"), housing)] if **housing == json!("own") => {
            let age = age.as_f64().ok_or("age is not a number")?;
            Ok(Score { score: age / 100.0, base: 0.0, contributions: vec![age / 100.0, 0.0] })
        }
        _ => Err(format!("a row of {} values is not for this model", row.len())),
    });
    let options = Options { scorer, keep_requests: 4, ..Options::default() };
    for kind in KINDS {
        let cloud = start(kind, options.clone()).await.unwrap();
        let (_, text) = answer(&cloud, kind).await;
        assert!((score(kind, &serde_json::from_str(&text).unwrap()) - 0.37).abs() < 1e-12, "{text}");
        assert_eq!((cloud.stats().seen, cloud.stats().answered, cloud.requests().len()), (1, 1, 1));
    }
    let aws = start(CloudKind::Aws, options).await.unwrap();
    let told = sagemaker::tell(sagemaker::invocation(&aws, "credit", "text/csv", "1\n")).await;
    assert_eq!(told.status, 424);
    assert_eq!(told.json()["OriginalMessage"], r#"{"error":"a row of 1 values is not for this model"}"#);
    assert_eq!((aws.stats().refused, aws.stats().answered), (1, 0));
}

#[tokio::test]
async fn a_score_that_is_not_finite_is_the_containers_failure() {
    let scorer = Scorer::new(|_| Ok(Score { score: f64::NAN, base: 0.0, contributions: Vec::new() }));
    for (kind, status) in KINDS.into_iter().zip([500, 424, 424]) {
        let cloud = start(kind, Options { scorer: scorer.clone(), ..Options::default() }).await.unwrap();
        assert_eq!(answer(&cloud, kind).await.0, status, "{kind:?}");
    }
}

#[tokio::test]
async fn throttling_is_told_in_each_services_way() {
    let retry_after = Some(Duration::from_millis(1500));
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault_times(Fault::Throttled { retry_after }, 1);
        let response = request(&cloud, kind).send().await.unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("retry-after"), None);
        let (name, reason) = (header("x-amzn-errortype"), header("ms-azureml-model-error-reason"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        match kind {
            CloudKind::Google => {
                let body: Value = serde_json::from_str(&text).unwrap();
                assert_eq!((status, &body["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
                assert_eq!(body["error"]["details"][0]["retryDelay"], "1.500s");
            }
            CloudKind::Aws => {
                assert_eq!((status, text.as_str()), (400, r#"{"message":null}"#));
                assert!(name.unwrap().starts_with("ThrottlingException:"));
            }
            CloudKind::Azure | CloudKind::OpenAi => {
                assert_eq!((status, text.as_str()), (429, ""));
                assert_eq!(reason.as_deref(), Some("too_many_pending_request"));
            }
        }
        assert_eq!(answer(&cloud, kind).await.0, 200);
        assert_eq!((cloud.stats().seen, cloud.stats().refused, cloud.stats().faulted), (2, 1, 1));
    }
}

#[tokio::test]
async fn the_other_faults_act_on_predictions_too() {
    for kind in KINDS {
        let cloud = cloud(kind).await;
        cloud.set_fault(Some(Fault::ServerError { status: 503 }));
        assert_eq!(answer(&cloud, kind).await.0, 503);
        cloud.set_fault(Some(Fault::Malformed));
        let (status, text) = answer(&cloud, kind).await;
        assert!(status == 200 && serde_json::from_str::<Value>(&text).is_err(), "{text}");
        cloud.set_fault(Some(Fault::CutMidStream { after_chunks: 0 }));
        assert!(request(&cloud, kind).send().await.unwrap().bytes().await.is_err());
        cloud.set_fault(Some(Fault::ErrorInside200));
        let (status, text) = answer(&cloud, kind).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        let told = if kind == CloudKind::Google { &body["error"]["status"] } else { &body["error"] };
        assert!(status == 200 && told.is_string(), "{text}");
        cloud.set_fault(Some(Fault::Refused));
        assert!(request(&cloud, kind).send().await.is_err());
    }
}

#[tokio::test]
async fn broken_text_can_never_be_taken_for_a_shorter_answer() {
    let cloud = cloud(CloudKind::Aws).await;
    cloud.set_fault(Some(Fault::Malformed));
    for (media, body) in
        [("text/csv", "1\n"), ("text/csv", "1\n2\n"), ("application/jsonlines", "[1]\n[1]\n")]
    {
        let told = sagemaker::tell(sagemaker::invocation(&cloud, "credit", media, body)).await;
        let readable = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        assert!(told.status == 200 && !told.text.lines().all(readable), "{}", told.text);
    }
}
