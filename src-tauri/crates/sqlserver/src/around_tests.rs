#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use sqlparser::{
    ast::Statement,
    dialect::MsSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

fn sql_login(name: &str, sid: &str) -> Login {
    Login {
        name: name.into(),
        kind: "S".into(),
        sid: sid.into(),
        hash: Some(Secret::from("0200CAFE")),
        default_database: Some("db".into()),
        policy: true,
        ..Login::default()
    }
}

fn target() -> Around {
    Around {
        databases: [
            ("master".to_owned(), "01".to_owned()),
            ("db".to_owned(), "02".to_owned()),
        ]
        .into(),
        ..Around::default()
    }
}

fn of<'a>(all: &'a [Object], id: &str) -> &'a Object {
    all.iter().find(|o| o.id == id).unwrap()
}

fn statement(o: &Object) -> &str {
    o.statement.as_ref().map_or("", |s| s.expose())
}

#[test]
fn a_login_comes_with_id_and_hash_and_its_hash_is_never_shown() {
    let source = Around {
        logins: vec![
            sql_login("o'x]", "0A0B"),
            Login {
                disabled: true,
                ..sql_login("off", "0C")
            },
        ],
        ..Around::default()
    };
    let design = AroundDesign::default();
    let all = compare(&source, &target(), "db", &design, false);
    let o = of(&all, "logins/o'x]");
    assert_eq!(
        statement(o),
        "CREATE LOGIN [o'x]]] WITH PASSWORD = 0x0200CAFE HASHED, SID = 0x0A0B, DEFAULT_DATABASE = [db], CHECK_POLICY = ON, CHECK_EXPIRATION = OFF"
    );
    assert!(statement(of(&all, "logins/off")).ends_with("; ALTER LOGIN [off] DISABLE"));
    let shown = format!("{o:?} {:?} {}", o.view(&design), script(&all, &design));
    assert!(!shown.contains("CAFE") && shown.contains("0x… HASHED"), "{shown}");
}

#[test]
fn what_is_there_is_left_alone_and_what_differs_is_said() {
    let source = Around {
        logins: vec![
            sql_login("same", "0A"),
            sql_login("other", "0B"),
            sql_login("taken", "0C"),
            Login {
                hash: None,
                ..sql_login("blind", "0D")
            },
            Login {
                disabled: true,
                ..sql_login("off", "0E")
            },
            sql_login("sa", "01"),
            sql_login("##MS_x##", "0F"),
        ],
        ..Around::default()
    };
    let target = Around {
        logins: vec![
            sql_login("SAME", "0A"),
            sql_login("other", "FF"),
            sql_login("else", "0C"),
            sql_login("off", "0E"),
        ],
        users: vec![
            User {
                name: "u".into(),
                kind: "S".into(),
                sid: "0B".into(),
            },
            User {
                name: "fine".into(),
                kind: "S".into(),
                sid: "0A".into(),
            },
            User {
                name: "stray".into(),
                kind: "S".into(),
                sid: "77".into(),
            },
        ],
        ..target()
    };
    let all = compare(&source, &target, "db", &AroundDesign::default(), false);
    assert!(of(&all, "logins/same").there && of(&all, "logins/same").remarks.is_empty());
    let other = of(&all, "logins/other");
    assert!(other.there && other.remarks[0].contains("0xFF") && other.remarks[0].contains("0x0B"));
    assert!(
        of(&all, "logins/taken")
            .why_not
            .as_ref()
            .unwrap()
            .contains("belongs to the login else")
    );
    assert!(of(&all, "logins/blind").why_not.as_ref().unwrap().contains("sysadmin"));
    assert_eq!(statement(of(&all, "logins/off")), "ALTER LOGIN [off] DISABLE");
    assert!(!all.iter().any(|o| o.name == "sa" || o.name.starts_with("##")));
    assert_eq!(
        statement(of(&all, "users/u")),
        "USE [db]; ALTER USER [u] WITH LOGIN = [other]"
    );
    assert!(of(&all, "users/fine").there);
    assert!(of(&all, "users/stray").why_not.is_some());
}

