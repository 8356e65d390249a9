//! Every way to sign in against the simulated Entra, over HTTPS; what goes wrong in each; and runs of days, in lab time.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use azure::{
    Arm, AzureError, Hop, Network, Session,
    auth::{Account, ClientCertificate, ComputerTime, Means, Time},
    check_connection,
};
use jiff::{SignedDuration, Timestamp};
use lab::{
    LabClock,
    entra::{Demand, Person, TokenTime},
};
use plan::{
    Exchange, ResourceId, Trace,
    design::{AzureConnection, Cloud, Proxy, SignIn},
};
use secrets::{MemoryStore, Secret, SecretStore};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

const KEY: &str = "project/azure-account";
const PEM: &[u8] = include_bytes!("data/client.pem");

#[derive(Default)]
struct Kept(Mutex<Vec<Exchange>>);

impl Trace for Kept {
    fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }
}

/// The lab's clock, shifted: this computer's may be wrong.
struct LabTime(Arc<LabClock>, SignedDuration);

#[async_trait::async_trait]
impl Time for LabTime {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }

    async fn sleep_until(&self, until: Timestamp) {
        self.0.sleep_until(until - self.1).await;
    }
}

struct Bench {
    lab: lab::Lab,
    store: Arc<MemoryStore>,
    trace: Arc<Kept>,
}

impl Bench {
    async fn new() -> Self {
        let lab = lab::Lab::start(lab::Options {
            // Only jumps move the clock: what the test waits for happens at once, and nothing happens in between.
            skip_idle_over: Some(Duration::ZERO),
            people: false,
            token_time: TokenTime::Lab,
            ..lab::Options::default()
        })
        .await
        .unwrap();
        Self {
            lab,
            store: Arc::default(),
            trace: Arc::default(),
        }
    }

    fn connection(&self, sign_in: SignIn) -> AzureConnection {
        let a = self.lab.addresses();
        let person = matches!(sign_in, SignIn::Browser | SignIn::DeviceCode);
        let of_application = |id: String| if person { String::new() } else { id };
        AzureConnection {
            cloud: Cloud::Custom,
            arm_url: a.arm,
            authority_url: a.authority,
            blob_url: a.blob,
            sign_in,
            tenant_id: of_application(a.tenant_id),
            client_id: of_application(a.client_id),
            subscription_id: a.subscription_id,
            ca_pem: a.ca_pem,
            ..AzureConnection::default()
        }
    }

    fn time(&self) -> Arc<dyn Time> {
        Arc::new(LabTime(self.lab.clock(), SignedDuration::ZERO))
    }

    fn session(&self, sign_in: SignIn) -> Arc<Session> {
        let a = self.lab.addresses();
        let means = match sign_in {
            SignIn::Browser | SignIn::DeviceCode => Means::Person {
                store: self.store.clone(),
                key: KEY.into(),
            },
            SignIn::ClientSecret => Means::ClientSecret(Secret::new(a.client_secret)),
            SignIn::ClientCertificate => Means::ClientCertificate(ClientCertificate::read(PEM, None).unwrap()),
            SignIn::AzureCli => Means::AzureCli,
            SignIn::ManagedIdentity => Means::ManagedIdentity,
        };
        let c = self.connection(sign_in);
        Session::new(&c, means, Network::of(&c, None).unwrap(), self.time()).unwrap()
    }

    fn arm(&self, session: &Arc<Session>) -> Arm {
        Arm::connect(session.connection(), session.credential())
            .unwrap()
            .traced(self.trace.clone())
    }

    fn registers_certificate(&self) {
        let text = std::str::from_utf8(PEM).unwrap();
        let end = "-----END CERTIFICATE-----";
        let der: String = text.split_once(end).unwrap().0.lines().skip(1).collect();
        use base64::{Engine, engine::general_purpose::STANDARD};
        let der = STANDARD.decode(der).unwrap();
        self.lab.with_world(|w| w.entra.certificates.push(der));
    }

    fn person(&self, does: Person) {
        self.lab.with_world(|w| w.entra.person = does);
    }

    fn passes(&self, time: SignedDuration) {
        let clock = self.lab.clock();
        clock.advance_to(clock.now() + time);
    }

    /// What the browser does with a page: follows it to Entra, and comes back from there. The page that ends it.
    async fn browser(&self, page: &Url) -> String {
        let _busy = self.lab.clock().awake();
        let back = self.redirected(page).await;
        self.returns(&back).await
    }

    /// The browser comes back to this computer. Lab time stands still meanwhile, or the wait for it would be over at once.
    async fn returns(&self, back: &Url) -> String {
        let _busy = self.lab.clock().awake();
        reqwest::get(back.clone()).await.unwrap().text().await.unwrap()
    }

    /// Where Entra sends the browser.
    async fn redirected(&self, page: &Url) -> Url {
        let ca = reqwest::Certificate::from_pem(self.lab.addresses().ca_pem.as_bytes()).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = http.get(page.clone()).send().await.unwrap();
        let back = answer.headers().get("location").unwrap().to_str().unwrap();
        Url::parse(back).unwrap()
    }

    /// Signs in with the browser; the result and the page.
    async fn signs_in(&self, session: &Arc<Session>) -> (Result<Account, AzureError>, String) {
        let started = session.browser(Some(self.trace.clone())).await.unwrap();
        let page = started.url().clone();
        tokio::join!(started.finish(), self.browser(&page))
    }

