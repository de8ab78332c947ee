//! Kept answers stay with those for whom they were made: a caller tries to get another one's in every way that the API allows,
//! and the cloud is asked anew each time.

use std::time::Duration;

use aigate::running::Running;
use aigate_sim::{CloudKind, Fault};
use serde_json::{Value, json};

use crate::{
    cache::{AZURE, CHAT, asked, kept, metric, plan, question, send, streamed, usual},
    harness::{House, Redis, Reply, TempFile, bearer, eventually, hash_of, key, secret},
};

async fn ask_as(house: &House, name: &str, body: &Value) -> Reply {
    send(house.url(CHAT), &[("authorization", &bearer(name))], body.to_string()).await
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label} = \"{value}\"")).collect();
    key(name, &format!("labels = {{ {} }}", labels.join(", ")))
}

/// The owner asks and is answered; then another one tries to get that answer, in each way anew.
async fn nobody_gets(house: &House, owner: &str, tries: Vec<(Vec<(&str, &str)>, String)>) {
    for (number, (headers, body)) in tries.into_iter().enumerate() {
        let question = question("kept", &format!("hello {number}"));
        let mine = ask_as(house, owner, &question).await;
        assert_eq!((mine.status, mine.cache()), (200, "miss"), "{}", mine.text);
        let before = asked(house, CloudKind::Azure);
        let body = body.replace("ello", &format!("ello {number}"));
        let reply = send(house.url(CHAT), &headers, body.clone()).await;
        let what = format!("{headers:?} {body}: {:?} {}", reply.headers, reply.text);
        assert!(!reply.text.contains(&mine.id()), "another one's answer: {what}");
        assert!(!["hit", "stale", "coalesced"].contains(&reply.cache()), "{what}");
        assert!(!reply.headers.contains_key("age"), "{what}");
        let made = asked(house, CloudKind::Azure) - before;
        assert!(made == 1 || (made == 0 && (400..500).contains(&reply.status)), "{what}");
        let again = ask_as(house, owner, &question).await;
        assert_eq!((again.cache(), again.id()), ("hit", mine.id()), "the owner still has it: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_and_no_body_of_another_key_gets_a_kept_answer() {
    let more = usual()
        + &kept("twin", AZURE, "ttl = \"10m\"")
        + &key("alice", "")
        + &key("mallory", "")
        + &key("other", "models = [\"azure\"]");
    let house = House::new(&more).await;
    let (bearer, x_api_key) = (bearer("mallory"), secret("mallory"));
    let alice = secret("alice");
    let me = ("authorization", bearer.as_str());
    let same = || question("kept", "hello").to_string();
    let with = |name: &str, value: Value| {
        let mut body = question("kept", "hello");
        body[name] = value;
        body.to_string()
    };
    let mut tries = Vec::new();
    // The same body under a key of one's own, however it is presented, whatever else is said besides.
    for own in [
        me,
        ("Authorization", &bearer),
        ("AUTHORIZATION", &bearer),
        ("x-api-key", &x_api_key),
        ("X-API-Key", &x_api_key),
        ("api-key", &x_api_key),
    ] {
        tries.push((vec![own], same()));
    }
    for claim in [
        ("x-aigate-key", "alice"),
        ("x-aigate-tenant", "alice"),
        ("x-aigate-caller", "alice"),
        ("x-user", "alice"),
        ("x-forwarded-user", "alice"),
        ("openai-organization", "alice"),
        ("openai-project", "alice"),
        ("x-request-id", "alice"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("cookie", "key=alice"),
        ("if-none-match", "*"),
        ("if-modified-since", "Wed, 21 Oct 2099 07:28:00 GMT"),
        ("cache-control", "only-if-cached"),
        ("cache-control", "max-stale=31536000"),
        ("cache-control", "public"),
        ("cache-control", "max-age=31536000, stale-if-error=31536000"),
        ("cache-control", "no-cache"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("x-aigate-cache", "use"),
        ("x-aigate-cache", "bypass"),
        ("x-aigate-cache", "hit"),
        ("x-aigate-cache", "public"),
        ("x-aigate-degraded", "accept"),
        ("x-aigate-degraded", "stale"),
        ("age", "0"),
        ("vary", "*"),
        ("range", "bytes=0-"),
        ("x-http-method-override", "GET"),
    ] {
        tries.push((vec![me, claim], same()));
        tries.push((vec![claim, me], same()));
    }
    // Another one's key beside one's own: wrong secrets, or the one that is not looked at.
    tries.push((vec![me, ("x-api-key", "alice")], same()));
    tries.push((vec![("x-api-key", "sha256:alice"), me], same()));
    for wrong in
        ["Bearer alice", "Bearer", "Bearer ", "Basic YWxpY2U6", "Bearer key alice", "bearer \u{a0}alice"]
    {
        tries.push((vec![("authorization", wrong)], same()));
    }
    tries.push((vec![("api-key", "key alice")], same()));
    tries.push((vec![], same()));
    tries.push((vec![me, ("content-type", "application/vnd.api+json; charset=utf-8")], same()));
    // What a body may say of its caller.
    for (name, value) in [
        ("user", json!("alice")),
        ("metadata", json!({ "key": "alice", "tenant": "alice" })),
        ("prompt_cache_key", json!("alice")),
        ("safety_identifier", json!("alice")),
        ("key", json!("alice")),
        ("cache", json!({ "scope": "public" })),
        ("tenant", json!("key alice")),
        ("stream", json!(true)),
        ("stream_options", json!({ "include_usage": true })),
        ("temperature", json!(0.0)),
        ("n", json!(1)),
        ("store", json!(true)),
        ("model", json!("twin")),
        ("model", json!("kept ")),
        ("model", json!("KEPT")),
        ("model", json!("azure/gpt-4.1-mini")),
        ("model", json!("azure")),
        ("scope", json!("public")),
    ] {
        tries.push((vec![me], with(name, value)));
    }
    // The same request in other letters, and requests that two readers may read differently.
    for body in [
        r#"{"messages":[{"role":"user","content":"hello"}],"temperature":0,"model":"kept"}"#,
        "\n{ \"temperature\":\t0, \"model\" : \"kept\" , \"messages\" : [ { \"content\":\"hello\", \"role\":\"user\" } ] }\r\n",
        r#"{"m\u006fdel":"kept","messages":[{"role":"user","content":"\u0068ello"}],"temperature":0e0}"#,
        r#"{"model":"kept","model":"twin","messages":[{"role":"user","content":"hello"}],"temperature":0}"#,
        r#"{"model":"kept","m\u006fdel":"twin","messages":[{"role":"user","content":"hello"}],"temperature":0}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":"x","content":"hello"}],"temperature":0}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":"x"}],"messages":[{"role":"user","content":"hello"}],"temperature":0}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}],"temperature":0}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":"hello","name":"alice"}],"temperature":0}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":"hello"}],"temperature":0}{"user":"alice"}"#,
        r#"{"model":"kept","messages":[{"role":"user","content":"hello"}],"temperature":0,"user":"\ud800alice"}"#,
    ] {
        tries.push((vec![me], body.to_owned()));
    }
    nobody_gets(&house, "alice", tries).await;
    // Mallory has answers of her own now, which are not Alice's either.
    let same = question("kept", "hello 0");
    let own = ask_as(&house, "mallory", &same).await;
    assert_eq!(own.cache(), "hit");
    assert_ne!(own.id(), ask_as(&house, "alice", &same).await.id());

    // With both secrets in one request it is one caller: the one of the header that counts, in the answer as at the door.
    let both = [("authorization", bearer.as_str()), ("x-api-key", alice.as_str())];
    for headers in [both.to_vec(), both.iter().rev().copied().collect()] {
        assert_eq!(send(house.url(CHAT), &headers, same.to_string()).await.id(), own.id());
    }
    // Who may not use the model gets nothing of it, kept or not.
    let refused = ask_as(&house, "other", &same).await;
    assert_eq!((refused.status, refused.cache()), (403, ""));
    assert_eq!(house.cloud(CloudKind::OpenAi).stats().seen, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_caller_however_it_is_presented_and_while_its_secret_is_replaced() {
    let more = usual() + &key("alice", &format!("second_hash = \"{}\"", hash_of("alice-next")));
    let house = House::new(&more).await;
    let first = ask_as(&house, "alice", &question("kept", "hello")).await;
    for (name, value) in [
        ("x-api-key", secret("alice")),
        ("api-key", secret("alice")),
        ("authorization", format!("bearer {}", secret("alice-next"))),
    ] {
        let reply = send(house.url(CHAT), &[(name, &value)], question("kept", "hello").to_string()).await;
        assert_eq!((reply.cache(), reply.id()), ("hit", first.id()), "{name}");
    }
    assert_eq!(asked(&house, CloudKind::Azure), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_built_to_run_together_do_not() {
    let names = [
        "a", "key", "label", "team", "t", "team-x", "key_a", "public", "-", "A", "a.b", "a/b", "a%20b",
        "None", "../a",
    ];
    let values = ["x", "team x", "x y", "key a", "label team x", "x  ", "X", "team"];
    let mut more =
        kept("kept", AZURE, "ttl = \"10m\"") + &kept("shared", AZURE, "ttl = \"10m\"\nscope = \"team\"");
    names.iter().for_each(|name| more += &key(name, ""));
    for (place, value) in values.iter().enumerate() {
        more += &labelled(&format!("holder-{place}"), &[("team", value)]);
        // The same value of another label counts for nothing; nor does a label whose name begins alike.
        more +=
            &labelled(&format!("stranger-{place}"), &[("project", value), ("team2", value), ("Team", value)]);
    }
    // Says the same as another one, and is the same tenant.
    more += &labelled("partner", &[("project", "p"), ("team", "x")]);
    let house = House::new(&more).await;
    let everyone: Vec<String> = names
        .iter()
        .map(|name| (*name).to_owned())
        .chain((0..values.len()).flat_map(|place| [format!("holder-{place}"), format!("stranger-{place}")]))
        .collect();
    for model in ["kept", "shared"] {
        let before = asked(&house, CloudKind::Azure);
        let mut ids = std::collections::HashSet::new();
        for (count, name) in everyone.iter().enumerate() {
            let reply = ask_as(&house, name, &question(model, "hello")).await;
            assert_eq!((reply.status, reply.cache()), (200, "miss"), "{model} {name}: {}", reply.text);
            assert!(ids.insert(reply.id()), "{name}");
            assert_eq!(asked(&house, CloudKind::Azure) - before, count as u64 + 1, "{model} {name}");
        }
        for name in &everyone {
            assert_eq!(
                ask_as(&house, name, &question(model, "hello")).await.cache(),
                "hit",
                "{model} {name}"
            );
        }
    }
    assert_eq!(ask_as(&house, "partner", &question("kept", "hello")).await.cache(), "miss");
    let shared = ask_as(&house, "partner", &question("shared", "hello")).await;
    assert_eq!(
        (shared.cache(), shared.id()),
        ("hit", ask_as(&house, "holder-0", &question("shared", "hello")).await.id())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_is_shared_by_all_who_may_use_the_model_and_by_nobody_else() {
    let more = kept("kept", AZURE, "ttl = \"10m\"\nscope = \"public\"")
        + &key("alice", "")
        + &labelled("bob", &[("team", "x")])
        + &key("late", "expires = \"2001-01-01T00:00:00Z\"")
        + &key("gone", "revoked = true")
        + &key("embeds", "tasks = [\"chat\"]\nmodels = [\"azu*\"]");
    let house = House::new(&more).await;
    let first = ask_as(&house, "alice", &question("kept", "hello")).await;
    assert_eq!(ask_as(&house, "bob", &question("kept", "hello")).await.id(), first.id());
    for name in ["late", "gone", "embeds", "nobody"] {
        let reply = ask_as(&house, name, &question("kept", "hello")).await;
        assert!((400..500).contains(&reply.status) && reply.cache().is_empty(), "{name}: {}", reply.text);
        assert!(!reply.text.contains("SIM azure"), "{name}");
    }
    assert_eq!(asked(&house, CloudKind::Azure), 1);
}

/// On one thread: when a call is counted as under way, it has joined those that are equal.
#[tokio::test]
async fn nobody_joins_the_call_of_another_tenant_that_is_under_way() {
    let teams = "ttl = \"10m\"\nscope = \"team\"";
    let more = usual()
        + &kept("shared", AZURE, teams)
        + &labelled("alice", &[("team", "x")])
        + &labelled("mallory", &[("team", "y"), ("project", "x")])
        + &key("x", "");
    for model in ["kept", "shared"] {
        for stream in [false, true] {
            let house = House::new(&more).await;
            let cloud = house.cloud(CloudKind::Azure);
            cloud.set_fault(Some(Fault::SlowFirstByte(Duration::from_millis(1500))));
            let mut body = question(model, "hello");
            body["stream"] = json!(stream);
            let begin = |name: &str, body: &Value| {
                let (url, bearer, body) = (house.url(CHAT), bearer(name), body.to_string());
                tokio::spawn(async move { send(url, &[("authorization", &bearer)], body).await })
            };
            let names = ["alice", "mallory", "x"];
            let firsts = names.map(|name| begin(name, &body));
            eventually("three calls are under way", || cloud.stats().in_flight == 3).await;
            // Each one's own second call joins the first.
            let seconds = names.map(|name| begin(name, &body));
            eventually("all wait", || metric(&house, "aigate_calls_in_flight") == 6.0).await;
            let mut ids = std::collections::HashSet::new();
            for (first, second) in firsts.into_iter().zip(seconds) {
                let (first, second) = (first.await.unwrap(), second.await.unwrap());
                assert_eq!((first.cache(), second.cache()), ("miss", "coalesced"));
                assert_eq!(first.id(), second.id());
                assert!(ids.insert(first.id()));
            }
            assert_eq!((ids.len(), cloud.stats().seen), (3, 3), "{model} {stream}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_gives_nobody_the_stale_answer_of_another_tenant() {
    let more = "[defaults.retry]\nmax_retries = 0\n".to_owned()
        + &kept("kept", AZURE, "ttl = \"20ms\"\nstale_if_error = \"1h\"")
        + &key("alice", "")
        + &key("mallory", "");
    let house = House::new(&more).await;
    let mine = ask_as(&house, "alice", &question("kept", "hello")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 500 }));
    for body in [question("kept", "hello"), streamed(question("kept", "hello"))] {
        let reply = ask_as(&house, "mallory", &body).await;
        assert_eq!((reply.status, reply.header("x-aigate-degraded")), (503, ""));
        assert!(!reply.text.contains("SIM azure"));
        let own = ask_as(&house, "alice", &body).await;
        assert_eq!((own.cache(), own.id()), ("stale", mine.id()));
    }
}

/// The public key of an identity provider, and its tokens until the year 2100.
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"t","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}"#;
/// Subject `alice`, department `a`.
const ALICE: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6InQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLnRlc3QvIiwiYXVkIjoiYWlnYXRlIiwiZXhwIjo0MTAyNDQ0ODAwLCJzdWIiOiJhbGljZSIsImRlcGFydG1lbnQiOiJhIn0.-sbJFdG5wj2se46z0IerGW0tlYPi4v2m2GfsZAgfHN9wVRB_LSpqIjZ-zZA_INIpnolpaR6TmMBcwxMCTgRaDA";
/// Subject `bob`, department `a`.
const BOB: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6InQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLnRlc3QvIiwiYXVkIjoiYWlnYXRlIiwiZXhwIjo0MTAyNDQ0ODAwLCJzdWIiOiJib2IiLCJkZXBhcnRtZW50IjoiYSJ9.6nvI-ZRx8omlM_EWc-4qOfmB2iZ1msDeZWzKIQzPd5Lio_HV1kWdPOJmnub9ZQoEKl5PnLGxFnxL0wDXPkKzBg";
/// Subject `key alice`, department `label team a`.
const KEY_ALICE: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6InQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLnRlc3QvIiwiYXVkIjoiYWlnYXRlIiwiZXhwIjo0MTAyNDQ0ODAwLCJzdWIiOiJrZXkgYWxpY2UiLCJkZXBhcnRtZW50IjoibGFiZWwgdGVhbSBhIn0.1vNDdu2YNA-kLSUuToxNZ9n6TTYkMMmM6HV9pTStiqJcJudOX6JLMvp-mVS7HB3u9VhEY4-oAUulwvlPQrK_DA";
/// Subject `alïce`, department `a`.
const ALIECE: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6InQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLnRlc3QvIiwiYXVkIjoiYWlnYXRlIiwiZXhwIjo0MTAyNDQ0ODAwLCJzdWIiOiJhbFx1MDBlZmNlIiwiZGVwYXJ0bWVudCI6ImEifQ.xFW5qTYYn8xnkHJfkoxK_JG6A_0MhmgdDvjgGIcba06fHx9iHtPTAba3AKTlcBDCE2Cm7jI6MT56AQtCUJhRAw";

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_token_and_that_of_a_key_do_not_meet_whatever_they_are_called() {
    let jwks = TempFile::new("jwks.json", JWKS);
    let issuer = format!(
        "[jwt.corp]\nissuer = \"https://login.test/\"\naudience = \"aigate\"\njwks_file = \"{}\"\nlabels = {{ team = \"department\" }}\n",
        jwks.0.display()
    );
    let names = ["alice", "corp", "corp.alice", "corp/alice", "corp%3Aalice", "key%20alice", "al%C3%AFce"];
    let keys: String = names.iter().map(|name| key(name, "")).collect();
    let more = usual() + &kept("shared", AZURE, "ttl = \"10m\"\nscope = \"team\"") + &issuer + &keys;
    let house = House::new(&more).await;
    let tokens = [ALICE, BOB, KEY_ALICE, ALIECE].map(str::to_owned);
    for (count, secret) in tokens.into_iter().chain(names.map(secret)).enumerate() {
        let bearer = format!("Bearer {secret}");
        let ask = async || {
            send(house.url(CHAT), &[("authorization", &bearer)], question("kept", "hello").to_string()).await
        };
        let (reply, again) = (ask().await, ask().await);
        assert_eq!((reply.cache(), again.cache()), ("miss", "hit"), "{count}: {}", reply.text);
        assert_eq!(asked(&house, CloudKind::Azure), count as u64 + 1);
    }
    // By their label: one team, and another one that has only the looks of it.
    let ask = async |token: &str| {
        send(house.url(CHAT), &[("x-api-key", token)], question("shared", "hello").to_string()).await
    };
    assert_eq!(
        [ask(ALICE).await.cache(), ask(BOB).await.cache(), ask(KEY_ALICE).await.cache()],
        ["miss", "hit", "miss"]
    );
}

/// A key that is called like a token's holder would be that holder: for the cache, and for limits and budgets too.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_cannot_be_called_like_the_holder_of_a_token() {
    let jwks = TempFile::new("jwks.json", JWKS);
    let house = House::new("").await;
    let text = usual()
        + &key("corp:alice", "")
        + &format!(
            "[jwt.corp]\nissuer = \"https://login.test/\"\naudience = \"aigate\"\njwks_file = \"{}\"\n",
            jwks.0.display()
        );
    let credentials = crate::harness::user_credentials();
    let text =
        crate::harness::listeners("") + &crate::harness::providers(&house.clouds, &credentials.0) + &text;
    let checked = aigate::config::load(&aigate::config::Source::Text(text)).and_then(aigate::config::check);
    let faults = checked.expect_err("`corp:alice` is what the holder of a token of `corp` is called");
    assert!(aigate::config::report(&faults).contains("corp:alice"));
}

/// Gateways with this prefix share what they keep.
fn shared(redis: &Redis, prefix: &str) -> String {
    format!("[shared]\nredis = \"{}\"\nprefix = \"{prefix}\"\ntimeout = \"5s\"\n", redis.url())
}

/// The keys of the answers that are kept in Redis.
fn answers(redis: &Redis) -> Vec<String> {
    let told = redis.command(&[b"KEYS", b"*:answer:*"]);
    told.lines().filter(|line| line.contains(":answer:")).map(str::to_owned).collect()
}

/// Another replica, with the clouds of a house, that has reached Redis: it has been told there that an answer is not there. What
/// it asks for that is not kept.
async fn replica(house: &House, more: &str) -> Running {
    let warm = kept("warm", r#"{ provider = "openai", target = "gpt-4.1-mini" }"#, "ttl = \"10m\"");
    let (plan, _credentials) = plan(house, &(more.to_owned() + &warm));
    let running = Running::start(&plan).await.unwrap();
    let told = || {
        let text = running.gateway.metrics_text().unwrap();
        text.lines().any(|line| line.starts_with("aigate_redis_duration_seconds_count{what=\"get\"}"))
    };
    for _ in 0..1_000 {
        at(&running, "alice", &question("warm", "filter-output")).await;
        if told() {
            return running;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("Redis was not reached: {}", running.gateway.metrics_text().unwrap());
}

async fn at(replica: &Running, name: &str, body: &Value) -> Reply {
    let url = format!("http://{}{CHAT}", replica.address);
    send(url, &[("x-api-key", &secret(name))], body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn replicas_share_what_is_kept_in_redis_and_tenants_do_not() {
    let redis = Redis::start();
    let house = House::new("").await;
    let keys = key("alice", "") + &key("mallory", "") + &labelled("x", &[("team", "alice")]);
    let setup = |prefix: &str, models: &str| shared(&redis, prefix) + models + &keys;
    let (body, stream) = (question("kept", "hello"), streamed(question("kept", "hello")));
    let one = replica(&house, &setup("a", &usual())).await;
    let first = at(&one, "alice", &body).await;
    assert_eq!(first.cache(), "miss");
    eventually("it is put", || answers(&redis).len() == 1).await;

    let two = replica(&house, &setup("a", &usual())).await;
    for body in [&body, &stream] {
        let again = at(&two, "alice", body).await;
        assert_eq!((again.cache(), again.id()), ("hit", first.id()));
        assert_eq!(
            (again.header("x-aigate-cost-usd"), again.header("x-aigate-deployment")),
            ("0", "azure/gpt-4.1-mini")
        );
    }
    assert_eq!(asked(&house, CloudKind::Azure), 1);

    // Another tenant, another group of replicas, another scope, another model of that name.
    let other = kept("kept", &AZURE.replace("-mini", ""), "ttl = \"10m\"");
    let teams = kept("kept", AZURE, "ttl = \"10m\"\nscope = \"team\"");
    let strangers = [
        ("a", usual(), "mallory"),
        ("b", usual(), "alice"),
        ("a", other, "alice"),
        ("a", teams, "x"),
        ("a", kept("kept", AZURE, "ttl = \"10m\"\nscope = \"public\""), "alice"),
    ];
    for (count, (prefix, models, name)) in strangers.iter().enumerate() {
        let replica = replica(&house, &setup(prefix, models)).await;
        let reply = at(&replica, name, &body).await;
        assert_eq!((reply.status, reply.cache()), (200, "miss"), "{prefix} {name} {models}");
        assert_ne!(reply.id(), first.id());
        assert_eq!(asked(&house, CloudKind::Azure), count as u64 + 2);
    }
    eventually("all are put", || answers(&redis).len() == 6).await;

    // Whoever writes in Redis can harm, but an answer under another one's key is none.
    let mut there = answers(&redis);
    // The other group's answer of the same tenant would be a right one.
    there.retain(|key| key.starts_with("{a}"));
    assert_eq!(there.len(), 5);
    for (from, to) in there.iter().zip(there.iter().cycle().skip(1)) {
        let spare = format!("spare {to}");
        redis.command(&[b"COPY", from.as_bytes(), spare.as_bytes()]);
    }
    for to in &there {
        redis.command(&[b"RENAME", format!("spare {to}").as_bytes(), to.as_bytes()]);
    }
    let before = asked(&house, CloudKind::Azure);
    for name in ["alice", "mallory"] {
        let fresh = replica(&house, &setup("a", &usual())).await;
        assert_eq!(at(&fresh, name, &body).await.cache(), "miss", "{name}");
    }
    assert_eq!(asked(&house, CloudKind::Azure), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn what_redis_keeps_is_bounded_aged_and_renewed_like_what_is_kept_here() {
    let redis = Redis::start();
    let house = House::new("").await;
    let setup = |cache: &str| {
        shared(&redis, "a")
            + &kept("kept", AZURE, cache)
            + &key("alice", "")
            + "[cache]\nmax_entry_bytes = \"8KiB\"\n"
    };
    const OLD: Duration = Duration::from_millis(5_200);
    let (ten_minutes, short) = ("ttl = \"10m\"", "ttl = \"5s\"\nstale_if_error = \"1h\"");
    let one = replica(&house, &setup(ten_minutes)).await;
    let large = question("kept", &"word ".repeat(4_000));
    assert_eq!(at(&one, "alice", &large).await.cache(), "miss");
    let first = at(&one, "alice", &question("kept", "hello")).await;
    eventually("it is put", || !answers(&redis).is_empty()).await;
    assert_eq!(answers(&redis).len(), 1, "what is too large is kept nowhere");
    let two = replica(&house, &setup(ten_minutes)).await;
    assert_eq!(at(&two, "alice", &large).await.cache(), "miss");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let again = at(&two, "alice", &question("kept", "hello")).await;
    assert_eq!((again.cache(), again.id()), ("hit", first.id()));
    assert!(again.header("age").parse::<u64>().unwrap() >= 1, "its age goes with it");

    // Two replicas have the same old answer. One makes a fresh one: the other takes that, and does not make one more.
    let (three, four) = (replica(&house, &setup(short)).await, replica(&house, &setup(short)).await);
    let body = question("kept", "bonjour");
    let old = at(&three, "alice", &body).await;
    eventually("it is put", || answers(&redis).len() == 2).await;
    assert_eq!(at(&four, "alice", &body).await.id(), old.id());
    tokio::time::sleep(OLD).await;
    let value =
        || answers(&redis).iter().map(|key| redis.command(&[b"GET", key.as_bytes()])).collect::<String>();
    let before = value();
    let fresh = at(&three, "alice", &body).await;
    assert_eq!(fresh.cache(), "miss");
    eventually("it is put", || value() != before).await;
    let taken = at(&four, "alice", &body).await;
    assert_eq!((taken.cache(), taken.id()), ("hit", fresh.id()));
    // In an outage it is given for longer.
    house.cloud(CloudKind::Azure).set_fault(Some(Fault::ServerError { status: 500 }));
    tokio::time::sleep(OLD).await;
    let five = replica(&house, &setup(short)).await;
    let stale = at(&five, "alice", &body).await;
    assert_eq!(stale.cache(), "stale", "{}", stale.text);
}
