//! Each cloud answering a plain HTTP client, and each fault being what it says.

#[cfg(test)]
mod clouds {
    pub(crate) mod aws;
    pub(crate) mod azure;
    pub(crate) mod azureml;
    pub(crate) mod faults;
    pub(crate) mod google;
    pub(crate) mod openai;
    pub(crate) mod predict;
    pub(crate) mod sagemaker;
    pub(crate) mod vertex;

    use aigate_sim::{Cloud, CloudKind, Options, start};
    use serde_json::Value;

    pub(crate) async fn cloud(kind: CloudKind) -> Cloud {
        start(kind, Options::default()).await.unwrap()
    }

    pub(crate) fn client() -> reqwest::Client {
        reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
    }

    /// Posts JSON with one header for the credentials; status and body.
    pub(crate) async fn post(url: &str, (name, key): (&str, &str), body: &Value) -> (u16, String) {
        let request = client().post(url).header(name, key).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The same, with the body as JSON.
    pub(crate) async fn ask(url: &str, credentials: (&str, &str), body: &Value) -> (u16, Value) {
        let (status, text) = post(url, credentials, body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The data of server-sent events.
    pub(crate) fn events(text: &str) -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.map(str::to_owned).collect()
    }

    pub(crate) fn json_events(text: &str) -> Vec<Value> {
        events(text).iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
    }
}
