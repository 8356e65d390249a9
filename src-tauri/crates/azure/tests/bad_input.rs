//! What goes wrong between Azure and us, byte by byte: a clear error, no token in it, and the operation goes on.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use azure::{Arm, AzureError, ErrorClass, Operation, Polled, TokenCredential};
use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    time::{Duration, OffsetDateTime},
};
use plan::{Exchange, ResourceId, Trace, design::AzureConnection};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const TOKEN: &str = "CANARY-token-0123456789";
const VNET: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";

#[derive(Debug)]
struct Fixed;

#[async_trait::async_trait]
impl TokenCredential for Fixed {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(TOKEN, OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<Exchange>>);

impl Trace for Kept {
    fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }
}

/// A server that sends given bytes, one answer for each connection, and keeps what it was asked.
struct Raw {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![];
                while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                    let mut chunk = [0; 4096];
                    let n = stream.read(&mut chunk).await.unwrap();
                    request.extend_from_slice(&chunk[..n]);
                    if n == 0 {
                        break;
                    }
                }
                heard
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&request).into_owned());
                stream.write_all(&answer).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        Self { url, asked }
    }

    fn arm(&self, trace: &Arc<Kept>) -> Arm {
        let connection = AzureConnection {
            arm_url: self.url.clone(),
            subscription_id: "s".into(),
            ..AzureConnection::default()
        };
        Arm::connect(&connection, Arc::new(Fixed))
            .unwrap()
            .traced(trace.clone())
    }
}

fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut all = format!(
        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    all.extend_from_slice(body);
    all
}

fn json_answer(head: &str, body: &serde_json::Value) -> Vec<u8> {
    answer(&format!("{head}\r\nContent-Type: application/json"), body.to_string())
}

/// An operation as a later process reads it from the journal.
fn operation(poll_url: &str) -> Operation {
    serde_json::from_value(json!({
        "method": "DELETE", "phase": "status", "pollUrl": poll_url, "finalUrl": null, "resourceUrl": VNET, "name": "op", "retryAfter": 1,
    }))
    .unwrap()
}

/// Bytes of a real gzip stream, cut off in the middle.
fn half_a_gzip() -> Vec<u8> {
    let whole: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xab, 0x56, 0x2a, 0x2e, 0x49, 0x2c, 0x29, 0x2d,
        0x56, 0xb2, 0x52, 0x0a, 0x2e, 0x4d, 0x4e, 0x4e, 0x2d, 0x2e, 0x4e, 0x4d, 0x51, 0xaa, 0x05, 0x00,
    ];
    whole[..24].to_vec()
}

/// Each of these is the answer to a poll. None ends the operation: the next poll finds it done.
#[tokio::test]
async fn no_broken_answer_ends_an_operation() {
    let html = "<html><body>Sign in to the proxy, please. CANARY-token-0123456789</body></html>";
    let elsewhere = "302 Found\r\nLocation: https://login.proxy.example/?back=x&sig=CANARY-sig";
    let json = "200 OK\r\nContent-Type: application/json";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "malformed JSON",
            answer(json, "{\"status\": \"Succ"),
            "AnswerNotUnderstood",
        ),
        (
            "JSON and more",
            answer(json, "{\"status\": \"Succeeded\"}garbage"),
            "AnswerNotUnderstood",
        ),
        (
            "a proxy's page",
            answer("200 OK\r\nContent-Type: text/html", html),
            "AnswerNotUnderstood",
        ),
        (
            "a proxy's refusal",
            answer("403 Forbidden\r\nContent-Type: text/html", html),
            "AnswerNotUnderstood",
        ),
        (
            "a proxy's 'not found'",
            answer("404 Not Found\r\nContent-Type: text/html", html),
            "AnswerNotUnderstood",
        ),
        ("an empty body", answer("200 OK", ""), "AnswerNotUnderstood"),
        (
            "another type",
            answer("200 OK\r\nContent-Type: text/plain", "ok"),
            "AnswerNotUnderstood",
        ),
        (
            "no status in it",
            answer(json, "{\"name\": \"op\"}"),
            "AnswerNotUnderstood",
        ),
        ("a list", answer(json, "[]"), "AnswerNotUnderstood"),
        ("a redirect", answer(elsewhere, ""), "Redirected"),
        (
            "a poll URL elsewhere",
            answer(
                &format!("{json}\r\nAzure-AsyncOperation: https://evil.example/op"),
                "{\"status\":\"InProgress\"}",
            ),
            "Redirected",
        ),
        (
            "half a gzip",
            answer(&format!("{json}\r\nContent-Encoding: gzip"), half_a_gzip()),
            "NetworkOther",
        ),
        (
            "no gzip at all",
            answer(
                &format!("{json}\r\nContent-Encoding: gzip"),
                "{\"status\":\"Succeeded\"}",
            ),
            "NetworkOther",
        ),
        (
            "half an answer",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\"".to_vec(),
            "NetworkOther",
        ),
        ("half a head", b"HTTP/1.1 200".to_vec(), "NetworkOther"),
        ("nothing", vec![], "NetworkOther"),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "NetworkOther"),
        ("busy", answer("503 Service Unavailable", ""), "HttpStatus503"),
        (
            "throttled",
            answer("429 Too Many Requests\r\nRetry-After: 0", ""),
            "HttpStatus429",
        ),
        (
            "a gateway's page",
            answer("502 Bad Gateway\r\nContent-Type: text/html", html),
            "HttpStatus502",
        ),
        ("signed out", answer("401 Unauthorized", ""), "HttpStatus401"),
    ];
    for (what, broken, code) in cases {
        let done = json_answer("200 OK", &json!({"status": "Succeeded"}));
        let raw = Raw::start(vec![broken, done]).await;
        let trace = Arc::new(Kept::default());
        let arm = raw.arm(&trace);
        let before = operation("/op/1?api-version=1");
        let e = arm.poll(&before).await.unwrap_err();
        assert_eq!(e.code(), code, "{what}: {e}");
        let advice = e.advice();
        assert!(!advice.title.is_empty() && !advice.hint.is_empty(), "{what}");
        assert!(
            e.says_nothing() || !matches!(e.class(), ErrorClass::Permanent),
            "{what}: {:?}",
            e.class()
        );
        let shown = format!("{e} {e:?} {advice:?} {:?}", trace.0.lock().unwrap());
        assert!(!shown.contains("CANARY"), "{what}: {shown}");
        // As a later process reads it.
        let after: Operation = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(arm.poll(&after).await, Ok(Polled::Done { body: None }), "{what}");
        assert!(raw.asked.lock().unwrap().iter().all(|r| r.contains(TOKEN)));
    }
}

