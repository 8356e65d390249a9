//! The client against a scripted server: what it sends, how it reads what comes back, and what it shows of both.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use azure::{Arm, AzureError, Blobs, ErrorClass, Network, NetworkKind, Polled, TokenCredential, check_connection};
use azure_core::{
    credentials::{AccessToken, TokenRequestOptions},
    time::{Duration, OffsetDateTime},
};
use plan::{Exchange, ResourceId, Trace, design::AzureConnection};
use secrets::Secret;
use serde_json::json;
use std::sync::{Arc, Mutex};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, header_exists, method, path, query_param, query_param_is_missing},
};

const CANARY: &str = "CANARY-4b1d-secret";
const VNET: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";

/// Gives the tokens of a list, one after the other, then the last for ever.
#[derive(Debug)]
struct Tokens(Mutex<Vec<&'static str>>);

#[async_trait::async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let mut tokens = self.0.lock().unwrap();
        let token = if tokens.len() > 1 { tokens.remove(0) } else { tokens[0] };
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

fn tokens(list: &[&'static str]) -> Arc<dyn TokenCredential> {
    Arc::new(Tokens(Mutex::new(list.to_vec())))
}

#[derive(Default)]
struct Kept(Mutex<Vec<Exchange>>);

impl Trace for Kept {
    fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }
}

impl Kept {
    fn shown(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

fn connection(server: &MockServer) -> AzureConnection {
    AzureConnection {
        arm_url: server.uri(),
        authority_url: server.uri(),
        blob_url: format!("{}/{{account}}", server.uri()),
        tenant_id: "t".into(),
        client_id: "c".into(),
        subscription_id: "s".into(),
        ..AzureConnection::default()
    }
}

async fn served() -> (MockServer, Arm) {
    let server = MockServer::start().await;
    let arm = Arm::connect(&connection(&server), tokens(&["token-aaaaaaaa"])).unwrap();
    (server, arm)
}

async fn answer(server: &MockServer, verb: &str, at: &str, template: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(template)
        .mount(server)
        .await;
}

fn json_answer(status: u16, body: serde_json::Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

#[tokio::test]
async fn a_get_carries_version_token_and_ids() {
    let (server, arm) = served().await;
    Mock::given(method("GET"))
        .and(path(VNET))
        .and(query_param("api-version", "2024-03-01"))
        .and(header("authorization", "Bearer token-aaaaaaaa"))
        .and(header_exists("x-ms-client-request-id"))
        .and(header_exists("x-ms-correlation-request-id"))
        .respond_with(json_answer(200, json!({"id": VNET})))
        .expect(2)
        .mount(&server)
        .await;
    let id = ResourceId::new(VNET);
    assert_eq!(arm.get(&id).await.unwrap()["id"], VNET);
    arm.get(&id).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let ids: Vec<_> = requests
        .iter()
        .map(|r| r.headers.get("x-ms-client-request-id").cloned())
        .collect();
    assert_ne!(ids[0], ids[1], "Azure replays the answer to an id that it knows");
}

#[tokio::test]
async fn what_is_absent_and_what_is_wrong_are_told_apart() {
    let (server, arm) = served().await;
    let id = ResourceId::new(VNET);
    for (status, body, absent) in [
        (
            404,
            json!({"error": {"code": "ResourceNotFound", "message": "m"}}),
            true,
        ),
        (
            404,
            json!({"error": {"code": "ResourceGroupNotFound", "message": "m"}}),
            true,
        ),
        (
            404,
            json!({"error": {"code": "SubscriptionNotFound", "message": "m"}}),
            false,
        ),
        (
            403,
            json!({"error": {"code": "AuthorizationFailed", "message": "m"}}),
            false,
        ),
    ] {
        server.reset().await;
        answer(&server, "GET", VNET, json_answer(status, body)).await;
        assert_eq!(arm.get_opt(&id).await.is_ok_and(|v| v.is_none()), absent);
    }
    server.reset().await;
    answer(&server, "GET", VNET, ResponseTemplate::new(204)).await;
    assert_eq!(arm.get_opt(&id).await, Ok(None));
    answer(&server, "DELETE", VNET, ResponseTemplate::new(404)).await;
    let gone = arm.delete(&id).await.unwrap();
    assert_eq!((gone.status, gone.operation), (404, None));
}

#[tokio::test]
async fn a_put_is_followed_to_the_resource() {
    let (server, arm) = served().await;
    let operation = "/subscriptions/s/providers/Microsoft.Network/locations/eastus2/operations/op-1";
    let accepted = json_answer(201, json!({"properties": {"provisioningState": "Updating"}}))
        .insert_header(
            "Azure-AsyncOperation",
            format!("{}{operation}?api-version=2024-03-01", server.uri()),
        )
        .insert_header("Retry-After", "3");
    answer(&server, "PUT", VNET, accepted).await;
    answer(
        &server,
        "GET",
        operation,
        json_answer(200, json!({"status": "Succeeded"})),
    )
    .await;
    answer(&server, "GET", VNET, json_answer(200, json!({"name": "v"}))).await;

    let started = arm
        .put(&ResourceId::new(VNET), &json!({"location": "eastus2"}))
        .await
        .unwrap();
    assert_eq!(started.status, 201);
    assert!(started.correlation_id.is_some());
    // As a later process would find it in the journal.
    let journal = serde_json::to_string(&started.operation.unwrap()).unwrap();
    let operation = serde_json::from_str(&journal).unwrap();
    let Polled::Running {
        operation,
        retry_after: 0,
        ..
    } = arm.poll(&operation).await.unwrap()
    else {
        unreachable!()
    };
    assert_eq!(
        arm.poll(&operation).await,
        Ok(Polled::Done {
            body: Some(json!({"name": "v"}))
        })
    );
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        3,
        "each poll is one request"
    );
}

#[tokio::test]
async fn a_token_is_sent_to_the_resource_manager_only() {
    let (server, arm) = served().await;
    let other = MockServer::start().await;
    let id = ResourceId::new(VNET);
    let elsewhere = format!("{}/x?sig={CANARY}", other.uri());
    let list = json_answer(200, json!({"value": [], "nextLink": elsewhere}));
    answer(&server, "GET", VNET, list).await;
    answer(
        &server,
        "PUT",
        VNET,
        ResponseTemplate::new(202).insert_header("Location", elsewhere.as_str()),
    )
    .await;
    answer(
        &server,
        "POST",
        &format!("{VNET}/act"),
        ResponseTemplate::new(307).insert_header("Location", elsewhere.as_str()),
    )
    .await;
    for e in [
        arm.list(&id).await.unwrap_err(),
        arm.put(&id, &json!({})).await.unwrap_err(),
        arm.post(&id, "act", None).await.unwrap_err(),
        arm.get_path("//evil.example/x?api-version=1").await.unwrap_err(),
    ] {
        assert!(matches!(e, AzureError::Redirected { .. }), "{e}");
        assert!(!format!("{e} {:?}", e.advice()).contains(CANARY));
    }
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_are_read_to_the_end_and_not_beyond() {
    let (server, arm) = served().await;
    let next = format!("{}{VNET}?api-version=2024-03-01&page=2", server.uri());
    Mock::given(method("GET"))
        .and(query_param("page", "2"))
        .respond_with(json_answer(200, json!({"value": [3], "nextLink": ""})))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(query_param_is_missing("page"))
        .respond_with(json_answer(200, json!({"value": [1, 2], "nextLink": next})))
        .mount(&server)
        .await;
    assert_eq!(
        arm.list(&ResourceId::new(VNET)).await.unwrap(),
        [json!(1), json!(2), json!(3)]
    );

    server.reset().await;
    answer(
        &server,
        "GET",
        VNET,
        json_answer(200, json!({"value": [1], "nextLink": next})),
    )
    .await;
    let e = arm.list(&ResourceId::new(VNET)).await.unwrap_err();
    assert!(
        matches!(&e, AzureError::Parse { path, .. } if path == "nextLink"),
        "{e}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = MockServer::start().await;
    let arm = Arm::connect(&connection(&server), tokens(&["old-token", "new-token"])).unwrap();
    Mock::given(header("authorization", "Bearer old-token"))
        .respond_with(json_answer(
            401,
            json!({"error": {"code": "ExpiredAuthenticationToken", "message": "m"}}),
        ))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer new-token"))
        .respond_with(json_answer(200, json!({})))
        .mount(&server)
        .await;
    arm.get(&ResourceId::new(VNET)).await.unwrap();

    server.reset().await;
    answer(&server, "GET", VNET, ResponseTemplate::new(401)).await;
    let e = arm.get(&ResourceId::new(VNET)).await.unwrap_err();
    assert_eq!(e.class(), ErrorClass::Auth);
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        1,
        "the same token again is pointless"
    );
}

/// Azure demands something of the token each time, whatever it is sent: it is tried once more and never again.
#[tokio::test]
async fn a_demand_is_answered_once_and_shown_nowhere() {
    // {"access_token":{"acrs":{"essential":true,"value":"CANARY"}}}
    let claims = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiQ0FOQVJZIn19fQ==";
    for (list, requests) in [
        (&["token-aaaaaaaa", "token-bbbbbbbb", "token-cccccccc"][..], 2),
        (&["token-aaaaaaaa"], 1),
    ] {
        let server = MockServer::start().await;
        let kept = Arc::new(Kept::default());
        let arm = Arm::connect(&connection(&server), tokens(list))
            .unwrap()
            .traced(kept.clone());
        let challenge = format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{claims}\"");
        let refusal = json_answer(401, json!({"error": {"code": "AuthenticationFailed", "message": "m"}}));
        answer(
            &server,
            "PUT",
            VNET,
            refusal.insert_header("WWW-Authenticate", challenge.as_str()),
        )
        .await;
        let e = arm.put(&ResourceId::new(VNET), &json!({})).await.unwrap_err();
        assert_eq!((e.code(), e.class()), ("ClaimsNotMet", ErrorClass::Auth), "{e}");
        assert_eq!(server.received_requests().await.unwrap().len(), requests);
        let shown = format!("{} {e:?} {:?}", kept.shown(), e.advice());
        assert!(!shown.contains("CANARY") && !shown.contains(claims), "{shown}");
    }
}

#[tokio::test]
async fn nothing_is_sent_twice() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (server, arm) = served().await;
        answer(
            &server,
            "PUT",
            VNET,
            ResponseTemplate::new(status).insert_header("Retry-After", "9"),
        )
        .await;
        let e = arm.put(&ResourceId::new(VNET), &json!({})).await.unwrap_err();
        let wanted = if status == 429 {
            ErrorClass::Throttled(9)
        } else {
            ErrorClass::Transient
        };
        assert_eq!(e.class(), wanted);
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

/// Network answers 429 for a resource that another operation holds; that is no reason to hold other requests back.
#[tokio::test]
async fn a_locked_resource_is_no_throttling() {
    for (code, class, closed) in [
        ("RetryableErrorDueToAnotherOperation", ErrorClass::Conflict, false),
        ("SubscriptionRequestsThrottled", ErrorClass::Throttled(9), true),
    ] {
        let (server, arm) = served().await;
        let refusal = json_answer(429, json!({"error": {"code": code, "message": "m"}}));
        let refusal = refusal
            .insert_header("Retry-After", "9")
            .insert_header("x-ms-ratelimit-remaining-subscription-writes", "21");
        answer(&server, "PUT", VNET, refusal).await;
        let e = arm.put(&ResourceId::new(VNET), &json!({})).await.unwrap_err();
        assert_eq!(e.class(), class);
        let quota = arm.quota();
        let writes = quota
            .iter()
            .find(|q| q.kind == azure::limits::Kind::Writes && q.provider.is_none());
        let writes = writes.unwrap();
        assert_eq!(writes.closed_until.is_some(), closed, "{writes:?}");
        assert!(writes.remaining <= 21, "what Azure leaves is believed: {writes:?}");
        let reads = quota
            .iter()
            .find(|q| q.kind == azure::limits::Kind::Reads && q.provider.is_none());
        assert_eq!(reads.unwrap().closed_until, None);
    }
}

#[tokio::test]
async fn azure_signs_access_to_a_container() {
    let (server, arm) = served().await;
    let id = ResourceId::new("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct");
    Mock::given(method("POST"))
        .and(path(format!("{id}/ListServiceSas")))
        .and(body_json(json!({
            "canonicalizedResource": "/blob/acct/backup", "signedResource": "c", "signedPermission": "rl",
            "signedProtocol": "https", "signedStart": "2026-11-21T19:00:00Z", "signedExpiry": "2026-11-22T19:00:00Z",
            "keyToSign": "key1",
        })))
        .respond_with(json_answer(
            200,
            json!({"serviceSasToken": format!("sp=rl&sig={CANARY}")}),
        ))
        .mount(&server)
        .await;
    let kept = Arc::new(Kept::default());
    let (start, expiry) = (
        "2026-11-21T19:00:00Z".parse().unwrap(),
        "2026-11-22T19:00:00Z".parse().unwrap(),
    );
    let arm = arm.traced(kept.clone());
    let sas = azure::storage::service_sas(&arm, &id, "backup", "rl", start, expiry)
        .await
        .unwrap();
    assert_eq!(sas.expose(), &format!("sp=rl&sig={CANARY}"));
    assert!(!kept.shown().contains(CANARY), "{}", kept.shown());
}

#[tokio::test]
async fn prices_are_read_without_a_token() {
    let server = MockServer::start().await;
    let price =
        |name: &str| json!({"retailPrice": 0.5, "unitOfMeasure": "1 Hour", "skuName": name, "type": "Consumption"});
    let next = format!("{}/api/retail/prices?$skip=1000", server.uri());
    Mock::given(path("/api/retail/prices"))
        .and(query_param("$skip", "1000"))
        .respond_with(json_answer(
            200,
            json!({"Items": [price("8 vCore")], "NextPageLink": null}),
        ))
        .mount(&server)
        .await;
    Mock::given(path("/api/retail/prices"))
        .and(query_param("currencyCode", "'EUR'"))
        .and(query_param("$filter", "serviceName eq 'SQL Managed Instance'"))
        .respond_with(json_answer(
            200,
            json!({"Items": [price("vCore")], "NextPageLink": next}),
        ))
        .mount(&server)
        .await;
    let filter = "serviceName eq 'SQL Managed Instance'";
    let network = Network::of(&connection(&server), None).unwrap();
    let found = azure::prices::search(&network, &server.uri(), "EUR", filter)
        .await
        .unwrap();
    let names: Vec<_> = found.iter().filter_map(|p| p.sku_name.as_deref()).collect();
    assert_eq!(names, ["vCore", "8 vCore"]);
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|r| !r.headers.contains_key("authorization")));
}

#[tokio::test]
async fn answers_that_are_not_azures_have_words() {
    let (server, arm) = served().await;
    let page = |status| ResponseTemplate::new(status).set_body_raw("<html>Please sign in</html>", "text/html");
    for (template, words) in [
        (page(200), "web page"),
        (page(403), "proxy"),
        (page(404), "proxy"),
        (ResponseTemplate::new(200), "is empty"),
        (
            ResponseTemplate::new(200).set_body_raw("{\"a\":", "application/json"),
            "EOF",
        ),
        (
            ResponseTemplate::new(200).set_body_raw(vec![b' '; 33 << 20], "application/json"),
            "longer than",
        ),
    ] {
        server.reset().await;
        answer(&server, "GET", VNET, template).await;
        let e = arm.get_opt(&ResourceId::new(VNET)).await.unwrap_err();
        let AzureError::Parse { message, .. } = &e else {
            unreachable!("{e}")
        };
        assert!(message.contains(words), "{message}");
        assert!(!e.advice().hint.is_empty());
    }
}

#[tokio::test]
async fn no_canary_leaves_the_client() {
    let (server, arm) = served().await;
    let kept = Arc::new(Kept::default());
    let arm = arm.traced(kept.clone());
    let id = ResourceId::new("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a");
    let keys = json!({"keys": [{"keyName": "key1", "value": format!("{CANARY}-key"), "permissions": "FULL"}]});
    answer(
        &server,
        "POST",
        &format!("{}/listKeys", id.as_str()),
        json_answer(200, keys),
    )
    .await;
    // Azure quotes what it was sent, and proxies what they like.
    let echo = json!({"error": {"code": "Bad", "message": format!("password {CANARY}-pw, key {CANARY}-key, sig={CANARY}-sig"),
        "details": [{"code": "d", "message": format!("{CANARY}-pw")}]}});
    answer(
        &server,
        "PUT",
        id.as_str(),
        json_answer(400, echo).insert_header("x-evil", CANARY),
    )
    .await;
    let started = arm.post(&id, "listKeys", None).await.unwrap();
    assert_eq!(
        started.body.unwrap()["keys"][0]["value"],
        format!("{CANARY}-key"),
        "the caller gets the key"
    );
    let body = json!({"properties": {"administratorLoginPassword": format!("{CANARY}-pw"), "protectedParameters": [{"name": "p", "value": format!("{CANARY}-prot")}]}});
    let e = arm.put(&id, &body).await.unwrap_err();
    let sas = Secret::new(format!("sv=2021-12-02&sp=rl&sig={CANARY}%2B-sas"));
    let refused = Blobs::new(&arm)
        .traced(kept.clone())
        .list("a", "c", "", &sas)
        .await
        .unwrap_err();
    arm.protect(&Secret::from("CANARY-told-of"));
    let told = arm.get_path("/x?api-version=1&CANARY-told-of").await.unwrap_err();
    for shown in [
        kept.shown(),
        format!("{e:?} {e} {:?}", e.advice()),
        format!("{refused:?} {told:?} {told}"),
    ] {
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(!shown.contains("token-aaaaaaaa"), "{shown}");
    }
    let exchanges = kept.0.lock().unwrap();
    assert_eq!(exchanges.len(), 4);
    assert_eq!(exchanges[0].status, Some(200));
    assert!(exchanges[0].response_body.as_ref().unwrap().contains("FULL"));
    assert_eq!(exchanges[2].system, "blob");
}

#[tokio::test]
async fn empty_posts_name_their_length() {
    let (server, arm) = served().await;
    Mock::given(method("POST"))
        .and(path("/subscriptions/s/providers/Microsoft.Sql/register"))
        .and(query_param("api-version", "2024-07-01"))
        .and(header("content-length", "0"))
        .respond_with(json_answer(200, json!({"registrationState": "Registering"})))
        .expect(1)
        .mount(&server)
        .await;
    let provider = ResourceId::new("/subscriptions/s/providers/Microsoft.Sql");
    assert_eq!(arm.post(&provider, "register", None).await.unwrap().operation, None);
}

#[tokio::test]
async fn blobs_are_listed_page_by_page() {
    let (server, arm) = served().await;
    let blob = |name: &str| {
        format!(
            "<Blob>{name}<Properties><Last-Modified>Sat, 21 Nov 2026 19:00:00 GMT</Last-Modified><Content-Length>42</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
        )
    };
    let page = |blobs: &str, marker: &str| {
        let xml = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>full</Prefix><Blobs>{blobs}</Blobs>{marker}</EnumerationResults>"
        );
        ResponseTemplate::new(200).set_body_raw(xml, "application/xml")
    };
    let listing = || {
        Mock::given(method("GET"))
            .and(path("/acct/c"))
            .and(query_param("comp", "list"))
            .and(query_param("sig", "x+y"))
    };
    listing()
        .and(query_param("marker", "m&1"))
        .respond_with(page(
            &blob("<Name Encoded=\"true\">full%20%EF%BF%BE.bak</Name>"),
            "<NextMarker />",
        ))
        .mount(&server)
        .await;
    listing()
        .and(query_param_is_missing("marker"))
        .and(query_param("prefix", "full"))
        .respond_with(page(
            &(blob("<Name>full 1.bak</Name>") + &blob("<Name>full&amp;2.bak</Name>")),
            "<NextMarker>m&amp;1</NextMarker>",
        ))
        .mount(&server)
        .await;
    let sas = Secret::from("sp=rl&sig=x%2By");
    let found = Blobs::new(&arm).list("acct", "c", "full", &sas).await.unwrap();
    let names: Vec<_> = found.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["full 1.bak", "full&2.bak", "full \u{fffe}.bak"]);
    assert_eq!(
        (found[0].size, found[0].last_modified.to_string().as_str()),
        (42, "2026-11-21T19:00:00Z")
    );

    server.reset().await;
    answer(&server, "GET", "/acct/empty", page("", "<NextMarker/>")).await;
    assert_eq!(Blobs::new(&arm).list("acct", "empty", "", &sas).await, Ok(vec![]));
}