#[test]
fn windows_accounts_become_entra_logins_where_the_domain_is_known() {
    let windows = |name: &str, kind: &str| Login {
        name: name.into(),
        kind: kind.into(),
        sid: name.into(),
        ..Login::default()
    };
    let source = Around {
        logins: vec![
            windows(r"CONTOSO\anna", "U"),
            windows(r"contoso\Staff", "G"),
            windows(r"OTHER\x", "U"),
            windows(r"NT SERVICE\SQLWriter", "U"),
        ],
        ..Around::default()
    };
    let design = AroundDesign {
        domains: [("Contoso".to_owned(), "contoso.com".to_owned())].into(),
        ..AroundDesign::default()
    };
    let all = compare(&source, &target(), "db", &design, true);
    assert_eq!(
        statement(of(&all, r"logins/CONTOSO\anna")),
        "CREATE LOGIN [anna@contoso.com] FROM EXTERNAL PROVIDER"
    );
    assert_eq!(
        statement(of(&all, r"logins/contoso\Staff")),
        "CREATE LOGIN [Staff] FROM EXTERNAL PROVIDER"
    );
    assert!(of(&all, r"logins/OTHER\x").why_not.is_some());
    assert_eq!(all.len(), 3);
    let all = compare(&source, &target(), "db", &design, false);
    let anna = of(&all, r"logins/CONTOSO\anna");
    assert!(anna.statement.is_none() && anna.shown.contains("EXTERNAL PROVIDER") && anna.why_not.is_some());
    // Where the login is there, its user is mapped to it.
    let there = Around {
        logins: vec![Login {
            name: "anna@contoso.com".into(),
            kind: "E".into(),
            sid: "E1".into(),
            ..Login::default()
        }],
        users: vec![User {
            name: r"CONTOSO\anna".into(),
            kind: "U".into(),
            sid: r"CONTOSO\anna".into(),
        }],
        ..target()
    };
    let all = compare(&source, &there, "db", &design, false);
    assert_eq!(
        statement(of(&all, r"users/CONTOSO\anna")),
        r"USE [db]; ALTER USER [CONTOSO\anna] WITH LOGIN = [anna@contoso.com]"
    );
}

#[test]
fn roles_rights_servers_jobs_and_owner_come_after_logins() {
    let right = |grantee: &str, right: &str, state: &str| Right {
        grantee: grantee.into(),
        state: state.into(),
        right: right.into(),
        class: "SERVER".into(),
        on: None,
    };
    let step = |subsystem: &str, command: &str, database: &str| JobStep {
        name: "one".into(),
        subsystem: subsystem.into(),
        command: command.into(),
        database: Some(database.into()),
        numbers: vec![("@retry_attempts", 2)],
        ..JobStep::default()
    };
    let job = |name: &str, step: JobStep| Job {
        name: name.into(),
        enabled: true,
        owner: Some("app".into()),
        steps: vec![step],
        schedules: vec![
            JobSchedule {
                name: "s".into(),
                numbers: vec![("@freq_type", 4)],
            },
            JobSchedule {
                name: "idle".into(),
                numbers: vec![("@freq_type", 128)],
            },
        ],
        ..Job::default()
    };
    let server = |name: &str, provider: &str| LinkedServer {
        name: name.into(),
        provider: provider.into(),
        source: Some("H'1".into()),
        remote_logins: vec!["r".into()],
        ..LinkedServer::default()
    };
    let source = Around {
        logins: vec![sql_login("app", "0A")],
        roles: vec!["ops".into()],
        members: [
            ("sysadmin".to_owned(), "app".to_owned()),
            ("sysadmin".to_owned(), "gone".to_owned()),
        ]
        .into(),
        rights: [
            right("app", "VIEW SERVER STATE", "GRANT"),
            right("app", "CONNECT SQL", "GRANT"),
            right("app", "ALTER TRACE", "DENY"),
            right("ops", "SHUTDOWN; DROP", "GRANT"),
        ]
        .into(),
        credentials: vec![("agent".into(), "id".into())],
        linked_servers: vec![server("L", "SQLNCLI11"), server("ORA", "OraOLEDB.Oracle")],
        jobs: vec![
            job("fine", step("TSQL", "SELECT 'x'", "db")),
            job("shell", step("CmdExec", "dir", "")),
            job("disk", step("TSQL", "BACKUP DATABASE db\n TO  DISK = 'x'", "db")),
            job("else", step("TSQL", "x", "gone")),
        ],
        databases: [("db".to_owned(), "0A".to_owned())].into(),
        ..Around::default()
    };
    let all = compare(&source, &target(), "db", &AroundDesign::default(), false);
    assert!(all.is_sorted_by_key(|o| o.kind));
    let made = |id: &str| statement(of(&all, id)).to_owned();
    assert_eq!(made("roles/ops"), "CREATE SERVER ROLE [ops]");
    assert_eq!(
        made("roles/app in sysadmin"),
        "ALTER SERVER ROLE [sysadmin] ADD MEMBER [app]"
    );
    assert!(of(&all, "roles/gone in sysadmin").why_not.is_some());
    assert_eq!(
        made("roles/GRANT VIEW SERVER STATE TO app"),
        "GRANT VIEW SERVER STATE TO [app]"
    );
    assert_eq!(made("roles/DENY ALTER TRACE TO app"), "DENY ALTER TRACE TO [app]");
    assert!(of(&all, "roles/GRANT SHUTDOWN; DROP TO ops").statement.is_none());
    assert!(!all.iter().any(|o| o.name.contains("CONNECT SQL")));
    assert!(of(&all, "credentials/agent").why_not.is_some());
    assert_eq!(
        made("linked-servers/L"),
        "EXEC master.dbo.sp_addlinkedserver @server = N'L', @srvproduct = N'', @provider = N'MSOLEDBSQL', @datasrc = N'H''1'"
    );
    assert!(
        of(&all, "linked-servers/L")
            .remarks
            .iter()
            .any(|r| r.contains("@rmtuser = N'r'"))
    );
    assert!(of(&all, "linked-servers/ORA").why_not.is_some());
    assert_eq!(
        made("jobs/fine"),
        "SET XACT_ABORT ON; BEGIN TRANSACTION; EXEC msdb.dbo.sp_add_job @job_name = N'fine', @enabled = 1, @owner_login_name = N'app'; \
         EXEC msdb.dbo.sp_add_jobstep @job_name = N'fine', @step_id = 1, @step_name = N'one', @subsystem = N'TSQL', @command = N'SELECT ''x''', @database_name = N'db', @retry_attempts = 2; \
         EXEC msdb.dbo.sp_update_job @job_name = N'fine', @start_step_id = 1; \
         EXEC msdb.dbo.sp_add_jobschedule @job_name = N'fine', @name = N's', @freq_type = 4; \
         EXEC msdb.dbo.sp_add_jobserver @job_name = N'fine', @server_name = N'(local)'; COMMIT TRANSACTION"
    );
    for id in ["jobs/shell", "jobs/disk", "jobs/else"] {
        assert!(
            of(&all, id).why_not.is_some() && of(&all, id).statement.is_none(),
            "{id}"
        );
    }
    assert_eq!(
        made("users/owner app"),
        "ALTER AUTHORIZATION ON DATABASE::[db] TO [app]"
    );
    let without = AroundDesign {
        leave_out: vec!["logins/app".into()],
        ..AroundDesign::default()
    };
    let all = compare(&source, &target(), "db", &without, false);
    assert!(!of(&all, "logins/app").view(&without).chosen);
    assert!(of(&all, "roles/app in sysadmin").why_not.is_some());
    assert!(script(&all, &without).contains("-- app: is left out by choice"));
}

