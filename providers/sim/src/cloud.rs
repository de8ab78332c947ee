//! The server: starts a cloud, takes its connections, sets its faults.

mod serve;
mod stats;

use std::{
    collections::VecDeque,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use stats::Stats;
pub(crate) use stats::{Phase, Visit, count};

use crate::{
    fault::{Fault, Faults, Strikes},
    scorer::Scorer,
    token::Tokens,
};
use stats::Counters;

/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Which cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloudKind {
    /// Vertex AI with its endpoints, the Gemini API, Google's token endpoints and metadata server.
    Google,
    /// Amazon Bedrock, SageMaker's runtime and STS.
    Aws,
    /// Azure OpenAI, Foundry Models, Azure ML's online endpoints, Entra ID and the instance metadata service.
    Azure,
    /// OpenAI itself.
    OpenAi,
}

/// How a cloud behaves while nothing goes wrong.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// How long answers take.
    pub latency: Latency,
    /// The pause between the events of a stream.
    pub chunk_delay: Duration,
    /// Seed of all chance: latencies and probable faults.
    pub seed: u64,
    /// What callers must show.
    pub credentials: Credentials,
    /// How long issued tokens live.
    pub token_lifetime: Duration,
    /// How many of the latest requests to keep for [`Cloud::requests`].
    pub keep_requests: usize,
    /// The model behind the endpoints of SageMaker, Vertex AI and Azure ML.
    pub scorer: Scorer,
}

/// A log-normal distribution of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Half of the answers take longer.
    pub median: Duration,
    /// The standard deviation of the logarithm; 0: all take the median.
    pub sigma: f64,
}

/// What callers must show.
#[derive(Clone)]
pub struct Credentials {
    /// AWS access key id; its secret is `secret_key`.
    pub access_key: String,
    /// AWS secret access key.
    pub secret_key: String,
    /// API key of every vendor: `api-key`, `x-goog-api-key`, or a bearer key.
    pub api_key: String,
    /// Secret of the Entra client.
    pub client_secret: String,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its method.
    pub method: Method,
    /// Its path, as it was sent.
    pub path: String,
    /// Its query, without the question mark.
    pub query: String,
    /// Its headers, credentials among them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A running cloud; dropping it closes its connections.
#[derive(Debug)]
pub struct Cloud {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What the connections of one cloud share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kind: CloudKind,
    pub(crate) options: Options,
    pub(crate) tokens: Tokens,
    faults: Faults,
    token_faults: Faults,
    counters: Arc<Counters>,
    random: Mutex<StdRng>,
    numbers: AtomicU64,
    recorded: Mutex<VecDeque<Recorded>>,
}

/// Starts a cloud on loopback.
///
/// # Errors
/// When the port cannot be had.
pub async fn start(kind: CloudKind, options: Options) -> std::io::Result<Cloud> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    let state = Arc::new(State {
        kind,
        tokens: Tokens::new(options.token_lifetime),
        faults: Faults::default(),
        token_faults: Faults::default(),
        counters: Arc::default(),
        random: Mutex::new(StdRng::seed_from_u64(options.seed)),
        numbers: AtomicU64::new(1),
        recorded: Mutex::default(),
        options,
    });
    let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
    Ok(Cloud { address, state, accepting })
}

/// Takes connections until it is dropped, and its connections with it.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait until some are given back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if state.faults.draw_refused(|| state.dice()) {
            count(&state.counters.seen);
            count(&state.counters.faulted);
            continue;
        }
        connections.spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // Without it small events wait for acknowledgements; should it fail, they wait.
    let _set = stream.set_nodelay(true);
    let service = service_fn(|request| serve::serve(Arc::clone(&state), request));
    let served =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // A client that leaves, or a fault that cuts: nothing to tell anyone.
    let _ended = served.await;
}

impl Cloud {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every request to a model fails this way, or none.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.set(fault.map(|fault| (fault, Strikes::Always)));
    }

    /// The next `count` requests to models fail this way.
    pub fn set_fault_times(&self, fault: Fault, count: u64) {
        self.set(Some((fault, Strikes::Times(count))));
    }

    /// From now on each request to a model fails this way with probability `chance`.
    pub fn set_fault_chance(&self, fault: Fault, chance: f64) {
        self.set(Some((fault, Strikes::Chance(chance))));
    }

    /// From now on every request to a token endpoint fails this way, or none.
    pub fn set_token_fault(&self, fault: Option<Fault>) {
        self.state.token_faults.set(fault.map(|fault| (fault, Strikes::Always)));
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.state.counters.read()
    }

    /// The latest requests, oldest first: at most [`Options::keep_requests`].
    pub fn requests(&self) -> Vec<Recorded> {
        let recorded = self.state.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.iter().cloned().collect()
    }

    fn set(&self, fault: Option<(Fault, Strikes)>) {
        if matches!(fault, Some((Fault::ExpiredToken, _))) {
            self.state.tokens.expire_all();
        }
        self.state.faults.set(fault);
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    /// A number from 0 to 1.
    fn dice(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, request: impl FnOnce() -> Recorded) {
        let keep = self.options.keep_requests.min(65_536);
        if keep > 0 {
            let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            while recorded.len() >= keep {
                recorded.pop_front();
            }
            recorded.push_back(request());
        }
    }

    /// How long the next answer takes.
    fn latency(&self) -> Duration {
        let Latency { median, sigma } = self.options.latency;
        if median.is_zero() {
            return Duration::ZERO;
        }
        // Box and Muller: two even numbers make a normal one.
        let (first, second): (f64, f64) = (self.dice(), self.dice());
        let normal = (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
        let seconds = median.as_secs_f64() * (sigma * normal).exp();
        Duration::try_from_secs_f64(seconds).map_or(LONGEST, |latency| latency.min(LONGEST))
    }
}

impl CloudKind {
    /// The name in its answers: `google`, `aws`, `azure` or `openai`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::OpenAi => "openai",
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            latency: Latency::default(),
            chunk_delay: Duration::ZERO,
            seed: 1,
            credentials: Credentials::default(),
            token_lifetime: Duration::from_secs(3600),
            keep_requests: 0,
            scorer: Scorer::default(),
        }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            access_key: "SIMULATED".to_owned(),
            secret_key: "simulated-secret".to_owned(),
            api_key: "simulated-key".to_owned(),
            client_secret: "simulated-secret".to_owned(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
