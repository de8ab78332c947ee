//! One request in OpenAI's shape: body and credentials on, answer or error back.

use aigate_contract::{Call, Error, Result, Task, Trail};
use aigate_transport::{Client, Request, Response, kind_of_status, retry_after};
use bytes::Bytes;
use http::StatusCode;

use crate::{Account, Pass, Purpose, TokenLimitField};

/// The largest answer that is read whole, in bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The little in which servers differ.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Whether the model's name stands in the body, or only in the URL.
    pub model_in_body: bool,
    /// Whether to ask for the usage of every stream.
    pub stream_usage: bool,
    /// The name under which the server knows the output limit.
    pub token_limit_field: TokenLimitField,
}

/// A client of one account.
#[derive(Debug)]
pub struct Wire<A> {
    account: A,
    client: Client,
    pub(crate) dialect: Dialect,
}

impl<A: Account> Wire<A> {
    /// A client of `account`.
    pub fn new(account: A, client: Client, dialect: Dialect) -> Self {
        Self { account, client, dialect }
    }

    /// The account.
    pub fn account(&self) -> &A {
        &self.account
    }

    /// Sends the body; an error status comes back as an error. A refused token is renewed once.
    pub(crate) async fn send<T: Task>(
        &self,
        call: &Call<T>,
        purpose: Purpose,
        body: Vec<u8>,
    ) -> Result<Response> {
        let body = Bytes::from(body);
        let pass = self.account.pass().await?;
        let answer = self.attempt(call, purpose, body.clone(), &pass).await?;
        let answer = match pass {
            Pass::Token(token) if answer.status() == StatusCode::UNAUTHORIZED => {
                self.account.refused(&token);
                let pass = self.account.pass().await?;
                self.attempt(call, purpose, body, &pass).await?
            }
            _ => answer,
        };
        if answer.status().is_success() { Ok(answer) } else { Err(self.read_error(answer).await) }
    }

    /// Asks which models there are: costs nothing, and fails as a call would.
    ///
    /// # Errors
    /// What a call would have met.
    pub async fn probe(&self) -> Result<()> {
        let pass = self.account.pass().await?;
        let request = Request::get(self.account.url(Purpose::Models, ""));
        let answer = self.client.send(self.account.decorate(pass.stamp(request))).await?;
        if answer.status().is_success() { Ok(()) } else { Err(self.read_error(answer).await) }
    }

    async fn attempt<T: Task>(
        &self,
        call: &Call<T>,
        purpose: Purpose,
        body: Bytes,
        pass: &Pass,
    ) -> Result<Response> {
        let trail: &Trail = &call.trail;
        let request = Request::json(self.account.url(purpose, &call.target.model), body);
        let request = self.account.decorate(pass.stamp(request)).traced(trail.traceparent());
        self.client.send(request).await
    }

    async fn read_error(&self, answer: Response) -> Error {
        let (status, headers) = (answer.status(), answer.headers().clone());
        match answer.bytes(256 * 1024).await {
            Ok(body) => self.account.explain(status, &headers, &body),
            Err(error) => {
                let message = format!("the provider answered {status}, and its body cannot be read");
                Error::new(kind_of_status(status), message)
                    .with_status(status.as_u16())
                    .with_retry_after(retry_after(&headers))
                    .with_source(error)
            }
        }
    }
}