    /// Signs in whoever the session is for, if it is for a person.
    async fn person_signs_in(&self, session: &Arc<Session>) {
        match session.connection().sign_in {
            SignIn::Browser => drop(self.signs_in(session).await.0.unwrap()),
            SignIn::DeviceCode => {
                let started = session.device_code(Some(self.trace.clone())).await.unwrap();
                started.finish().await.unwrap();
            }
            _ => {}
        }
    }

    fn tokens(&self) -> u64 {
        self.lab.stats().tokens
    }

    /// Azure refuses all tokens until now. The second from which new ones count.
    fn revokes_tokens(&self) -> String {
        let nbf = (self.lab.clock().now().as_second() + 1).to_string();
        self.lab.with_world(|w| w.entra.challenge("nbf", &nbf));
        nbf
    }

    /// The claims of a session's token.
    async fn token(&self, session: &Arc<Session>) -> serde_json::Value {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let scope = azure::clouds::scope(session.connection());
        let token = session.credential().get_token(&[&scope], None).await.unwrap();
        let claims = token.token.secret().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }
}

async fn reads(arm: &Arm) -> Result<(), AzureError> {
    let id = ResourceId::new(format!("/subscriptions/{}", arm.connection().subscription_id));
    arm.get(&id).await.map(|_| ())
}

fn query(url: &Url, key: &str) -> String {
    url.query_pairs().find(|(k, _)| k == key).unwrap().1.into_owned()
}

#[tokio::test]
async fn a_person_signs_in_with_the_browser_and_stays_signed_in() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    let e = reads(&b.arm(&session)).await.unwrap_err();
    assert_eq!(e.code(), "NotSignedIn", "{e:?}");
    let (account, page) = b.signs_in(&session).await;
    let account = account.unwrap();
    assert_eq!(
        (account.user.as_str(), &account.tenant_id),
        ("admin@contoso.com", &b.lab.addresses().tenant_id)
    );
    assert!(page.contains("You can close this page"), "{page}");
    reads(&b.arm(&session)).await.unwrap();
    assert_eq!(b.tokens(), 1, "the token that came with the sign-in serves");
    // Another start of the program: only the store is left.
    let later = b.session(SignIn::Browser);
    assert_eq!(later.account().await.unwrap(), Some(account));
    reads(&b.arm(&later)).await.unwrap();
    later.sign_out().await.unwrap();
    assert_eq!(b.store.get(KEY).await, Ok(None));
    assert_eq!(reads(&b.arm(&later)).await.unwrap_err().code(), "NotSignedIn");
}

#[tokio::test]
async fn an_answer_with_another_state_is_refused_before_anything_is_asked() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    let started = session.browser(None).await.unwrap();
    let page = started.url().clone();
    let mut back = b.redirected(&page).await;
    let code = query(&back, "code");
    let visits = async {
        let _busy = b.lab.clock().awake();
        // What is no answer is told so, and the wait goes on.
        let mut icon = back.clone();
        icon.set_path("/favicon.ico");
        icon.set_query(None);
        assert_eq!(reqwest::get(icon).await.unwrap().status(), 404);
        back.query_pairs_mut()
            .clear()
            .extend_pairs([("code", code.as_str()), ("state", "of-somebody-else")]);
        b.returns(&back).await
    };
    let (result, shown) = tokio::join!(started.finish(), visits);
    assert_eq!(result.unwrap_err().code(), "StateMismatch");
    assert!(shown.contains("did not work") && !shown.contains(&code), "{shown}");
    assert_eq!((b.tokens(), b.store.get(KEY).await), (0, Ok(None)));
}

/// An attacker slips in a code that was given for their own proof.
#[tokio::test]
async fn a_code_of_another_proof_is_refused() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    let started = session.browser(None).await.unwrap();
    let mut theirs = started.url().clone();
    let pairs: Vec<(String, String)> = started
        .url()
        .query_pairs()
        .map(|(k, v)| match &*k {
            "code_challenge" => (k.into_owned(), "A".repeat(43)),
            _ => (k.into_owned(), v.into_owned()),
        })
        .collect();
    theirs.query_pairs_mut().clear().extend_pairs(pairs);
    let (result, _) = tokio::join!(started.finish(), b.browser(&theirs));
    let e = result.unwrap_err();
    assert_eq!(e.code(), "AADSTS501481", "{e:?}");
    assert!(e.advice().title.contains("does not fit"));
    assert_eq!(b.tokens(), 0);
}

#[tokio::test]
async fn each_way_a_person_can_say_no_has_words() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    for (does, code, title) in [
        (Person::Cancels, "SignInCancelled", "cancelled"),
        (Person::DeclinesConsent, "AADSTS65004", "declined"),
        (
            Person::NeedsAdministrator,
            "AADSTS90094",
            "administrator has to consent",
        ),
    ] {
        b.person(does);
        let (result, page) = b.signs_in(&session).await;
        let e = result.unwrap_err();
        let advice = e.advice();
        assert_eq!(e.code(), code, "{e:?}");
        assert!(advice.title.contains(title) && !advice.hint.is_empty(), "{advice:?}");
        assert!(page.contains("did not work") && !page.contains("AADSTS"), "{page}");
    }
    b.person(Person::Accepts);
    b.lab.with_world(|w| w.entra.account_disabled = true);
    let e = b.signs_in(&session).await.0.unwrap_err();
    assert_eq!(e.advice().title, "The account is disabled");
    // Nobody comes back: lab time passes until the wait ends.
    let started = session.browser(None).await.unwrap();
    let before = b.lab.clock().now();
    assert_eq!(started.finish().await.unwrap_err().code(), "SignInTimedOut");
    assert!(b.lab.clock().now().duration_since(before) >= SignedDuration::from_mins(15));
}

