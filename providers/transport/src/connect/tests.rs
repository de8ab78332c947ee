//! A server with a certificate of its own making, and a proxy in front of it.

use std::sync::Mutex;

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;
use crate::{Client, Request, Settings};

/// Serves `hello` over TLS; the port and the certificate in PEM.
async fn server() -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    (port, certified.cert.pem())
}

/// A proxy that opens tunnels and remembers how it was asked to.
async fn proxy() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..count]).into_owned();
            let target = text.split(' ').nth(1).unwrap_or_default().replace("localhost", "127.0.0.1");
            *heard.lock().unwrap() = text;
            let Ok(mut upstream) = TcpStream::connect(target).await else { continue };
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    });
    (port, asked)
}

async fn get(port: u16, settings: &Settings) -> Result<String, String> {
    let client = Client::build(settings).map_err(|fault| fault.message)?;
    let url = Url::parse(&format!("https://localhost:{port}/")).unwrap();
    let answer = client.send(Request::json(url, "{}")).await.map_err(|error| error.to_string())?;
    let body = answer.bytes(100).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn ca_file(pem: &str, port: u16) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("aigate-ca-{}-{port}.pem", std::process::id()));
    std::fs::write(&path, pem).unwrap();
    path
}

#[tokio::test]
async fn a_server_is_trusted_when_its_ca_is_in_the_ca_file_and_only_then() {
    let (port, pem) = server().await;
    let stranger = get(port, &Settings::default()).await.unwrap_err();
    assert!(stranger.contains("cannot connect") && stranger.contains("certificate"), "{stranger}");
    let path = ca_file(&pem, port);
    let trusting = Settings { ca_file: Some(path.clone()), ..Settings::default() };
    assert_eq!(get(port, &trusting).await.as_deref(), Ok("hello"));
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn https_goes_through_a_proxy_as_a_tunnel_with_the_proxy_s_credentials() {
    let (port, pem) = server().await;
    let (proxy_port, asked) = proxy().await;
    let path = ca_file(&pem, port);
    let proxy = Some(format!("http://me:secret@127.0.0.1:{proxy_port}"));
    let settings = Settings { ca_file: Some(path.clone()), proxy, ..Settings::default() };
    assert_eq!(get(port, &settings).await.as_deref(), Ok("hello"));
    std::fs::remove_file(path).unwrap();
    let asked = asked.lock().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with(&format!("connect localhost:{port} http/1.1\r\n")), "{asked}");
    assert!(asked.contains("proxy-authorization: basic bwu6c2vjcmv0\r\n"), "{asked}");
}

#[tokio::test]
async fn a_connection_that_does_not_open_in_time_is_given_up() {
    // Listens, and never shakes hands.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let interval = aigate_contract::settings::Interval(Duration::from_millis(50));
    let settings = Settings { connect_timeout: Some(interval), ..Settings::default() };
    let error = get(port, &settings).await.unwrap_err();
    assert!(error.contains("no connection in time"), "{error}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_and_metadata_servers_are_never_proxied() {
    for wrong in ["https://proxy:3128", "proxy", "socks5://proxy", ""] {
        assert!(Proxies::new(Some(wrong)).is_err(), "{wrong}");
    }
    let proxies = Proxies::new(Some("http://proxy:3128")).unwrap();
    assert!(proxies.intercept(&Uri::from_static("https://example.com/")).is_some());
    assert!(proxies.intercept(&Uri::from_static("http://169.254.169.254/latest")).is_none());
}
