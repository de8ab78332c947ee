//! URLs, passwords, TLS, and a Redis that cannot be used.

use std::{
    io::Write,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use secrecy::SecretString;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::check;

const PASSWORD: &str = "open-sesame";

/// What is wrong with a URL and certificates for it, and the field it is wrong in.
fn fault_of(url: &str, ca: Option<&[u8]>) -> Result<(), (&'static str, String)> {
    check(&SecretString::from(url), ca, "p", PATIENT)
}

fn fault(url: &str) -> String {
    let (field, fault) = fault_of(url, None).unwrap_err();
    assert_eq!(field, "url");
    assert!(!fault.contains(PASSWORD), "{fault}");
    fault
}

#[test]
fn urls_of_redis_are_right_and_others_are_not() {
    for url in [
        "redis://cache",
        "redis://user:p%40ss@cache:6380/3",
        "rediss://:secret@cache.example.com",
        "redis+unix:///run/redis.sock?db=2&user=u&pass=p",
        "valkey://cache",
    ] {
        fault_of(url, None).unwrap();
    }
    for (url, part) in [
        ("", "no URL of a Redis"),
        ("http://:open-sesame@cache", "no URL of a Redis"),
        ("redis://:open-sesame@", "no URL of a Redis"),
        ("redis://:open-sesame@cache/x", "database number"),
        ("redis://:open-sesame@0.0.0.0", "wildcard"),
        ("rediss://:open-sesame@cache/#insecure", "certificates are always checked"),
        ("redis://:open-sesame@cache?protocol=resp2", "parameter `protocol`"),
        ("redis://cache?password=open-sesame", "parameter `password`"),
    ] {
        let fault = fault(url);
        assert!(fault.contains(part), "{url}: {fault}");
    }
    let certificate = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    for (url, ca, part) in [
        ("redis://cache", &certificate[..], "`rediss://` URLs only"),
        ("rediss://cache", b"nothing", "no certificate in PEM"),
        ("rediss://cache", certificate, "cannot be used"),
    ] {
        let (_, fault) = fault_of(url, Some(ca)).unwrap_err();
        assert!(fault.contains(part), "{fault}");
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings("redis://cache", PATIENT);
        change(&mut settings);
        Shared::new(settings).unwrap_err()
    };
    assert!(with(&|settings| settings.prefix = "a{b".to_owned()).contains("prefix"));
    assert!(with(&|settings| settings.prefix = String::new()).contains("prefix"));
    assert!(with(&|settings| settings.timeout = Duration::ZERO).contains("timeout"));
    assert!(with(&|settings| settings.timeout = HOUR).contains("timeout"));
}

#[test]
fn a_check_names_the_setting_that_is_wrong() {
    let second = Duration::from_secs(1);
    let which = |url: &str, ca: Option<&[u8]>, prefix: &str, timeout| {
        check(&SecretString::from(url), ca, prefix, timeout).map_err(|(setting, _)| setting)
    };
    assert_eq!(which("redis://cache", None, "t", Duration::from_millis(1)), Ok(()));
    assert_eq!(which("redis://cache", None, "t", 10 * second), Ok(()));
    assert_eq!(which("http://cache", None, "t", second), Err("url"));
    assert_eq!(which("rediss://cache", Some(b"nothing"), "t", second), Err("ca"));
    assert_eq!(which("redis://cache", Some(b"-----BEGIN CERTIFICATE-----"), "t", second), Err("ca"));
    assert_eq!(which("redis://cache", None, "a b", second), Err("prefix"));
    assert_eq!(which("redis://cache", None, "t", Duration::from_micros(999)), Err("timeout"));
    assert_eq!(which("redis://cache", None, "t", 11 * second), Err("timeout"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_logged_now_and_then() {
    let log = &*LOG;
    let shared = Shared::new(settings("redis+unix:///nobody.sock", PATIENT)).unwrap();
    let name = "long".repeat(200);
    for _ in 0..9 {
        shared.take(&[place(&name, 1, "a")]).await.unwrap_err();
    }
    let said = log.text();
    let times =
        said.lines().filter(|line| line.contains("cannot be asked") && line.contains("1 to 512 bytes"));
    assert_eq!(times.count(), 4, "the first, second, fourth and eighth time: {said}");
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    assert!(Shared::new(settings("redis://cache", PATIENT)).unwrap_err().contains("runtime"));
}

/// Where the log of all tests goes.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn the_password_is_told_to_redis_and_nobody_else() {
    let log = &*LOG;
    let mut server = Server::start_with(&["--requirepass", PASSWORD]);

    let wrong = settings(&format!("{}?pass=not-{PASSWORD}", server.url()), PATIENT);
    let wrong = Shared::new(wrong).unwrap();
    eventually("the wrong password is refused", async || log.text().contains("WRONGPASS")).await;
    let lost = wrong.take(&[place("p", 1, "a")]).await.unwrap_err();
    assert!(lost.why.contains("WRONGPASS"), "{lost}");

    let right = settings(&format!("{}?pass={PASSWORD}", server.url()), PATIENT);
    let debug = format!("{right:?}");
    let right = Shared::new(right).unwrap();
    is_up(&right).await;
    assert!(is_granted(&right, &[place("p", 1, "a")]).await);
    server.kill();
    is_down(&right).await;
    eventually("it is logged", async || log.text().contains("the shared Redis is lost")).await;

    let said = format!("{debug} {right:?} {wrong:?} {lost} {lost:?} {}", log.text());
    assert!(!said.contains(PASSWORD), "{said}");
    assert!(said.contains("the shared Redis is there"), "{said}");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn tls_is_spoken_with_who_the_certificate_names_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, &pem).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let tls =
        ["--tls-port", &port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"];
    let _server = Server::start_with(&[&tls[..], &["--bind", "127.0.0.1"]].concat());

    let mut right = settings(&format!("rediss://localhost:{port}"), PATIENT);
    right.ca = Some(pem.into_bytes());
    let right = Shared::new(right).unwrap();
    is_up(&right).await;
    assert!(is_granted(&right, &[place("p", 1, "a")]).await);

    // The system knows nobody who vouches for it.
    let stranger = Shared::new(settings(&format!("rediss://localhost:{port}"), PATIENT)).unwrap();
    let mut why = String::new();
    eventually("it is refused", async || {
        why = stranger.take(&[place("p", 1, "b")]).await.unwrap_err().why.to_string();
        why != "not connected yet"
    })
    .await;
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
#[ignore = "needs redis-server: cargo xtask test installs it"]
async fn each_round_trip_is_observed() {
    let server = Server::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut settings = settings(&server.url(), PATIENT);
    let sink = Arc::clone(&seen);
    settings.observe = Some(Arc::new(move |what, took| sink.lock().unwrap().push((what, took))));
    let shared = Shared::new(settings).unwrap();
    is_up(&shared).await;
    let take = place("p", 1, "a");
    assert!(is_granted(&shared, std::slice::from_ref(&take)).await);
    shared.settle([take.settle(0)]);
    arrived(&shared).await;
    let seen = seen.lock().unwrap();
    for what in ["take", "settle"] {
        assert_eq!(
            seen.iter().filter(|(seen, took)| *seen == what && *took > Duration::ZERO).count(),
            1,
            "{seen:?}"
        );
    }
}