#[tokio::test]
async fn a_cancelled_browser_sign_in_frees_its_port() {
    let b = Bench::new().await;
    let started = b.session(SignIn::Browser).browser(None).await.unwrap();
    let port = Url::parse(&query(started.url(), "redirect_uri"))
        .unwrap()
        .port()
        .unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    drop(started);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_device_code_is_polled_until_it_is_entered() {
    let b = Bench::new().await;
    let session = b.session(SignIn::DeviceCode);
    let started = session.device_code(Some(b.trace.clone())).await.unwrap();
    assert!(started.url().ends_with("/deviceauth") && started.user_code().len() == 9);
    assert_eq!(started.finish().await.unwrap().user, "admin@contoso.com");
    reads(&b.arm(&session)).await.unwrap();
    let asked = |b: &Bench| {
        let exchanges = b.trace.0.lock().unwrap();
        exchanges.iter().filter(|e| e.url.ends_with("/token")).count()
    };
    assert_eq!(asked(&b), 3, "at 5, 10 and 15 seconds; the code is entered after 12");
}

#[tokio::test]
async fn a_device_code_that_nobody_enters_expires_and_one_that_is_declined_ends() {
    let b = Bench::new().await;
    let session = b.session(SignIn::DeviceCode);
    b.person(Person::Away);
    let e = session.device_code(None).await.unwrap().finish().await.unwrap_err();
    assert_eq!(e.advice().title, "The code has expired", "{e:?}");
    b.person(Person::Cancels);
    let e = session.device_code(None).await.unwrap().finish().await.unwrap_err();
    assert_eq!(e.code(), "authorization_declined", "{e:?}");
    assert_eq!(b.tokens(), 0);
}

/// A clock that runs too fast makes the client ask too soon; Entra says so, and it asks less often.
#[tokio::test]
async fn slow_down_is_obeyed() {
    struct Hasty(Arc<LabClock>);
    #[async_trait::async_trait]
    impl Time for Hasty {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        async fn sleep_until(&self, until: Timestamp) {
            let now = self.0.now();
            self.0.sleep_until(now + until.duration_since(now) / 2).await;
        }
    }
    let b = Bench::new().await;
    let c = b.connection(SignIn::DeviceCode);
    let means = Means::Person {
        store: b.store.clone(),
        key: KEY.into(),
    };
    let time = Arc::new(Hasty(b.lab.clock()));
    let session = Session::new(&c, means, Network::of(&c, None).unwrap(), time).unwrap();
    session
        .device_code(Some(b.trace.clone()))
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    let exchanges = b.trace.0.lock().unwrap();
    let bodies = exchanges.iter().filter_map(|e| e.response_body.as_deref());
    assert!(bodies.filter(|body| body.contains("slow_down")).count() >= 1);
}

#[tokio::test]
async fn an_expired_or_revoked_sign_in_is_said_once_and_ends_with_the_next_one() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    for (ends, code) in [("idle", "AADSTS700082"), ("revoked", "AADSTS50173")] {
        b.signs_in(&session).await.0.unwrap();
        match ends {
            "idle" => b.passes(SignedDuration::from_hours(24 * 91)),
            _ => {
                b.lab.with_world(|w| w.entra.revoke());
                b.passes(SignedDuration::from_hours(2));
            }
        }
        let e = reads(&b.arm(&session)).await.unwrap_err();
        assert_eq!(e.code(), code);
        assert!(e.advice().hint.contains("Sign in"), "{:?}", e.advice());
        let asked = b.lab.stats().requests;
        assert_eq!(reads(&b.arm(&session)).await.unwrap_err().code(), code);
        assert_eq!(b.lab.stats().requests, asked, "Entra is not asked again and again");
    }
    b.signs_in(&session).await.0.unwrap();
    reads(&b.arm(&session)).await.unwrap();
}

/// A run's session was refused; the person signs in again in another one.
#[tokio::test]
async fn a_run_goes_on_after_somebody_signed_in_again_elsewhere() {
    let b = Bench::new().await;
    let run = b.session(SignIn::Browser);
    b.signs_in(&run).await.0.unwrap();
    for _ in 0..2 {
        b.lab.with_world(|w| w.entra.revoke());
        b.passes(SignedDuration::from_hours(2));
        assert_eq!(reads(&b.arm(&run)).await.unwrap_err().code(), "AADSTS50173");
        b.signs_in(&b.session(SignIn::DeviceCode)).await.0.unwrap();
        reads(&b.arm(&run)).await.unwrap();
    }
    // Also when it did not know yet that it is refused.
    b.lab.with_world(|w| w.entra.revoke());
    b.signs_in(&b.session(SignIn::Browser)).await.0.unwrap();
    b.passes(SignedDuration::from_hours(2));
    reads(&b.arm(&run)).await.unwrap();
}

