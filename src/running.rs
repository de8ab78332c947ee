//! A gateway that listens: started from a plan, stopped without cutting calls off.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    config::{Plan, Source},
    gateway::Gateway,
    http::{callers, operations, server},
    reload::{Reloader, hangup},
};

/// A gateway that listens.
#[derive(Debug)]
pub struct Running {
    /// Where callers reach it.
    pub address: SocketAddr,
    /// Where operators reach it.
    pub operations_address: SocketAddr,
    /// The gateway itself.
    pub gateway: Arc<Gateway>,
    stop: watch::Sender<bool>,
    callers: JoinHandle<bool>,
    operators: JoinHandle<()>,
    reloading: Option<JoinHandle<()>>,
}

impl Running {
    /// Opens both listeners and begins to serve.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(plan: &Plan) -> Result<Self, String> {
        Self::launch(plan, None).await
    }

    /// The same; `source` is read again when it changes, and when operators say so.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn start_from(source: Source, plan: &Plan) -> Result<Self, String> {
        Self::launch(plan, Some(source)).await
    }

    async fn launch(plan: &Plan, source: Option<Source>) -> Result<Self, String> {
        let gateway = Arc::new(Gateway::build(plan)?);
        let reloader = source.map(|source| Arc::new(Reloader::new(source, Arc::clone(&gateway), plan)));
        let listener = bind("server.listen", plan.server.listen).await?;
        let operations_listener = bind("operations.listen", plan.operations).await?;
        let local = |listener: &TcpListener| listener.local_addr().map_err(|error| error.to_string());
        let (address, operations_address) = (local(&listener)?, local(&operations_listener)?);
        for model in &plan.models {
            for deployment in &model.deployments {
                deployment.provider.prepare(model.task.as_str(), &deployment.target.model);
            }
        }
        let (stop, stopped) = watch::channel(false);
        let bounds = server::Bounds {
            header_timeout: plan.server.header_timeout,
            max_connections: plan.server.max_connections,
            grace: plan.server.shutdown_grace,
        };
        let callers =
            tokio::spawn(server::serve(listener, callers(Arc::clone(&gateway)), bounds, stopped.clone()));
        // Health and metrics are served until the very end.
        let operators = server::Bounds { max_connections: 256, grace: Duration::ZERO, ..bounds };
        let (never, forever) = watch::channel(false);
        // Before anyone is told that it runs: a SIGHUP would end the process.
        let hangup = reloader.as_ref().map(|_| hangup()).transpose()?;
        let reloading = reloader
            .clone()
            .zip(hangup)
            .map(|(reloader, hangup)| tokio::spawn(reloader.run(plan.upkeep.watch, hangup)));
        let router = operations(Arc::clone(&gateway), reloader);
        let operators = tokio::spawn(async move {
            server::serve(operations_listener, router, operators, forever).await;
            drop(never);
        });
        Ok(Self { address, operations_address, gateway, stop, callers, operators, reloading })
    }

    /// Stops taking calls and waits for the running ones, within the grace period. Whether all of them ended.
    ///
    /// `delay` is for balancers to read from `/readyz` that no more calls are welcome, while they still are served.
    pub async fn stop(self, delay: Duration) -> bool {
        self.gateway.drain();
        tokio::time::sleep(delay).await;
        // The receiver lives as long as the task below.
        let _ = self.stop.send(true);
        let clean = self.callers.await.unwrap_or(false);
        self.operators.abort();
        if let Some(reloading) = self.reloading {
            reloading.abort();
        }
        let gateway = self.gateway;
        gateway.farewell().await;
        let _ = tokio::task::spawn_blocking(move || gateway.put_down()).await;
        clean
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{key}: cannot listen on {address}: {error}"))
}