/// Azure's poll URLs carry signed state and get long.
#[tokio::test]
async fn poll_urls_of_eight_kilobytes_are_followed() {
    let long = format!("/op/1?api-version=1&t={}&c={}", "x".repeat(4_096), "y".repeat(4_096));
    let raw = Raw::start(vec![
        answer(&format!("202 Accepted\r\nAzure-AsyncOperation: {long}"), ""),
        json_answer("200 OK", &json!({"status": "Succeeded"})),
    ])
    .await;
    let arm = raw.arm(&Arc::default());
    let started = arm.delete(&ResourceId::new(VNET)).await.unwrap();
    let operation = started.operation.unwrap();
    assert_eq!(operation.poll_url(), long);
    let kept: Operation = serde_json::from_str(&serde_json::to_string(&operation).unwrap()).unwrap();
    assert_eq!(arm.poll(&kept).await, Ok(Polled::Done { body: None }));
    assert!(raw.asked.lock().unwrap()[1].starts_with(&format!("GET {long} HTTP/1.1\r\n")));
}

/// A computer's clock that is wrong by years: pauses are counted on the server's clock, and a refused sign-in says where
/// to look.
#[tokio::test]
async fn a_wrong_clock_changes_no_pause_and_is_named() {
    let skewed = "Date: Sat, 21 Nov 2009 19:00:00 GMT\r\nRetry-After: Sat, 21 Nov 2009 19:01:30 GMT";
    let raw = Raw::start(vec![
        answer(&format!("202 Accepted\r\nLocation: /op/1?api-version=1\r\n{skewed}"), ""),
        json_answer(
            "401 Unauthorized",
            &json!({"error": {"code": "ExpiredAuthenticationToken", "message": "The access token expiry UTC time is earlier than current UTC time."}}),
        ),
    ])
    .await;
    let arm = raw.arm(&Arc::default());
    let operation = arm.delete(&ResourceId::new(VNET)).await.unwrap().operation.unwrap();
    assert_eq!(operation.retry_after(), 90);
    let e = arm.poll(&operation).await.unwrap_err();
    assert_eq!(e.class(), ErrorClass::Auth);
    assert!(e.advice().hint.contains("clock"), "{:?}", e.advice());
}

/// The refusal of a change may come from a proxy too; nothing says whether Azure saw it.
#[tokio::test]
async fn a_change_that_a_proxy_answered_is_no_success() {
    let page = answer("200 OK\r\nContent-Type: text/html", "<html>welcome</html>");
    let raw = Raw::start(vec![page]).await;
    let e = raw
        .arm(&Arc::default())
        .put(&ResourceId::new(VNET), &json!({}))
        .await
        .unwrap_err();
    assert!(matches!(e, AzureError::Parse { .. }), "{e}");
}