#[tokio::test]
async fn many_at_once_cause_one_request_and_a_refused_token_one_more() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    b.signs_in(&session).await.0.unwrap();
    b.passes(SignedDuration::from_hours(1));
    let before = b.tokens();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let arm = b.arm(&session);
        tasks.spawn(async move { reads(&arm).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!((b.tokens() - before, b.lab.stats().expired_tokens), (1, 0));
}

/// What the resource manager demands is asked of Entra, with the capability to answer demands; and shown nowhere.
#[tokio::test]
async fn a_challenge_is_answered_with_what_it_demands() {
    for sign_in in [
        SignIn::Browser,
        SignIn::DeviceCode,
        SignIn::ClientSecret,
        SignIn::ClientCertificate,
    ] {
        let b = Bench::new().await;
        b.registers_certificate();
        let session = b.session(sign_in);
        b.person_signs_in(&session).await;
        let arm = b.arm(&session);
        reads(&arm).await.unwrap();
        let capable = serde_json::json!(["CP1"]);
        assert_eq!(b.token(&session).await["xms_cc"], capable, "{sign_in:?}");
        let (nbf, before) = (b.revokes_tokens(), b.tokens());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let arm = arm.clone();
            tasks.spawn(async move { reads(&arm).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(b.tokens() - before, 1, "{sign_in:?}: one request for all");
        let token = b.token(&session).await;
        assert_eq!((token["nbf"].to_string(), &token["xms_cc"]), (nbf.clone(), &capable));
        reads(&arm).await.unwrap();
        assert_eq!(b.tokens() - before, 1);
        let shown = format!("{:?}", b.trace.0.lock().unwrap());
        assert!(shown.contains("claims=<redacted>"), "{shown}");
        assert!(!shown.contains(&nbf) && !shown.contains("essential"), "{shown}");
    }
}

/// A policy wants a second factor, which no refresh gives: the person is told, and passes it in another session.
#[tokio::test]
async fn a_demand_that_needs_the_person_is_met_at_the_next_sign_in() {
    for sign_in in [SignIn::Browser, SignIn::DeviceCode] {
        let b = Bench::new().await;
        let run = b.session(SignIn::Browser);
        b.person_signs_in(&run).await;
        reads(&b.arm(&run)).await.unwrap();
        b.lab.with_world(|w| w.entra.challenge("acrs", "p1"));
        for _ in 0..2 {
            let e = reads(&b.arm(&run)).await.unwrap_err();
            assert_eq!((e.code(), e.class()), ("AADSTS50076", azure::ErrorClass::Auth), "{e}");
            assert!(e.advice().hint.contains("Choose Sign in"), "{:?}", e.advice());
        }
        b.person_signs_in(&b.session(sign_in)).await;
        reads(&b.arm(&run)).await.unwrap();
        // It is asked for once: the next sign-in is as the first was.
        let page = b.session(SignIn::Browser).browser(None).await.unwrap().url().clone();
        assert_eq!(
            query(&page, "claims"),
            r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#
        );
    }
}

/// Somebody signs the account out everywhere: Azure knows at once, and no token comes without the person.
#[tokio::test]
async fn a_revoked_session_is_met_at_once_and_ends_with_the_next_sign_in() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    b.person_signs_in(&session).await;
    reads(&b.arm(&session)).await.unwrap();
    b.lab.with_world(|w| w.entra.revoke());
    b.revokes_tokens();
    for _ in 0..2 {
        let e = reads(&b.arm(&session)).await.unwrap_err();
        assert_eq!(e.code(), "AADSTS50173", "{e}");
        assert!(e.advice().hint.contains("Choose Sign in"), "{:?}", e.advice());
    }
    b.passes(SignedDuration::from_secs(2));
    b.person_signs_in(&b.session(SignIn::Browser)).await;
    reads(&b.arm(&session)).await.unwrap();
}

#[tokio::test]
async fn an_application_that_can_not_meet_a_demand_is_told_after_one_more_try() {
    let b = Bench::new().await;
    let session = b.session(SignIn::ClientSecret);
    reads(&b.arm(&session)).await.unwrap();
    b.lab.with_world(|w| w.entra.challenge("acrs", "p1"));
    let before = b.lab.stats().requests;
    let e = reads(&b.arm(&session)).await.unwrap_err();
    assert_eq!((e.code(), e.class()), ("ClaimsNotMet", azure::ErrorClass::Auth));
    assert!(e.advice().hint.contains("Sign-in logs"), "{:?}", e.advice());
    assert_eq!(
        b.lab.stats().requests - before,
        3,
        "refused, a new token, refused again"
    );
}

/// The program dies after Entra gave a new refresh token and before it was stored: the old one must still serve.
#[tokio::test]
async fn a_rotated_sign_in_survives_a_crash_before_it_was_stored() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    b.signs_in(&session).await.0.unwrap();
    let stored = b.store.get(KEY).await.unwrap().unwrap();
    b.passes(SignedDuration::from_hours(1));
    reads(&b.arm(&session)).await.unwrap();
    assert_ne!(b.store.get(KEY).await.unwrap().unwrap(), stored, "it rotated");
    b.store.set(KEY, &stored).await.unwrap();
    let later = b.session(SignIn::Browser);
    b.passes(SignedDuration::from_hours(1));
    reads(&b.arm(&later)).await.unwrap();
}

#[tokio::test]
async fn a_down_entra_does_not_stop_who_still_has_a_valid_token() {
    let b = Bench::new().await;
    let session = b.session(SignIn::ClientSecret);
    let arm = b.arm(&session);
    reads(&arm).await.unwrap();
    b.passes(SignedDuration::from_mins(56));
    let fault = serde_json::json!([{"service": "entra", "ends": {"hits": 2}, "effect": {"refuse": {"status": 503, "code": "", "message": "", "body": {"error": "temporarily_unavailable", "error_description": "Later."}}}}]);
    let ca = reqwest::Certificate::from_pem(b.lab.addresses().ca_pem.as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let set = http.post(format!("{}/faults", b.lab.addresses().control)).json(&fault);
    assert!(set.send().await.unwrap().status().is_success());
    reads(&arm).await.unwrap();
    b.passes(SignedDuration::from_mins(5));
    let e = reads(&arm).await.unwrap_err();
    assert_eq!(
        (e.class(), b.lab.stats().expired_tokens),
        (azure::ErrorClass::Transient, 0)
    );
    reads(&arm).await.unwrap();
}

#[tokio::test]
async fn seventy_two_hours_without_one_expired_token() {
    for sign_in in [SignIn::Browser, SignIn::ClientSecret, SignIn::ClientCertificate] {
        let b = Bench::new().await;
        b.registers_certificate();
        let session = b.session(sign_in);
        if sign_in == SignIn::Browser {
            b.signs_in(&session).await.0.unwrap();
        }
        let arm = b.arm(&session);
        let clock = b.lab.clock();
        let start = clock.now();
        // Not a divisor of the hour: the calls fall on every minute of a token's life.
        let mut calls = 0;
        while clock.now().duration_since(start) < SignedDuration::from_hours(72) {
            reads(&arm).await.unwrap();
            calls += 1;
            clock.sleep_until(clock.now() + SignedDuration::from_secs(397)).await;
        }
        let stats = b.lab.stats();
        assert!(calls > 640, "{calls}");
        assert_eq!(stats.expired_tokens, 0, "{sign_in:?}");
        assert!(
            (72..=90).contains(&stats.tokens),
            "{sign_in:?}: {} tokens",
            stats.tokens
        );
    }
}

#[tokio::test]
async fn a_certificate_signs_in_when_it_is_registered_and_the_clock_is_right() {
    let b = Bench::new().await;
    let session = b.session(SignIn::ClientCertificate);
    let e = reads(&b.arm(&session)).await.unwrap_err();
    assert_eq!(e.code(), "AADSTS700027", "{e:?}");
    b.registers_certificate();
    reads(&b.arm(&session)).await.unwrap();
    let c = b.connection(SignIn::ClientCertificate);
    let means = Means::ClientCertificate(ClientCertificate::read(PEM, None).unwrap());
    let wrong = Arc::new(LabTime(b.lab.clock(), SignedDuration::from_hours(3)));
    let session = Session::new(&c, means, Network::of(&c, None).unwrap(), wrong).unwrap();
    let e = reads(&b.arm(&session)).await.unwrap_err();
    assert!(e.advice().title.contains("clock"), "{e:?}");
}

#[tokio::test]
async fn an_expired_secret_is_named() {
    let b = Bench::new().await;
    b.lab.with_world(|w| w.entra.secret_expired = true);
    let e = reads(&b.arm(&b.session(SignIn::ClientSecret))).await.unwrap_err();
    assert_eq!(
        (e.code(), e.advice().title.as_str()),
        ("AADSTS7000222", "The client secret has expired")
    );
}

#[tokio::test]
async fn all_tenants_and_their_subscriptions_are_offered_and_only_usable_ones() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    b.signs_in(&session).await.0.unwrap();
    let (tenants, subscriptions) = azure::account_scope(&session).await.unwrap();
    let names: Vec<&str> = tenants.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["Contoso", "Fabrikam"]);
    assert!(tenants.iter().all(|t| t.problem.is_none()));
    let seen: Vec<(&str, bool)> = subscriptions.iter().map(|s| (s.name.as_str(), s.usable)).collect();
    assert_eq!(
        seen,
        [
            ("Contoso Production", true),
            ("Contoso Test", true),
            ("Fabrikam Production", true),
            ("Contoso Archive", false),
            ("Fabrikam Sandbox", false)
        ]
    );
    assert!(subscriptions.iter().all(|s| s.usable || !s.reason.is_empty()));

    // One tenant wants more than the others: it is said, and the others are still there.
    for (demand, code) in [
        (Demand::SecondFactor, "AADSTS50076"),
        (Demand::CompliantDevice, "AADSTS53000"),
        (Demand::Blocked, "AADSTS53003"),
    ] {
        b.lab.with_world(|w| w.entra.tenants[1].demand = Some(demand));
        let later = b.session(SignIn::Browser);
        let (tenants, subscriptions) = azure::account_scope(&later).await.unwrap();
        let problem = tenants[1].problem.clone().unwrap();
        assert_eq!(problem.code(), code);
        assert!(!problem.advice().hint.is_empty());
        assert_eq!(subscriptions.len(), 3);
    }

    // A subscription of one tenant with a sign-in for the other.
    let theirs = subscriptions.iter().find(|s| s.name == "Fabrikam Production").unwrap();
    let id = ResourceId::new(format!("/subscriptions/{}", theirs.id));
    let e = b.arm(&session).get(&id).await.unwrap_err();
    assert_eq!(e.code(), "InvalidAuthenticationTokenTenant");
    assert_eq!(e.advice().title, "The sign-in is for another tenant");
}

