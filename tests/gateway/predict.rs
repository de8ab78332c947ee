//! Predict through the Open Inference Protocol: the same score from each form of deployment, versions, and the model on this
//! machine when every cloud is out.

use std::time::Duration;

use aigate_sim::{CloudKind, Fault, Options};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{House, TempFile, eventually};

/// Every form of body at every cloud, each a model of its own; the same file is behind all of them.
pub(crate) const FORMS: [(&str, &str); 12] = [
    ("credit-local", r#"{ provider = "local", target = "sample/credit-risk" }"#),
    (
        "credit-sagemaker-csv",
        r#"{ provider = "aws", target = "credit-risk", version = "3", wire = { body = "csv", variant = "blue" } }"#,
    ),
    (
        "credit-sagemaker-json",
        r#"{ provider = "aws", target = "credit-risk", version = "3", wire = { body = "json", outputs = { score = "/score" } } }"#,
    ),
    (
        "credit-sagemaker-lines",
        r#"{ provider = "aws", target = "credit-risk", version = "3", wire = { body = "json_lines", rows = "object", outputs = { score = "/score" } } }"#,
    ),
    (
        "credit-sagemaker-oip",
        r#"{ provider = "aws", target = "credit-risk", version = "3", wire = { body = "oip" } }"#,
    ),
    (
        "credit-vertex",
        r#"{ provider = "google", target = "endpoints/4711", version = "3", wire = { outputs = { score = "/scores/1" } } }"#,
    ),
    (
        "credit-vertex-named",
        r#"{ provider = "google", target = "4711", version = "3", wire = { rows = "object", outputs = { score = "/scores/1" } } }"#,
    ),
    (
        "credit-vertex-raw",
        r#"{ provider = "google", target = "4711", version = "3", wire = { body = "csv" } }"#,
    ),
    (
        "credit-vertex-oip",
        r#"{ provider = "google", target = "4711", version = "3", wire = { body = "oip" } }"#,
    ),
    (
        "credit-azureml",
        r#"{ provider = "azureml", target = "credit-risk", version = "3", wire = { azureml_deployment = "blue" } }"#,
    ),
    (
        "credit-azureml-json",
        r#"{ provider = "azureml", target = "credit-risk", version = "3", wire = { body = "json", rows_field = "data" } }"#,
    ),
    (
        "credit-azureml-oip",
        r#"{ provider = "azureml", target = "credit-risk", version = "3", wire = { body = "oip", path = "/v2/models/credit/infer" } }"#,
    ),
];

/// The forms' models. What callers send is what the sample takes.
pub(crate) fn models() -> String {
    let signature = signature();
    let model = |(name, deployment): &(&str, &str)| {
        let signature = if name.ends_with("local") { "" } else { signature.as_str() };
        format!("[models.{name}]\ntask = \"predict\"\n{signature}deployments = [{deployment}]\n")
    };
    FORMS.iter().map(model).collect()
}

/// The sample's inputs as TOML.
pub(crate) fn signature() -> String {
    let request = aigate_local::sample_request().unwrap();
    let input =
        |input: &Value| format!("  {{ name = {}, datatype = {} }},\n", input["name"], input["datatype"]);
    let inputs: String = request["inputs"].as_array().unwrap().iter().map(input).collect();
    format!("inputs = [\n{inputs}]\noutputs = [{{ name = \"score\", datatype = \"FP64\" }}]\n")
}

/// Three clouds and this machine behind one name.
fn all(failover: &str) -> String {
    let deployments = ["credit-azureml", "credit-sagemaker-csv", "credit-vertex", "credit-local"]
        .map(|wanted| FORMS.iter().find(|(name, _)| *name == wanted).unwrap().1)
        .join(", ");
    format!(
        "[models.credit-risk]\ntask = \"predict\"\nfailover = \"{failover}\"\nplatform = \"bank_scoring\"\ndeployments = [{deployments}]\n"
    )
}

const QUICK: &str = r#"
[defaults.timeouts]
attempt = "800ms"
deadline = "8s"
[defaults.retry]
base = "10ms"
[defaults.breaker]
open = "100ms"
max_open = "200ms"
"#;

pub(crate) fn options() -> Options {
    Options { scorer: aigate::sample::scorer().unwrap(), ..Options::default() }
}

async fn house(more: &str) -> House {
    House::with_options(&(QUICK.to_owned() + more), &options()).await
}

async fn infer(house: &House, model: &str) -> Response {
    house.post(&format!("/v2/models/{model}/infer"), &aigate_local::sample_request().unwrap()).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_every_cloud_gives_the_score_of_the_model_on_this_machine() {
    let house = house(&models()).await;
    let mut scores = Vec::new();
    for (name, _) in FORMS {
        let response = infer(&house, name).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}: {}", response.text().await.unwrap());
        let body = body(response).await;
        assert_eq!(body["model_name"], name);
        assert_eq!(body["outputs"][0]["name"], "score");
        assert_eq!(body["outputs"][0]["shape"], json!([1]));
        scores.push((name, body["outputs"][0]["data"][0].as_f64().unwrap()));
    }
    let first = scores[0].1;
    assert!(scores.iter().all(|(_, score)| (score - first).abs() < 1e-12), "{scores:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_each_cloud_ends_in_a_right_decision_that_says_who_made_it() {
    let faults = [
        Fault::Throttled { retry_after: Some(Duration::from_secs(30)) },
        Fault::ServerError { status: 503 },
        Fault::Hang,
        Fault::SlowFirstByte(Duration::from_secs(2)),
        Fault::CutMidStream { after_chunks: 1 },
        Fault::ErrorInside200,
        Fault::Malformed,
        Fault::Refused,
    ];
    for fault in faults {
        let house = house(&all("any_version")).await;
        let right = body(infer(&house, "credit-risk").await).await["outputs"][0]["data"][0].clone();
        let order = [
            (CloudKind::Azure, "aws/credit-risk"),
            (CloudKind::Aws, "google/endpoints/4711"),
            (CloudKind::Google, "local/sample/credit-risk"),
        ];
        for (kind, next) in order {
            house.cloud(kind).set_fault(Some(fault.clone()));
            let response = infer(&house, "credit-risk").await;
            assert_eq!(
                response.status(),
                StatusCode::OK,
                "{kind:?} {fault:?}: {}",
                response.text().await.unwrap()
            );
            assert_eq!(header(&response, "x-aigate-deployment"), next, "{kind:?} {fault:?}");
            let local = next.starts_with("local");
            assert_eq!(header(&response, "x-aigate-degraded"), if local { "local" } else { "" });
            let version = header(&response, "x-aigate-model-version").to_owned();
            assert_eq!(version == "3", !local, "{version}");
            let body = body(response).await;
            assert_eq!(body["model_version"], version.as_str());
            assert_eq!(body["parameters"]["aigate_deployment"], next);
            assert_eq!(
                body["parameters"]["aigate_degraded"],
                if local { json!("local") } else { Value::Null }
            );
            let (score, right) = (body["outputs"][0]["data"][0].as_f64().unwrap(), right.as_f64().unwrap());
            assert!((score - right).abs() < 1e-12, "{kind:?} {fault:?}: {score} {right}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_decides_only_where_the_config_or_the_caller_says_so() {
    let house = house(&all("same_version")).await;
    for kind in [CloudKind::Azure, CloudKind::Aws, CloudKind::Google] {
        house.cloud(kind).set_fault(Some(Fault::Refused));
    }
    let response = infer(&house, "credit-risk").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!header(&response, "retry-after").is_empty());
    let said = body(response).await;
    let said = said["error"].as_str().unwrap();
    assert!(said.contains("azureml/credit-risk") && said.contains("google/endpoints/4711"), "{said}");
    assert!(!said.contains("local"), "{said}");

    let metadata: Value =
        body(house.client.get(house.url("/v2/models/credit-risk")).send().await.unwrap()).await;
    let versions = metadata["versions"].as_array().unwrap();
    assert_eq!((versions.len(), versions[0].as_str()), (2, Some("3")));
    assert_eq!(metadata["platform"], "bank_scoring");
    let local = versions[1].as_str().unwrap();
    let path = format!("/v2/models/credit-risk/versions/{local}/infer");
    let response = house.post(&path, &aigate_local::sample_request().unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "x-aigate-degraded"), "", "who insists on a version is given no stand-in");
    assert_eq!(body(response).await["model_version"], local);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_a_row_is_told_apart_from_a_service_that_is_down() {
    let deployment = |target: &str| {
        format!(r#"{{ provider = "aws", target = "{target}", version = "3", wire = {{ body = "csv" }} }}"#)
    };
    let model = |name: &str, target: &str| {
        format!(
            "[models.{name}]\ntask = \"predict\"\n{}deployments = [{}]\n",
            signature(),
            deployment(target)
        )
    };
    let more =
        model("picky", "picky-credit") + &model("broken", "broken-credit") + &model("gone", "missing-credit");
    let house = house(&more).await;
    for (name, status, said) in [
        ("picky", StatusCode::BAD_REQUEST, "400"),
        ("broken", StatusCode::SERVICE_UNAVAILABLE, "500"),
        ("gone", StatusCode::SERVICE_UNAVAILABLE, "does not know the deployment"),
    ] {
        let response = infer(&house, name).await;
        assert_eq!(response.status(), status, "{name}");
        let body = body(response).await;
        assert!(body["error"].as_str().unwrap().contains(said), "{name}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vertex_s_attributions_come_as_contributions_when_they_are_asked_for() {
    let signature = signature().replace(
        "outputs = [",
        "outputs = [{ name = \"contributions\", datatype = \"FP64\", shape = [-1, 20], on_request = true }, { name = \"base\", datatype = \"FP64\", on_request = true }, ",
    );
    let vertex = FORMS.iter().find(|(name, _)| *name == "credit-vertex-named").unwrap().1;
    let more = format!("[models.explained]\ntask = \"predict\"\n{signature}deployments = [{vertex}]\n");
    let house = house(&(more + &models())).await;
    let mut request = aigate_local::sample_request().unwrap();
    request["outputs"] = json!([{ "name": "score" }, { "name": "contributions" }, { "name": "base" }]);
    let told = body(house.post("/v2/models/explained/infer", &request).await).await;
    let known = body(house.post("/v2/models/credit-local/infer", &request).await).await;
    assert_eq!(told["outputs"], known["outputs"], "{told}\n{known}");
    assert_eq!(told["outputs"][1]["shape"], json!([1, 20]));
    // A cloud that has no such thing says so.
    let refused = house.post("/v2/models/credit-sagemaker-csv/infer", &request).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(body(refused).await["error"].as_str().unwrap().contains("contributions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_requests_are_refused_in_the_protocol_s_form_and_name_the_tensor() {
    let house = house(&models()).await;
    let sample = aigate_local::sample_request().unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut request = sample.clone();
        change(&mut request);
        request
    };
    let number =
        sample["inputs"].as_array().unwrap().iter().position(|input| input["datatype"] == "INT64").unwrap();
    let name = sample["inputs"][number]["name"].as_str().unwrap();
    for (request, said) in [
        (json!({}), "inputs"),
        (json!({ "inputs": [] }), "no input"),
        (with(&|r| r["inputs"][number]["data"] = json!([1.5])), name),
        (with(&|r| r["inputs"][number]["data"] = json!([1, 2])), name),
        (with(&|r| r["inputs"][number]["datatype"] = json!("INT65")), "INT65"),
        (with(&|r| r["inputs"][number]["name"] = json!("agee")), "agee"),
        (with(&|r| r["inputs"][number]["shape"] = json!([1, 1, 1])), name),
        (with(&|r| r["outputs"] = json!([{ "name": "scroe" }])), "did you mean `score`?"),
        (with(&|r| r["ouputs"] = json!([])), "ouputs"),
    ] {
        let response = house.post("/v2/models/credit-local/infer", &request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{request}");
        let body = body(response).await;
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert!(body["error"].as_str().unwrap().contains(said), "{said}: {body}");
    }
    for (method, path, status) in [
        ("GET", "/v2/models/credit-local/infer", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/v2/models/credit-local", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/v2/models/credit-lokal", StatusCode::NOT_FOUND),
        ("GET", "/v2/models/credit-local/versions/9", StatusCode::NOT_FOUND),
        ("GET", "/v2/nothing", StatusCode::NOT_FOUND),
        ("GET", "/v2/models/assistant/ready", StatusCode::NOT_FOUND),
        ("GET", "/v2/models/all/ready", StatusCode::BAD_REQUEST),
    ] {
        let request = house.client.request(method.parse().unwrap(), house.url(path));
        let response = request.header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert!(body(response).await["error"].is_string(), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_rows_are_scored_like_each_alone_and_counted() {
    let house = house(&models()).await;
    let mut request = aigate_local::sample_request().unwrap();
    for input in request["inputs"].as_array_mut().unwrap() {
        let value = input["data"][0].clone();
        input["shape"] = json!([1000, 1]);
        input["data"] = json!(vec![json!([value]); 1000]);
    }
    request["outputs"] = json!([{ "name": "score" }, { "name": "label" }]);
    let response = house.post("/v2/models/credit-local/infer", &request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = body(response).await;
    let scores = body["outputs"][0]["data"].as_array().unwrap();
    assert!(scores.len() == 1000 && scores.iter().all(|score| *score == scores[0]));
    assert_eq!(body["outputs"][1]["datatype"], "BYTES");
    let metrics = house.running.gateway.metrics_text().unwrap();
    assert!(
        metrics.contains(r#"aigate_rows_total{deployment="local/sample/credit-risk"} 1000"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_left_out_in_silence_is_refused() {
    let house = house(&models()).await;
    let sample = aigate_local::sample_request().unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut request = sample.clone();
        change(&mut request);
        request
    };
    let name = sample["inputs"][0]["name"].as_str().unwrap();
    let output =
        |parameters: Value| with(&|r| r["outputs"] = json!([{ "name": "score", "parameters": parameters }]));
    for (request, said) in [
        (
            with(&|r| r["outputs"] = json!([{ "name": "score" }, { "name": "score" }])),
            "`score` is asked for twice",
        ),
        (with(&|r| r["inputs"][0]["dataa"] = json!([1])), "inputs[0].dataa: "),
        (with(&|r| r["inputs"][0]["parameters"] = json!({ "content_type": "str" })), "`content_type`"),
        (
            with(&|r| r["inputs"][0]["parameters"] = json!({ "shared_memory_region": "r" })),
            "`shared_memory_region`",
        ),
        (output(json!({ "classification": 3 })), "output `score`: `classification`"),
        (output(json!({ "calibrated": true })), "`calibrated`"),
        (with(&|r| r["parameters"] = json!({ "priority": 1 })), "`priority`"),
    ] {
        for model in ["credit-local", "credit-sagemaker-csv"] {
            let response = house.post(&format!("/v2/models/{model}/infer"), &request).await;
            let status = response.status();
            let body = body(response).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{model} {body} {said}");
            assert!(body["error"].as_str().unwrap().contains(said), "{said}: {body}");
        }
    }
    // A tensor is named once, by its name, wherever the fault is.
    for (request, said) in [
        (with(&|r| r["inputs"][0]["shape"] = json!([-1])), format!("tensor `{name}`: its shape is [-1]")),
        (
            with(&|r| r["inputs"][0]["datatype"] = json!("bytes")),
            format!("tensor `{name}`: `bytes` is not a datatype"),
        ),
    ] {
        let body = body(house.post("/v2/models/credit-local/infer", &request).await).await;
        assert!(body["error"].as_str().unwrap().starts_with(&said), "{said}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_heads_are_answered_for_what_they_are() {
    let house = house(&models()).await;
    let request = aigate_local::sample_request().unwrap().to_string();
    let ask = |method: &str, path: &str, kind: &str| {
        let request = house.client.request(method.parse().unwrap(), house.url(path)).body(request.clone());
        request.header("content-type", kind).send()
    };
    let json = "application/json";
    let response = ask("GET", "/v2/models/credit-local/infer", json).await.unwrap();
    assert_eq!((response.status(), header(&response, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let response = ask("POST", "/v2/models/credit-local/ready", json).await.unwrap();
    assert_eq!((response.status(), header(&response, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"));
    let response = ask("POST", "/v2/models/%FF/infer", json).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(body(response).await["error"].as_str().unwrap().contains("not UTF-8"));
    let response = ask("POST", "/v2/models/credit-local/infer", "Application/Vnd.Bank+JSON").await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_cancels_the_scoring_upstream() {
    for (model, kind) in [
        ("credit-sagemaker-csv", CloudKind::Aws),
        ("credit-vertex", CloudKind::Google),
        ("credit-azureml", CloudKind::Azure),
    ] {
        let house = House::with_options(&models(), &options()).await;
        let cloud = house.cloud(kind);
        cloud.set_fault(Some(Fault::Hang));
        tokio::select! {
            response = infer(&house, model) => panic!("{kind:?} answered {}", response.status()),
            () = eventually("the cloud sees the call", || cloud.stats().in_flight > 0) => {}
        }
        eventually("the call is given up", || {
            let stats = cloud.stats();
            stats.in_flight == 0 && stats.abandoned_before_head == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_a_weighted_local_model_is_no_degradation() {
    let weighted = all("any_version")
        .replace("failover", "strategy = \"weighted\"\nfailover")
        .replace(r#"target = "sample/credit-risk" }"#, r#"target = "sample/credit-risk", weight = 1 }"#);
    let others = weighted.replace("version = \"3\"", "version = \"3\", weight = 0");
    let house = house(&others).await;
    let response = infer(&house, "credit-risk").await;
    assert_eq!(header(&response, "x-aigate-deployment"), "local/sample/credit-risk");
    assert_eq!(header(&response, "x-aigate-degraded"), "");
    assert_eq!(body(response).await["parameters"]["aigate_degraded"], Value::Null);
}

#[test]
fn check_explains_versions_forms_fallback_and_tensors() {
    let text = "[providers.aws]\nkind = \"aws\"\nregion = \"eu-central-1\"\naccess_key_id = \"a\"\nsecret_access_key = \"s\"\n\
                [providers.local]\nkind = \"local\"\n"
        .to_owned();
    let deployments = [FORMS[1].1, FORMS[2].1, FORMS[0].1].map(|one| one.replacen("credit-risk", "one", 1));
    let [csv, json, local] = [&deployments[0], FORMS[2].1, FORMS[0].1];
    let model = format!("[models.credit]\ntask = \"predict\"\ndeployments = [{csv}, {json}, {local}]\n");
    let file = TempFile::new("explained.toml", &(text + &model));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aigate"));
    let output = command.args(["check", file.0.to_str().unwrap(), "--explain", "credit"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "failover     2 of 3 deployments, in this order",
        "version      3 decides; another one only for callers who name it in the path",
        "    age INT64 [-1]\n",
        "    reason_codes BYTES [-1, 4], on request\n",
        "provider     aws.sagemaker at",
        "    version      3\n",
        "form         CSV without a header: checking_status, duration_months",
        "answer       CSV: score is the row's item itself",
        "form         JSON, rows are lists in `instances`: checking_status",
        "answer       JSON, rows at `/predictions`: score at `/score`",
        "    version      german-credit-1\n    fallback     stands in for the others",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
}
