use aigate_sim::{CloudKind, Fault};
use serde_json::{Value, json};

use super::{ask, client, cloud, json_events, post};

const KEY: (&str, &str) = ("api-key", "simulated-key");

fn hello(text: &str) -> Value {
    json!({"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]})
}

pub(crate) async fn token(url: &str, form: &str) -> (u16, Value) {
    let request = client().post(format!("{url}/tenant/oauth2/v2.0/token")).body(form.to_owned());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn every_family_of_paths_answers() {
    let cloud = cloud(CloudKind::Azure).await;
    for path in [
        "/openai/v1/chat/completions",
        "/openai/deployments/mine/chat/completions?api-version=2024-10-21",
        "/models/chat/completions?api-version=2024-05-01-preview",
    ] {
        let (status, reply) = ask(&format!("{}{path}", cloud.url()), KEY, &hello("hi")).await;
        assert_eq!(status, 200, "{path} {reply}");
        assert_eq!(reply["choices"][0]["message"]["content"], "SIM azure heard: hi");
        assert_eq!(reply["choices"][0]["content_filter_results"]["hate"]["filtered"], false);
        assert_eq!(reply["prompt_filter_results"][0]["prompt_index"], 0);
    }
    for path in [
        "/openai/v1/embeddings",
        "/openai/deployments/mine/embeddings?api-version=2024-10-21",
        "/models/embeddings?api-version=2024-05-01-preview",
    ] {
        let body = json!({"model": "e", "input": "a b"});
        let (status, reply) = ask(&format!("{}{path}", cloud.url()), KEY, &body).await;
        assert_eq!((status, &reply["usage"]["total_tokens"]), (200, &json!(2)), "{path}");
    }
    for path in
        ["/openai/deployments/mine/chat/completions", "/models/chat/completions?api-version=new", "/x"]
    {
        let (status, reply) = ask(&format!("{}{path}", cloud.url()), KEY, &hello("hi")).await;
        assert_eq!((status, &reply["error"]["code"]), (404, &json!("404")), "{path}");
    }
    let path = "/openai/deployments/missing%2Dx/chat/completions?api-version=2024-10-21";
    let (status, reply) = ask(&format!("{}{path}", cloud.url()), KEY, &hello("hi")).await;
    assert_eq!((status, &reply["error"]["code"]), (404, &json!("DeploymentNotFound")));
}

#[tokio::test]
async fn a_stream_begins_with_the_verdict_on_the_prompt() {
    let cloud = cloud(CloudKind::Azure).await;
    let url = format!("{}/openai/v1/chat/completions", cloud.url());
    let mut body = hello("filter-output please");
    body["stream"] = json!(true);
    let (_, text) = post(&url, KEY, &body).await;
    let all = json_events(&text);
    assert_eq!(all[0]["choices"], json!([]));
    assert_eq!(all[0]["prompt_filter_results"][0]["content_filter_results"]["jailbreak"]["detected"], false);
    let last = &all.last().unwrap()["choices"][0];
    assert_eq!(last["finish_reason"], "content_filter");
    assert_eq!(last["content_filter_results"]["hate"]["filtered"], true);
    let (status, reply) = ask(&url, KEY, &hello("filter-me")).await;
    assert_eq!((status, &reply["error"]["code"]), (400, &json!("content_filter")));
    assert_eq!(reply["error"]["innererror"]["code"], "ResponsibleAIPolicyViolation");
}

#[tokio::test]
async fn entra_tokens_work_until_they_expire() {
    let cloud = cloud(CloudKind::Azure).await;
    let url = cloud.url();
    let chat = format!("{url}/openai/v1/chat/completions");
    let form = "grant_type=client_credentials&client_id=me&client_secret=simulated-secret\
                &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
    let (status, reply) = token(&url, form).await;
    assert_eq!((status, &reply["token_type"], &reply["expires_in"]), (200, &json!("Bearer"), &json!(3600)));
    let bearer = format!("Bearer {}", reply["access_token"].as_str().unwrap());
    assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 200);
    cloud.set_fault(Some(Fault::ExpiredToken));
    assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 401);
    assert_eq!(ask(&chat, KEY, &hello("a")).await.0, 401);
    let (_, reply) = token(&url, form).await;
    let bearer = format!("Bearer {}", reply["access_token"].as_str().unwrap());
    assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 200);
    cloud.set_fault(None);
    assert_eq!(ask(&chat, KEY, &hello("a")).await.0, 200);
    assert_eq!(ask(&chat, ("authorization", "Bearer simulated-key"), &hello("a")).await.0, 200);

    let (_, reply) = token(&url, &form.replace("cognitiveservices.azure.com", "management.azure.com")).await;
    let bearer = format!("Bearer {}", reply["access_token"].as_str().unwrap());
    assert_eq!(ask(&chat, ("authorization", &bearer), &hello("a")).await.0, 401);
    let (status, reply) = token(&url, &form.replace("simulated-secret", "wrong")).await;
    assert_eq!((status, &reply["error"]), (401, &json!("invalid_client")));
    assert_eq!(cloud.stats().token_requests, 4);
}

#[tokio::test]
async fn the_metadata_service_wants_its_header() {
    let cloud = cloud(CloudKind::Azure).await;
    let url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fai.azure.com",
        cloud.url()
    );
    assert_eq!(client().get(&url).send().await.unwrap().status(), 400);
    let reply = client().get(&url).header("metadata", "true").send().await.unwrap().text().await.unwrap();
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!((&reply["expires_in"], &reply["access_token"]), (&json!("3600"), &json!("simulated-token-1")));
}