#[tokio::test]
async fn a_custom_cloud_tells_where_it_is() {
    let b = Bench::new().await;
    let a = b.lab.addresses();
    let c = AzureConnection {
        cloud: Cloud::Custom,
        arm_url: format!("{}/", a.arm),
        ca_pem: a.ca_pem.clone(),
        ..AzureConnection::default()
    };
    let network = Network::of(&c, None).unwrap();
    let found = azure::clouds::discover(&c, &network, Some(&*b.trace)).await.unwrap();
    assert_eq!(
        (
            found.arm_url.as_str(),
            found.authority_url.as_str(),
            found.audience.as_str()
        ),
        (a.arm.as_str(), a.authority.as_str(), "")
    );
    assert!(found.blob_url.starts_with("https://{account}.blob.") && found.portal_url.starts_with("https://"));
    let no_cloud = AzureConnection {
        arm_url: a.authority,
        ..c
    };
    let e = azure::clouds::discover(&no_cloud, &network, None).await.unwrap_err();
    assert!(matches!(e, AzureError::Parse { .. }), "{e:?}");
}

/// A proxy that lets through who has the right name, as `answer` says otherwise.
async fn proxy(allowed: Option<&'static str>, refusal: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![];
                while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                    if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                let given = head.lines().find_map(|l| {
                    l.to_ascii_lowercase()
                        .starts_with("proxy-authorization: basic ")
                        .then(|| l[27..].to_owned())
                });
                if allowed.is_some_and(|a| given.as_deref() == Some(a)) {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    client
                        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        .await
                        .unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                } else {
                    let _ = client.write_all(refusal.as_bytes()).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn the_test_of_a_connection_names_the_hop() {
    let b = Bench::new().await;
    let good = b.connection(SignIn::ClientSecret);
    let test = async |c: &AzureConnection, password: &str| {
        let network = Network::of(c, Some(password.into())).unwrap();
        let secret = Means::ClientSecret(Secret::new(b.lab.addresses().client_secret));
        let session = Session::new(c, secret, network.clone(), b.time()).unwrap();
        check_connection(c, &network, session.credential(), b.trace.clone()).await
    };
    let all = test(&good, "").await;
    let hops: Vec<Hop> = all.iter().map(|s| s.hop).collect();
    use Hop::{Dns, ResourceManager, Rights, SignIn as Signed, Subscription, Tcp, Tls};
    assert_eq!(
        hops,
        [Dns, Tcp, Tls, ResourceManager, Signed, Subscription, Rights],
        "{all:#?}"
    );
    assert!(all.iter().all(|s| s.ok), "{all:#?}");

    let through = |port: u16| AzureConnection {
        proxy: Proxy::Explicit {
            url: format!("http://127.0.0.1:{port}"),
            user: "admin".into(),
        },
        ..good.clone()
    };
    const BASIC: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    const NTLM: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n";
    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    // admin:Canary-7f3a-proxy
    let open = proxy(Some("YWRtaW46Q2FuYXJ5LTdmM2EtcHJveHk="), BASIC).await;
    let steps = test(&through(open), "Canary-7f3a-proxy").await;
    assert!(steps.iter().all(|s| s.ok) && steps[1].hop == Hop::Proxy, "{steps:#?}");

    let cases = [
        (through(open), "wrong", Hop::Proxy, "user and password"),
        (through(proxy(None, NTLM).await), "p", Hop::Proxy, "Negotiate, NTLM"),
        (
            through(proxy(None, FORBIDDEN).await),
            "p",
            Hop::Proxy,
            "HTTP status 403",
        ),
        (
            through(proxy(None, "SSH-2.0-OpenSSH\r\n\r\n").await),
            "p",
            Hop::Proxy,
            "no HTTP proxy",
        ),
        (through(1), "p", Hop::Proxy, "No connection to the proxy"),
        (
            AzureConnection {
                arm_url: "https://management.azure.invalid".into(),
                ..good.clone()
            },
            "",
            Hop::Dns,
            "can't be resolved",
        ),
        (
            AzureConnection {
                arm_url: "https://127.0.0.1:1".into(),
                ..good.clone()
            },
            "",
            Hop::Tcp,
            "No connection",
        ),
        (
            AzureConnection {
                ca_pem: String::new(),
                ..good.clone()
            },
            "",
            Hop::Tls,
            "certificate",
        ),
        (
            AzureConnection {
                authority_url: "https://login.azure.invalid".into(),
                ..good.clone()
            },
            "",
            Hop::Dns,
            "can't be resolved",
        ),
        (
            AzureConnection {
                tenant_id: "00000000-0000-0000-0000-00000000dead".into(),
                ..good.clone()
            },
            "",
            Hop::SignIn,
            "tenant",
        ),
        (
            AzureConnection {
                subscription_id: "00000000-0000-0000-0000-00000000dead".into(),
                ..good.clone()
            },
            "",
            Hop::Subscription,
            "not found",
        ),
    ];
    for (c, password, hop, words) in cases {
        let steps = test(&c, password).await;
        let (last, before) = steps.split_last().unwrap();
        assert_eq!((last.hop, last.ok), (hop, false), "{words}: {steps:#?}");
        assert!(before.iter().all(|s| s.ok), "{steps:#?}");
        assert!(
            last.detail.contains(words) && !last.hint.is_empty(),
            "{words}: {last:#?}"
        );
        assert!(!format!("{steps:?}").contains("Canary"));
    }
}

#[tokio::test]
async fn an_unusable_subscription_and_missing_rights_are_hops_of_their_own() {
    let b = Bench::new().await;
    let session = b.session(SignIn::Browser);
    b.signs_in(&session).await.0.unwrap();
    let (_, subscriptions) = azure::account_scope(&session).await.unwrap();
    for (name, hop) in [("Contoso Archive", Hop::Subscription), ("Contoso Test", Hop::Rights)] {
        let c = AzureConnection {
            subscription_id: subscriptions.iter().find(|s| s.name == name).unwrap().id.clone(),
            ..b.connection(SignIn::Browser)
        };
        let steps = check_connection(&c, session.network(), session.credential(), b.trace.clone()).await;
        let last = steps.last().unwrap();
        assert_eq!((last.hop, last.ok), (hop, false), "{steps:#?}");
    }
}

/// Nothing that could sign in as somebody stands in any trace, error or debug text.
#[tokio::test]
async fn traces_hold_no_token_code_verifier_or_assertion() {
    let b = Bench::new().await;
    b.registers_certificate();
    let mut secrets: Vec<String> = vec![b.lab.addresses().client_secret];
    let session = b.session(SignIn::Browser);
    let started = session.browser(Some(b.trace.clone())).await.unwrap();
    let back = b.redirected(started.url()).await;
    secrets.extend([query(&back, "code"), query(&back, "state")]);
    let (account, _) = tokio::join!(started.finish(), b.returns(&back));
    account.unwrap();
    b.passes(SignedDuration::from_hours(1));
    reads(&b.arm(&session)).await.unwrap();
    let device = b
        .session(SignIn::DeviceCode)
        .device_code(Some(b.trace.clone()))
        .await
        .unwrap();
    secrets.push(device.user_code().to_owned());
    device.finish().await.unwrap();
    let stored = b.store.get(KEY).await.unwrap().unwrap();
    let stored: serde_json::Value = serde_json::from_str(stored.expose()).unwrap();
    secrets.push(stored["refresh"].as_str().unwrap().to_owned());
    for sign_in in [SignIn::ClientSecret, SignIn::ClientCertificate, SignIn::Browser] {
        let session = b.session(sign_in);
        reads(&b.arm(&session)).await.unwrap();
        let scope = azure::clouds::scope(session.connection());
        let token = session.credential().get_token(&[&scope], None).await.unwrap();
        secrets.push(token.token.secret().to_owned());
        let shown = format!("{session:?} {:?}", session.credential());
        assert!(!secrets.iter().any(|s| shown.contains(s)), "{shown}");
    }
    let exchanges = b.trace.0.lock().unwrap();
    let all = format!("{exchanges:?}");
    for grant in [
        "authorization_code",
        "device_code",
        "refresh_token",
        "client_credentials",
    ] {
        assert!(all.contains(grant), "{grant} was traced");
    }
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} is in a trace");
    }
    assert!(!all.contains("eyJ"), "a token of any kind is in a trace");
}

