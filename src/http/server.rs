//! The accept loop: connections within bounds, and a stop that lets running calls end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::linger::Lingering;

/// Bounds of the connections.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a request's head to arrive.
    pub header_timeout: Duration,
    /// At once.
    pub max_connections: usize,
    /// For running requests to end after the signal to stop.
    pub grace: Duration,
}

/// The largest request head, in bytes, and the most headers. More gets 431.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// How long a caller may leave what was sent unread.
const STALLED: Duration = Duration::from_secs(60);

/// Serves `router` until `stop` says so, then waits for running requests, within bounds. Returns whether all of them
/// ended by themselves.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) -> bool {
    let places = Arc::new(Semaphore::new(bounds.max_connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let builder = connection_builder(bounds);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others will be freed.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().map_request(Lingering::wrap));
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        // The connection owns its calls: when it goes, they are dropped.
        tokio::spawn(async move {
            let Ok(Ok(protocol)) = timeout(bounds.header_timeout, first_bytes(&stream)).await else { return };
            let builder = match protocol {
                Protocol::Http1 => builder.http1_only(),
                Protocol::Http2 => builder.http2_only(),
            };
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    timeout(bounds.grace, graceful.shutdown()).await.is_ok()
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    // A caller that stops reading is cut off, and its call upstream with it.
    SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED))?;
    Ok((stream, place))
}

enum Protocol {
    Http1,
    Http2,
}

/// Waits for as many bytes as it takes to tell HTTP/2 from HTTP/1, without taking them.
async fn first_bytes(stream: &TcpStream) -> io::Result<Protocol> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let seen = seen.get(..count).unwrap_or_default();
        match count {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if !PREFACE.starts_with(seen) => return Ok(Protocol::Http1),
            _ if count == PREFACE.len() => return Ok(Protocol::Http2),
            // Part of a preface: `peek` would give the same bytes again at once.
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
}

fn connection_builder(bounds: Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