#[tokio::test]
async fn a_sas_that_may_not_write_is_refused_with_its_code() {
    let (server, arm) = served().await;
    let xml = "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthorizationPermissionMismatch</Code><Message>This request is not authorized.\nRequestId:1</Message></Error>";
    answer(
        &server,
        "PUT",
        "/acct/c/probe",
        ResponseTemplate::new(403).set_body_raw(xml, "application/xml"),
    )
    .await;
    answer(&server, "HEAD", "/acct/c/gone", ResponseTemplate::new(404)).await;
    let denied = ResponseTemplate::new(403).insert_header("x-ms-error-code", "AuthenticationFailed");
    answer(&server, "HEAD", "/acct/c/denied", denied).await;
    let there = ResponseTemplate::new(200)
        .insert_header("Last-Modified", "Sat, 21 Nov 2026 19:00:00 GMT")
        .set_body_raw("12345", "x/y");
    answer(&server, "HEAD", "/acct/c/there", there).await;
    let (blobs, sas) = (Blobs::new(&arm), Secret::from("sp=rl&sig=x"));
    let e = blobs.try_put("acct", "c", "probe", &b"x"[..], &sas).await.unwrap_err();
    assert_eq!((e.status(), e.code()), (Some(403), "AuthorizationPermissionMismatch"));
    assert_eq!(blobs.head("acct", "c", "gone", &sas).await, Ok(None));
    assert_eq!(
        blobs.head("acct", "c", "denied", &sas).await.unwrap_err().code(),
        "AuthenticationFailed"
    );
    assert_eq!(blobs.head("acct", "c", "there", &sas).await.unwrap().unwrap().size, 5);
}