/// Runs one test of this file in a process of its own, with an environment of its own.
fn alone(test: &str, environment: &[(&str, String)]) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .envs(environment.iter().map(|(k, v)| (*k, v.as_str())))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a credential from outside does, in the process that `alone` starts. Addresses come in the environment.
async fn from_outside(sign_in: SignIn, means: fn() -> Means) -> Result<String, AzureError> {
    let text = |key: &str| std::env::var(key).unwrap();
    let c = AzureConnection {
        cloud: Cloud::Custom,
        arm_url: text("TEST_ARM"),
        authority_url: text("TEST_AUTHORITY"),
        tenant_id: text("TEST_TENANT"),
        subscription_id: text("TEST_SUBSCRIPTION"),
        ca_pem: text("TEST_CA"),
        sign_in,
        ..AzureConnection::default()
    };
    let network = Network::of(&c, None).unwrap();
    let session = Session::new(&c, means(), network, Arc::new(ComputerTime)).unwrap();
    let arm = Arm::connect(&c, session.credential()).unwrap();
    let id = ResourceId::new(format!("/subscriptions/{}", c.subscription_id));
    let first = arm.get(&id).await?;
    arm.get(&id).await?;
    Ok(first["displayName"].as_str().unwrap().to_owned())
}

async fn lab_for_others() -> (lab::Lab, Vec<(&'static str, String)>) {
    let lab = lab::Lab::start(lab::Options {
        people: false,
        ..lab::Options::default()
    })
    .await
    .unwrap();
    let a = lab.addresses();
    let environment = vec![
        ("TEST_ARM", a.arm),
        ("TEST_AUTHORITY", a.authority),
        ("TEST_TENANT", a.tenant_id),
        ("TEST_SUBSCRIPTION", a.subscription_id),
        ("TEST_CA", a.ca_pem),
    ];
    (lab, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_signs_in() {
    let (lab, mut environment) = lab_for_others().await;
    // The machine's own address speaks HTTP; a small forwarder stands for it before the lab's HTTPS.
    let http = lab_client(&lab);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = lab.addresses().authority;
    let forwarding = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = vec![];
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                if client.read_buf(&mut head).await.unwrap() == 0 {
                    break;
                }
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let header = head
                .lines()
                .find_map(|l| l.strip_prefix("x-identity-header: "))
                .unwrap_or_default();
            let answer = http
                .get(format!("{authority}{path}"))
                .header("x-identity-header", header)
                .send()
                .await
                .unwrap();
            let status = answer.status();
            let body = answer.text().await.unwrap();
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            client.write_all(text.as_bytes()).await.unwrap();
        }
    });
    environment.push(("IDENTITY_ENDPOINT", format!("http://127.0.0.1:{port}/msi/token")));
    environment.push(("IDENTITY_HEADER", lab::entra::IDENTITY_HEADER.to_owned()));
    tokio::task::spawn_blocking(move || alone("managed_identity_alone", &environment))
        .await
        .unwrap();
    assert_eq!(lab.stats().tokens, 1, "the second request used the same token");
    forwarding.abort();
}

