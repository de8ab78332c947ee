//! The security token service: lends keys. It speaks the older query protocol: forms in, XML out.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use serde_json::Value;

use super::{by_signature, request_id};
use crate::{
    answer::{Ask, Refusal, Result, Whole},
    clock,
    cloud::State,
    token::{Audience, jwt_claims},
};

/// The key id of the `number`-th lent keys; their session token has the same number.
pub(super) fn access_key(number: u64) -> String {
    format!("ASIASIMULATED{number}")
}

pub(super) fn secret_key(number: u64) -> String {
    format!("simulated-secret-{number}")
}

pub(super) fn answer(state: &State, ask: &Ask<'_>) -> Result<Whole> {
    let action = ask.form("Action").unwrap_or_default();
    let needed = |name: &str| {
        let value = ask.form(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| own(400, "ValidationError", &format!("The parameter {name} is required."), ask))
    };
    if ask.form("Version").as_deref() != Some("2011-06-15") {
        return Err(own(400, "InvalidAction", "Could not find operation for this version", ask));
    }
    let mut about = String::new();
    match &*action {
        "AssumeRole" => by_signature(state, ask, "sts")?,
        "AssumeRoleWithWebIdentity" => {
            let token = needed("WebIdentityToken")?;
            let claims = jwt_claims(&token).ok_or_else(|| {
                own(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT.", ask)
            })?;
            let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
            if claims.get("exp").and_then(Value::as_u64).is_none_or(|expires| expires < clock::now()) {
                return Err(own(400, "ExpiredTokenException", "Token expired.", ask));
            }
            about = format!(
                "<SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken><Provider>{}</Provider>",
                escape(text("sub")),
                escape(text("iss"))
            );
        }
        _ => return Err(own(400, "InvalidAction", "Could not find operation", ask)),
    }
    let (role, session) = (needed("RoleArn")?, needed("RoleSessionName")?);
    if !role.starts_with("arn:aws") || !role.contains(":role/") {
        return Err(own(400, "ValidationError", &format!("{role} is invalid"), ask));
    }
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if !(2..=64).contains(&session.len()) || !session.chars().all(sound) {
        return Err(own(
            400,
            "ValidationError",
            "RoleSessionName is from 2 to 64 letters, digits and _+=,.@-",
            ask,
        ));
    }
    check_duration(ask)?;
    let (token, number) = state.tokens.issue(Audience::Models);
    let expires = clock::iso(clock::now() + state.tokens.lifetime().as_secs());
    let assumed = role.replacen(":iam:", ":sts:", 1).replacen(":role/", ":assumed-role/", 1);
    let (assumed, session) = (escape(&assumed), escape(&session));
    let xml = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROASIMULATED:{session}</AssumedRoleId>\
         <Arn>{assumed}/{session}</Arn></AssumedRoleUser>{about}\
         </{action}Result><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
        access_key(number),
        secret_key(number),
        request_id(ask),
    );
    Ok(Whole::new(200, "text/xml", xml))
}

fn check_duration(ask: &Ask<'_>) -> Result<()> {
    match ask.form("DurationSeconds").map(|seconds| seconds.parse::<u32>()) {
        None | Some(Ok(900..=43_200)) => Ok(()),
        Some(_) => Err(own(400, "ValidationError", "DurationSeconds must be from 900 to 43200", ask)),
    }
}

fn own(status: u16, code: &str, message: &str, ask: &Ask<'_>) -> Refusal {
    Refusal::Own(Box::new(error(status, code, message, ask)))
}

/// An error of STS.
pub(super) fn error(status: u16, code: &str, message: &str, ask: &Ask<'_>) -> Whole {
    let (message, id) = (escape(message), request_id(ask));
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let xml = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{kind}</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
    );
    Whole::new(status, "text/xml", xml).with("x-amzn-requestid", id)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
