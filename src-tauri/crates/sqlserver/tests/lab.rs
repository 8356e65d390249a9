//! The client against the lab: every way to sign in, to encrypt, to trust and to be sent on, and every way in which that
//! fails. That the lab itself speaks the protocol is shown by foreign clients in the workspace's `tests/tds.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use lab::{
    Addresses, Lab,
    tds::data::{self, Spec},
};
use secrets::Secret;
use sqlserver::{
    Client, Encryption, ErrorClass, Login, Options, SqlError, Target,
    error::{EncryptionKind, InstanceKind, UnreachableKind},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use trust::Trust;

async fn lab() -> (Lab, Addresses) {
    let lab = Lab::start(lab::Options::default()).await.unwrap();
    let addresses = lab.addresses();
    (lab, addresses)
}

/// As the scenario's DBA, with the lab's authority.
fn dba(a: &Addresses) -> Options {
    let login = Login::Sql {
        user: "svc-dms".into(),
        password: Secret::new(a.sql_password.clone()),
    };
    Options {
        trust: Trust::from_pem(&a.ca_pem).unwrap(),
        ..Options::new(Target::parse(&a.sql).unwrap(), login)
    }
}

fn spec(a: &Addresses) -> Spec {
    Spec::smarthotel(
        ("svc-dms", &a.sql_password),
        (r"CONTOSO\svc-backup", &a.share_password),
        2018,
    )
}

fn at(port: u16) -> Target {
    Target::parse(&format!("127.0.0.1,{port}")).unwrap()
}

async fn refused(options: &Options) -> SqlError {
    let error = Client::connect(options).await.expect_err("it must be refused");
    let advice = error.advice();
    assert!(!advice.title.is_empty() && advice.hint.len() > 20, "{advice:?}");
    error
}

async fn name_of(client: &mut Client) -> String {
    let rows = client.query("SELECT SUSER_SNAME() AS login").await.unwrap();
    rows[0][0].get::<&str, _>(0).unwrap().to_owned()
}

#[tokio::test]
async fn every_way_to_sign_in() {
    let (_lab, a) = lab().await;
    let mut client = Client::connect(&dba(&a)).await.unwrap();
    assert_eq!(name_of(&mut client).await, "svc-dms");
    assert_eq!(client.version(), (13, 0, 6300));
    client.close().await.unwrap();

    let windows = |user: &str, password: &str| Options {
        login: Login::Windows {
            user: user.into(),
            password: Secret::from(password),
        },
        ..dba(&a)
    };
    let mut client = Client::connect(&windows(r"CONTOSO\svc-backup", &a.share_password))
        .await
        .unwrap();
    assert_eq!(name_of(&mut client).await, r"CONTOSO\svc-backup");
    let wrong = refused(&windows(r"CONTOSO\svc-backup", "canary-71")).await;
    assert_eq!((wrong.number(), wrong.class()), (Some(18452), ErrorClass::Auth));
    let unknown = refused(&windows(r"CONTOSO\nobody", "x")).await;
    assert_eq!(unknown.number(), Some(18456));

    #[cfg(not(windows))]
    {
        let integrated = Options {
            login: Login::Integrated,
            ..dba(&a)
        };
        assert!(matches!(refused(&integrated).await, SqlError::Config(_)));
    }
}

#[tokio::test]
async fn an_entra_token_signs_in_to_a_database_only() {
    let (lab, a) = lab().await;
    let token = |resource: &'static str| lab.with_world(|w| w.token_for(resource));
    let with = |token: String| Options {
        login: Login::Token(Secret::new(token)),
        ..dba(&a)
    };
    let mut client = Client::connect(&with(token("https://database.windows.net/")))
        .await
        .unwrap();
    assert_eq!(name_of(&mut client).await, a.client_id);
    for bad in [token("https://management.azure.com/"), "a.b.c".to_owned()] {
        let error = refused(&with(bad)).await;
        assert_eq!(error.number(), Some(18456), "{error}");
        assert!(!error.to_string().contains("a.b.c"));
    }
}

#[tokio::test]
async fn logins_are_refused_for_their_reasons() {
    let (lab, a) = lab().await;
    let mut spec = spec(&a);
    let odd = "p'\"];{}=ß客 ";
    for (name, password, disabled, must_change) in [
        ("off", "x", true, false),
        ("new", "x", false, true),
        ("odd", odd, false, false),
        ("poor", "x", false, false),
    ] {
        let mut login = spec.logins[0].clone();
        (login.name, login.password, login.disabled, login.must_change) =
            (name.into(), password.into(), disabled, must_change);
        login.sysadmin = name == "odd";
        spec.logins.push(login);
    }
    let (_, port) = lab.start_sql(spec).await.unwrap();
    let with = |user: &str, password: &str, database: Option<&str>| Options {
        target: at(port),
        login: Login::Sql {
            user: user.into(),
            password: Secret::from(password),
        },
        database: database.map(str::to_owned),
        ..dba(&a)
    };
    for (user, password, database, number) in [
        ("svc-dms", "canary-71", None, 18456),
        ("nobody", "x", None, 18456),
        ("off", "x", None, 18470),
        ("new", "x", None, 18488),
        ("odd", odd, Some("no such"), 4060),
        ("poor", "x", Some("SmartHotelDB"), 4060),
    ] {
        let error = refused(&with(user, password, database)).await;
        assert_eq!(error.number(), Some(number), "{user}: {error}");
        assert!(
            !format!("{error} {error:?} {:?}", error.advice()).contains("canary-71"),
            "{error}"
        );
    }
    let mut client = Client::connect(&with("odd", odd, Some("smarthoteldb"))).await.unwrap();
    let rows = client.query("SELECT DB_NAME() AS d").await.unwrap();
    assert_eq!(rows[0][0].get::<&str, _>("d"), Some("SmartHotelDB"));
}

#[tokio::test]
async fn a_certificate_is_trusted_by_pin_or_authority_only() {
    let (_lab, a) = lab().await;
    let with = |trust| Options { trust, ..dba(&a) };
    Client::connect(&with(Trust::from_pin(&a.sql_thumbprint).unwrap()))
        .await
        .unwrap();
    match refused(&with(Trust::Platform)).await {
        SqlError::Certificate {
            presented,
            trusted_before: None,
            ..
        } => assert_eq!(presented.sha256, a.sql_thumbprint),
        other => panic!("{other}"),
    }
    match refused(&with(Trust::Pin([7; 32]))).await {
        SqlError::Certificate {
            trusted_before: Some(before),
            ..
        } => assert!(before.starts_with("07:07")),
        other => panic!("{other}"),
    }
    // The authority is right, the name is not: 127.0.0.2 is this computer too.
    let elsewhere = Options {
        target: Target::parse(&a.sql.replace("127.0.0.1", "127.0.0.2")).unwrap(),
        ..dba(&a)
    };
    assert!(matches!(
        refused(&elsewhere).await,
        SqlError::Unreachable { .. } | SqlError::Certificate { .. }
    ));
}

#[tokio::test]
async fn encryption_is_agreed_or_refused_in_words() {
    let (lab, a) = lab().await;
    let mut ports = vec![];
    for wish in [
        data::Encryption::Offered,
        data::Encryption::Forced,
        data::Encryption::Strict,
        data::Encryption::Impossible,
    ] {
        let (_, port) = lab
            .start_sql(Spec {
                encryption: wish,
                year: 2022,
                ..spec(&a)
            })
            .await
            .unwrap();
        ports.push(port);
    }
    let ask = async |port: u16, encryption| {
        let options = Options {
            target: at(port),
            encryption,
            ..dba(&a)
        };
        match Client::connect(&options).await {
            Ok(mut client) => {
                assert_eq!(name_of(&mut client).await, "svc-dms");
                None
            }
            Err(SqlError::Encryption { kind, .. }) => Some(kind),
            Err(other) => panic!("{other}"),
        }
    };
    use {Encryption::*, EncryptionKind as K};
    for (port, wish, want) in [
        (ports[0], Mandatory, None),
        (ports[0], Strict, None),
        (ports[0], Off, None),
        (ports[1], Mandatory, None),
        (ports[1], Off, Some(K::Forced)),
        (ports[2], Mandatory, Some(K::StrictOnly)),
        (ports[2], Strict, None),
        (ports[3], Mandatory, Some(K::NotOffered)),
        (ports[3], Off, None),
    ] {
        assert_eq!(ask(port, wish).await, want, "{wish:?}");
    }
}

#[tokio::test]
async fn named_instances_are_found_by_the_browser() {
    let (lab, a) = lab().await;
    let named = |instance: &str, tcp| Spec {
        instance: instance.into(),
        tcp,
        ..spec(&a)
    };
    lab.start_sql(named("HOTEL", true)).await.unwrap();
    lab.start_sql(named("EXPRESS", false)).await.unwrap();
    let ask = |target: &str| Options {
        target: Target::parse(target).unwrap(),
        browser_port: a.sql_browser,
        ..dba(&a)
    };
    let mut client = Client::connect(&ask(r"127.0.0.1\hotel")).await.unwrap();
    let rows = client.query("SELECT @@SERVERNAME AS n").await.unwrap();
    assert_eq!(rows[0][0].get::<&str, _>("n"), Some(r"SQLVM\HOTEL"));
    for (target, want) in [
        (r"127.0.0.1\nope", InstanceKind::Silent),
        (r"127.0.0.1\EXPRESS", InstanceKind::NoTcp),
    ] {
        match refused(&ask(target)).await {
            SqlError::Instance { kind, .. } => assert_eq!(kind, want),
            other => panic!("{other}"),
        }
    }
    // A written port where another instance listens by now.
    let stale = Options {
        target: Target {
            instance: Some("OLD".into()),
            ..Target::parse(&a.sql).unwrap()
        },
        ..dba(&a)
    };
    assert!(matches!(refused(&stale).await, SqlError::Instance { .. }));
}

#[tokio::test]
async fn a_managed_instances_gateway_sends_on() {
    let (lab, a) = lab().await;
    let (_, node) = lab
        .start_sql(Spec {
            edition: "SQL Azure",
            ..spec(&a)
        })
        .await
        .unwrap();
    let gateway = |to: u16| Spec {
        redirect: Some(("localhost".into(), to)),
        ..spec(&a)
    };
    let (_, port) = lab.start_sql(gateway(node)).await.unwrap();
    let mut client = Client::connect(&Options {
        target: at(port),
        ..dba(&a)
    })
    .await
    .unwrap();
    assert_eq!(client.server(), format!("localhost,{node}"));
    let rows = client
        .query("SELECT CAST(SERVERPROPERTY('EngineEdition') AS int) AS e")
        .await
        .unwrap();
    assert_eq!(rows[0][0].get::<i32, _>("e"), Some(8));

    // One that sends to itself.
    let (place, circle) = lab.start_sql(gateway(1)).await.unwrap();
    lab.with_world(|w| w.onprem.instances[place].spec.redirect = Some(("localhost".into(), circle)));
    assert!(matches!(
        refused(&Options {
            target: at(circle),
            ..dba(&a)
        })
        .await,
        SqlError::Redirects { .. }
    ));
}

#[tokio::test]
async fn who_does_not_answer_is_told_apart() {
    let (_lab, a) = lab().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let kind = async |target: &str| match refused(&Options {
        target: Target::parse(target).unwrap(),
        ..dba(&a)
    })
    .await
    {
        SqlError::Unreachable { kind, .. } => Some(kind),
        SqlError::NotSqlServer { .. }
        | SqlError::Encryption {
            kind: EncryptionKind::StrictOnly,
            ..
        } => None,
        other => panic!("{other}"),
    };
    assert_eq!(
        kind(&format!("127.0.0.1,{closed}")).await,
        Some(UnreachableKind::Refused)
    );
    assert_eq!(kind("no-such-host.invalid").await, Some(UnreachableKind::Dns));
    // A web server hangs up, or says in TLS that it did not understand.
    let https = a.arm.rsplit(':').next().unwrap();
    assert_eq!(kind(&format!("127.0.0.1,{https}")).await, None);
}

#[tokio::test]
async fn types_and_statements_are_read_as_they_were_written() {
    let (_lab, a) = lab().await;
    let options = Options {
        database: Some("SmartHotelDB".into()),
        ..dba(&a)
    };
    let mut client = Client::connect(&options).await.unwrap();
    let found = client
        .query("SELECT * FROM dbo.Hotels ORDER BY Id; SELECT COUNT(*) AS n FROM Bookings WHERE Note IS NOT NULL")
        .await
        .unwrap();
    let paris = &found[0][2];
    assert_eq!(paris.get::<&str, _>("Name"), Some("Hôtel Étoile"));
    assert_eq!(
        (paris.get::<i32, _>("Id"), paris.get::<f64, _>("Rating")),
        (Some(3), Some(4.8))
    );
    assert_eq!(found[1][0].get::<i32, _>("n"), Some(32));
    let rows = client
        .query_with(
            "SELECT Id FROM Hotels WHERE Name = @P1 OR City = @P2 ORDER BY Id",
            &["Hôtel Étoile", "Seattle"],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    let odd = client.query_with("SELECT @P1 AS t", &["it's ]a; -- 客"]).await.unwrap();
    assert_eq!(odd[0].get::<&str, _>("t"), Some("it's ]a; -- 客"));
    let whole = client
        .query("SELECT Id, HotelId, Guest, CheckIn, Paid, Note FROM Bookings")
        .await
        .unwrap();
    assert_eq!(whole[0].len(), 40);
    assert!(whole[0].iter().any(|r| r.get::<&str, _>("Note").is_none()));

    for (sql, number) in [
        ("SELECT nope FROM dbo.Hotels", 207),
        ("SELECT * FROM dbo.nope", 208),
        ("SELECT * FROM nope.dbo.Hotels", 208),
        ("SELECT nope(1)", 195),
        ("USE nope", 911),
        ("SELEC 1", 102),
    ] {
        let error = client.query(sql).await.err().unwrap();
        assert_eq!(error.number(), Some(number), "{sql}: {error}");
        // The connection goes on.
        assert_eq!(name_of(&mut client).await, "svc-dms");
    }
}

#[tokio::test]
async fn a_long_statement_is_awaited_and_can_be_cancelled() {
    let (lab, a) = lab().await;
    let mut client = Client::connect(&dba(&a)).await.unwrap();
    let cancel = CancellationToken::new();
    fn is_send(_: &impl Send) {}
    is_send(&client.run("SELECT 1", &cancel));
    is_send(&client.query_with("SELECT 1", &[]));
    // An hour is no time-out.
    lab.clock().set_speed(10_000);
    let rows = client
        .run("WAITFOR DELAY '01:00:00'; SELECT 1 AS n", &cancel)
        .await
        .unwrap();
    assert_eq!(rows.last().unwrap()[0].get::<i32, _>("n"), Some(1));
    lab.clock().set_speed(1);
    let (stop, soon) = (cancel.clone(), Duration::from_millis(50));
    tokio::spawn(async move {
        tokio::time::sleep(soon).await;
        stop.cancel();
    });
    let ended = client.run("WAITFOR DELAY '10:00:00'", &cancel).await;
    assert!(matches!(ended, Err(SqlError::Cancelled { .. })), "{ended:?}");
    assert_eq!(name_of(&mut client).await, "svc-dms");
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_doubt() {
    let (lab, a) = lab().await;
    let mut client = Client::connect(&dba(&a)).await.unwrap();
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        lab.cut_sql(0);
    };
    let (ended, ()) = tokio::join!(client.query("WAITFOR DELAY '10:00:00'"), cut);
    let error = ended.err().unwrap();
    assert!(matches!(error, SqlError::Broken { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Transient);
    let mut again = Client::connect(&dba(&a)).await.unwrap();
    assert_eq!(name_of(&mut again).await, "svc-dms");
}