fn lab_client(lab: &lab::Lab) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(lab.addresses().ca_pem.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([ca]).build().unwrap()
}

#[tokio::test]
#[ignore = "run by a_managed_identity_signs_in, with its environment"]
async fn managed_identity_alone() {
    let name = from_outside(SignIn::ManagedIdentity, || Means::ManagedIdentity)
        .await
        .unwrap();
    assert_eq!(name, "Contoso Production");
}

/// A command that answers as `az account get-access-token` does takes the place of the Azure CLI.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_azure_cli_signs_in_and_its_words_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    let (lab, mut environment) = lab_for_others().await;
    let a = lab.addresses();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &a.client_id),
        ("client_secret", &a.client_secret),
        ("scope", &format!("{}/.default", a.arm)),
    ];
    let token: serde_json::Value = lab_client(&lab)
        .post(format!("{}/{}/oauth2/v2.0/token", a.authority, a.tenant_id))
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let answer = serde_json::json!({
        "accessToken": token["access_token"], "expires_on": Timestamp::now().as_second() + 3000, "tokenType": "Bearer",
    });
    let folder = std::env::temp_dir().join(format!("rehost-az-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\necho x >> {0}/asked\ncase \"$*\" in\n*--tenant\\ {1}*) cat {0}/answer ;;\n*) echo 'Please run az login' >&2; exit 1 ;;\nesac\n",
        folder.display(),
        a.tenant_id
    );
    std::fs::write(folder.join("answer"), answer.to_string()).unwrap();
    std::fs::write(folder.join("az"), script).unwrap();
    std::fs::set_permissions(folder.join("az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    environment.push(("PATH", path));
    let run = environment.clone();
    tokio::task::spawn_blocking(move || alone("azure_cli_alone", &run))
        .await
        .unwrap();
    let asked = std::fs::read_to_string(folder.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "the second request used the same token");
    // What Azure demands, the command can't ask for: the person is told how to.
    let nbf = (Timestamp::now().as_second() + 1).to_string();
    lab.with_world(|w| w.entra.challenge("nbf", &nbf));
    let challenged = environment.clone();
    tokio::task::spawn_blocking(move || alone("azure_cli_challenged_alone", &challenged))
        .await
        .unwrap();
    environment.retain(|(k, _)| *k != "TEST_TENANT");
    environment.push(("TEST_TENANT", "00000000-0000-0000-0000-00000000dead".into()));
    tokio::task::spawn_blocking(move || alone("azure_cli_refuses_alone", &environment))
        .await
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "run by the_azure_cli_signs_in_and_its_words_are_kept, with its environment"]
async fn azure_cli_alone() {
    let name = from_outside(SignIn::AzureCli, || Means::AzureCli).await.unwrap();
    assert_eq!(name, "Contoso Production");
}

#[tokio::test]
#[ignore = "run by the_azure_cli_signs_in_and_its_words_are_kept, with its environment"]
async fn azure_cli_challenged_alone() {
    let e = from_outside(SignIn::AzureCli, || Means::AzureCli).await.unwrap_err();
    let (hint, tenant) = (e.advice().hint, std::env::var("TEST_TENANT").unwrap());
    assert_eq!(e.code(), "ClaimsAzureCli", "{e}");
    let login = format!("az login --tenant \"{tenant}\" --scope \"");
    assert!(
        hint.contains(&login) && hint.contains("--claims-challenge \"eyJ"),
        "{hint}"
    );
}

#[tokio::test]
#[ignore = "run by the_azure_cli_signs_in_and_its_words_are_kept, with its environment"]
async fn azure_cli_refuses_alone() {
    let e = from_outside(SignIn::AzureCli, || Means::AzureCli).await.unwrap_err();
    assert!(e.advice().detail.contains("Please run az login"), "{:?}", e.advice());
    assert!(e.advice().hint.contains("az login"));
}