#[tokio::test]
async fn the_network_says_what_failed() {
    let at = |url: &str| AzureConnection {
        arm_url: url.into(),
        ..AzureConnection::default()
    };
    let kind = async |url: &str| {
        let arm = Arm::connect(&at(url), tokens(&["t"])).unwrap();
        match arm.get(&ResourceId::new(VNET)).await.unwrap_err() {
            AzureError::Network { kind, .. } => kind,
            other => unreachable!("{other}"),
        }
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(kind(&format!("https://{closed}")).await, NetworkKind::Refused);
    // Something that speaks no TLS.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = plain.accept().unwrap();
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let e = Arm::connect(&at(&url), tokens(&["t"]))
        .unwrap()
        .get(&ResourceId::new(VNET))
        .await
        .unwrap_err();
    assert!(
        matches!(
            e,
            AzureError::Network {
                kind: NetworkKind::Tls,
                ..
            }
        ),
        "{e:?}"
    );
    assert!(matches!(
        Arm::connect(&at("http://arm.example"), tokens(&["t"])),
        Err(AzureError::Config { .. })
    ));
}

#[tokio::test]
async fn the_connection_test_names_the_hop() {
    let server = MockServer::start().await;
    let subscription = |state: &str| json!({"subscriptionId": "s", "displayName": "Contoso", "state": state});
    let check = async |server: &MockServer, list: &[&'static str]| {
        let network = Network::of(&connection(server), None).unwrap();
        check_connection(&connection(server), &network, tokens(list), Arc::new(Kept::default())).await
    };
    answer(&server, "GET", "/metadata/endpoints", json_answer(200, json!({}))).await;
    answer(
        &server,
        "GET",
        "/subscriptions/s",
        json_answer(200, subscription("Enabled")),
    )
    .await;
    let permissions = "/subscriptions/s/providers/Microsoft.Authorization/permissions";
    answer(
        &server,
        "GET",
        permissions,
        json_answer(200, json!({"value": [{"actions": ["*/read"], "notActions": []}]})),
    )
    .await;
    let steps = check(&server, &["t"]).await;
    assert_eq!(steps.len(), 6, "{steps:?}");
    assert!(steps.iter().all(|s| s.ok));
    assert!(
        steps[5].hint.contains("--role Contributor"),
        "reading alone is a warning: {:?}",
        steps[5]
    );

    server.reset().await;
    let skewed = json_answer(200, json!({})).insert_header("Date", "Sat, 21 Nov 2009 19:00:00 GMT");
    answer(&server, "GET", "/metadata/endpoints", skewed).await;
    answer(
        &server,
        "GET",
        "/subscriptions/s",
        json_answer(200, subscription("Disabled")),
    )
    .await;
    let steps = check(&server, &["t"]).await;
    assert!(steps[2].ok && steps[2].detail.contains("ahead"), "{:?}", steps[2]);
    assert_eq!((steps.len(), steps[4].ok), (5, false), "{steps:?}");

    let mut nowhere = connection(&server);
    nowhere.arm_url = format!(
        "https://{}",
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    );
    let network = Network::of(&nowhere, None).unwrap();
    let steps = check_connection(&nowhere, &network, tokens(&["t"]), Arc::new(Kept::default())).await;
    assert_eq!((steps.len(), steps[1].ok), (2, false));
    assert!(
        steps[1].title.contains("127.0.0.1") && steps[1].detail.contains("No connection"),
        "{:?}",
        steps[1]
    );
}