proptest! {
    /// Whatever stands in names, nothing but SELECT goes to the source.
    #[test]
    fn only_selects_go_to_the_source(database in any::<String>()) {
        for sql in statements(&database) {
            let parsed = Parser::parse_sql(&MsSqlDialect {}, &sql);
            prop_assert!(matches!(parsed.as_deref(), Ok([Statement::Query(_)])), "{sql}: {parsed:?}");
        }
    }

    /// Names stay names and texts stay texts: a statement has as many words as with harmless ones.
    #[test]
    fn nothing_escapes_into_a_statement(name in "[\\]\\[;'\" a-zß客😀-]{1,30}", text in "[\\]\\[;'\" a-z\n-]{1,30}") {
        let about = |name: &str, text: &str| {
            let source = Around {
                logins: vec![Login { language: Some(name.into()), ..sql_login(name, "0A") }],
                roles: vec![format!("{name}r")],
                members: [("sysadmin".to_owned(), name.to_owned())].into(),
                rights: [Right { grantee: name.into(), state: "GRANT".into(), right: "ALTER TRACE".into(), class: "SERVER".into(), on: None }].into(),
                credentials: vec![(name.into(), text.into())],
                linked_servers: vec![LinkedServer { name: name.into(), provider: "SQLNCLI".into(), source: Some(text.into()), catalog: Some(text.into()), rpc_out: true, ..LinkedServer::default() }],
                jobs: vec![Job { name: name.into(), description: Some(text.into()), owner: Some(name.into()), steps: vec![JobStep { name: text.into(), subsystem: "TSQL".into(), command: text.into(), ..JobStep::default() }],
                    schedules: vec![JobSchedule { name: text.into(), numbers: vec![("@enabled", 1)] }], ..Job::default() }],
                databases: [(name.to_lowercase(), "0A".to_owned())].into(),
                ..Around::default()
            };
            let target = Around {
                databases: [(name.to_lowercase(), "02".to_owned())].into(),
                users: vec![User { name: name.into(), kind: "S".into(), sid: "FF".into() }],
                ..Around::default()
            };
            let all = compare(&source, &target, name, &AroundDesign::default(), false);
            let words = |sql: &str| {
                let tokens = Tokenizer::new(&MsSqlDialect {}, sql).tokenize().unwrap();
                tokens.into_iter().filter(|t| !matches!(t, Token::Whitespace(_))).count()
            };
            all.iter().map(|o| (words(statement(o)), words(&o.shown))).collect::<Vec<_>>()
        };
        prop_assert_eq!(about(&name, &text), about("plain", "plain"));
    }
}
