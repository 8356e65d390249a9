//! The client against VMware's own simulator.

mod support;

use futures::StreamExt;
use plan::design::VCenterConnection;
use secrets::Secret;
use std::sync::Arc;
use support::{PASSWORD, Recorder, Vcsim, connect};
use vsphere::{ErrorClass, Part, TaskState, UnreachableKind, VCenter, VsphereError, check_connection, probe};

#[tokio::test]
async fn a_reading_nobody_listens_to_is_given_up_properly() {
    let vcsim = Vcsim::start(&["-dc", "1", "-cluster", "1", "-vm", "450"]);
    let (vcenter, recorder) = vcsim.sign_in().await;
    let mut parts = vcenter.discover(100);
    assert!(matches!(parts.next().await, Some(Ok(Part::Places(_)))));
    match parts.next().await {
        Some(Ok(Part::Machines(page))) => assert_eq!(page.len(), 100),
        other => panic!("{other:?}"),
    }
    drop(parts);
    while recorder.count("DestroyView") < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorder.count("CancelRetrievePropertiesEx"), 1);
    assert_eq!(vcenter.inventory().await.expect("read").vms.len(), 450);
}

#[tokio::test]
async fn passwords_are_checked_and_never_recorded() {
    let vcsim = Vcsim::start(&[]);
    let recorder = Arc::new(Recorder::default());
    let refused = connect(&vcsim.connection(), "canary-wrong", recorder.clone())
        .await
        .expect_err("refused");
    assert!(matches!(refused, VsphereError::InvalidLogin { .. }), "{refused:?}");
    assert_eq!(refused.class(), ErrorClass::Auth);
    let vcenter = connect(&vcsim.connection(), PASSWORD, recorder.clone())
        .await
        .expect("signed in");
    vcenter.inventory().await.expect("read");
    assert_eq!(recorder.count("Login"), 2);
    let text = recorder.text();
    for secret in ["canary", "Pa55", "vmware_soap_session"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(text.contains("<key>(removed)</key>"));
    assert!(!format!("{vcenter:?} {refused:?} {:?}", refused.advice()).contains("canary"));
}

#[tokio::test]
async fn certificates_are_pinned() {
    let vcsim = Vcsim::start(&[]);
    let presented = probe(&vcsim.connection(), None).await.expect("a certificate");
    assert_eq!(presented.sha256, vcsim.thumbprint);
    assert!(
        !presented.trusted && presented.subject.contains("vcsim.contoso.com"),
        "{presented:?}"
    );
    assert_eq!(presented.sha1.len(), 59);
    assert!(presented.not_before < presented.not_after);

    // Unknown: nobody has trusted it yet.
    let mut connection = vcsim.connection();
    connection.thumbprint.clear();
    let unknown = connect(&connection, PASSWORD, Arc::default())
        .await
        .expect_err("not trusted");
    assert_eq!(unknown.code(), "CertificateUnknown");

    // Changed: another server, or the same one with a new certificate, on the trusted address.
    let port = vcsim
        .url
        .split(':')
        .nth(2)
        .and_then(|p| p.split('/').next())
        .expect("a port")
        .to_owned();
    let trusted = vcsim.connection();
    let (vcenter, recorder) = vcsim.sign_in().await;
    drop(vcsim);
    let renewed = Vcsim::start(&["-l", &format!("127.0.0.1:{port}")]);
    let changed = loop {
        match vcenter.roles().await.expect_err("changed") {
            // The connection that was open when the server went away.
            e if e.class() == ErrorClass::Transient => {}
            e => break e,
        }
    };
    let again = connect(&trusted, PASSWORD, recorder.clone())
        .await
        .expect_err("changed");
    for e in [changed, again] {
        let VsphereError::Certificate {
            presented,
            trusted_before,
            ..
        } = &e
        else {
            panic!("{e:?}")
        };
        assert_eq!(
            (&presented.sha256, trusted_before.as_ref()),
            (&renewed.thumbprint, Some(&trusted.thumbprint))
        );
        assert_eq!(e.code(), "CertificateChanged");
    }
    assert_eq!(recorder.count("Login"), 1);

    connection.thumbprint = "AB:CD".into();
    assert_eq!(
        connect(&connection, PASSWORD, Arc::default())
            .await
            .expect_err("no pin")
            .code(),
        "Config"
    );
}

#[tokio::test]
async fn servers_that_do_not_answer_are_told_apart() {
    let at = |url: &str| VCenterConnection {
        url: url.into(),
        ..VCenterConnection::default()
    };
    let kind = async |url: &str| match probe(&at(url), None).await {
        Err(VsphereError::Unreachable { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    assert_eq!(kind(&format!("https://{closed}")).await, UnreachableKind::Refused);
    assert_eq!(kind("https://nowhere.invalid").await, UnreachableKind::Dns);

    // A server that knows only TLS 1.0 answers the hello with the alert `protocol_version`.
    let old = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = old.local_addr().expect("its address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut peer, _)) = old.accept().await {
            let mut hello = [0; 4096];
            let _ = peer.read(&mut hello).await;
            let _ = peer.write_all(&[0x15, 3, 1, 0, 2, 2, 70]).await;
        }
    });
    let e = probe(&at(&address.to_string()), None).await.expect_err("old");
    assert!(matches!(e, VsphereError::OldTls { .. }), "{e:?}");
}

#[tokio::test]
async fn an_ended_session_is_renewed_once() {
    let vcsim = Vcsim::start(&["-idle", "200ms"]);
    let (vcenter, recorder) = vcsim.sign_in().await;
    // The simulator's sessions end by its own real clock only.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let (a, b, c) = tokio::join!(vcenter.inventory(), vcenter.roles(), vcenter.datacenter("DC0"));
    assert_eq!(a.expect("read").vms.len(), 2);
    assert!(!b.expect("read").is_empty());
    assert!(c.expect("read").is_some());
    assert_eq!(recorder.count("Login"), 2, "{:?}", recorder.methods());

    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let vm = a_machine(&vcenter).await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let ended = vcenter.power_off(&vm).await.expect_err("a change is not repeated");
    assert_eq!(
        (ended.code(), ended.class()),
        ("NotAuthenticated", ErrorClass::Transient)
    );
    assert_eq!(recorder.count("PowerOffVM_Task"), 1);
    vcenter.power_off(&vm).await.expect("signed in again");
}

async fn a_machine(vcenter: &VCenter) -> String {
    vcenter
        .find_vm("DC0_C0_RP0_VM0")
        .await
        .expect("read")
        .expect("there")
        .moref
}

#[tokio::test]
async fn roles_and_permissions() {
    let vcsim = Vcsim::start(&[]);
    let (vcenter, _) = vcsim.sign_in().await;
    let known = vcenter.privileges().await.expect("read");
    assert!(known.len() > 200 && known.iter().any(|p| p == "VirtualMachine.Interact.PowerOff"));

    let wanted = [
        "Datastore.Browse".to_owned(),
        "VirtualMachine.Interact.PowerOff".to_owned(),
    ];
    let id = vcenter.add_role("Azure_Site_Recovery", &wanted).await.expect("added");
    let role = vcenter
        .roles()
        .await
        .expect("read")
        .into_iter()
        .find(|r| r.id == id)
        .expect("there");
    assert_eq!(role.name, "Azure_Site_Recovery");
    assert!(wanted.iter().all(|w| role.privileges.contains(w)) && role.privileges.contains(&"System.Read".to_owned()));
    let twice = vcenter
        .add_role("Azure_Site_Recovery", &wanted)
        .await
        .expect_err("exists");
    assert_eq!((twice.code(), twice.class()), ("AlreadyExists", ErrorClass::Conflict));
    let unknown = vcenter
        .add_role("Other", &["Datastore.LowLevelFileOperations".into()])
        .await
        .expect_err("unknown");
    assert_eq!(unknown.code(), "InvalidArgument");
    vcenter
        .update_role(id, "Azure_Site_Recovery", &wanted[..1])
        .await
        .expect("updated");

    let datacenter = vcenter.datacenter("dc0").await.expect("read").expect("there");
    assert_eq!(vcenter.datacenter("DC9").await.expect("read"), None);
    assert!(vcenter.principal_exists("admin").await.expect("read"));
    assert!(!vcenter.principal_exists("CONTOSO\\svc-asr").await.expect("read"));
    let nobody = vcenter
        .grant("Datacenter", &datacenter, "CONTOSO\\svc-asr", id)
        .await
        .expect_err("nobody");
    assert_eq!(nobody.code(), "UserNotFound");
    vcenter
        .grant("Datacenter", &datacenter, "admin", id)
        .await
        .expect("granted");
    vcenter
        .grant("Datacenter", &datacenter, "root", -1)
        .await
        .expect("granted");
    let set = vcenter.permissions("Datacenter", &datacenter).await.expect("read");
    assert_eq!(
        set.iter()
            .map(|p| (p.principal.as_str(), p.role_id, p.propagate))
            .collect::<Vec<_>>(),
        [("admin", id, true), ("root", -1, true)]
    );
    assert_eq!(
        vcenter
            .missing_privileges("Datacenter", &datacenter, &wanted)
            .await
            .expect("read"),
        Vec::<String>::new()
    );
    vcenter
        .revoke("Datacenter", &datacenter, "admin")
        .await
        .expect("revoked");
    vcenter
        .revoke("Datacenter", &datacenter, "root")
        .await
        .expect("revoked");
    vcenter.remove_role(id).await.expect("removed");
    assert!(
        !vcenter
            .roles()
            .await
            .expect("read")
            .iter()
            .any(|r| r.name == "Azure_Site_Recovery")
    );
}

#[tokio::test]
async fn power_names_and_removal() {
    let vcsim = Vcsim::start(&[]);
    let (vcenter, recorder) = vcsim.sign_in().await;
    let vm = vcenter.find_vm("dc0_c0_rp0_vm0").await.expect("read").expect("there");
    assert_eq!((vm.disk_bytes().count(), vm.readiness.as_deref()), (1, Some("rdp=1")));
    assert!(
        !recorder.text().contains("guestinfo.rehost.readiness"),
        "other programs keep secrets in extraConfig"
    );
    assert!(vcenter.find_vm("nobody").await.expect("read").is_none());

    let finished = async |task| loop {
        let info = vcenter.task(&task).await.expect("a task");
        if matches!(info.state, TaskState::Success | TaskState::Error) {
            break info;
        }
    };
    let impossible = finished(vcenter.power_on(&vm.moref).await.expect("started")).await;
    assert_eq!(impossible.error.expect("an error").kind, "InvalidPowerState");
    vcenter.shutdown_guest(&vm.moref).await.expect("asked");
    assert_eq!(
        vcenter
            .find_vm(&vm.name)
            .await
            .expect("read")
            .expect("there")
            .power_state,
        "poweredOff"
    );
    let on = finished(vcenter.power_on(&vm.moref).await.expect("started")).await;
    assert_eq!((on.state, on.error), (TaskState::Success, None));
    assert_eq!(
        finished(vcenter.power_off(&vm.moref).await.expect("started"))
            .await
            .state,
        TaskState::Success
    );
    assert_eq!(
        finished(vcenter.rename(&vm.moref, "WEB/1-migrated").await.expect("started"))
            .await
            .state,
        TaskState::Success
    );
    let renamed = vcenter.find_vm("WEB/1-migrated").await.expect("read").expect("there");
    assert_eq!(renamed.moref, vm.moref);
    assert!(vcenter.find_vm(&vm.name).await.expect("read").is_none());
    assert_eq!(
        finished(vcenter.destroy(&vm.moref).await.expect("started")).await.state,
        TaskState::Success
    );
    assert!(vcenter.find_vm("WEB/1-migrated").await.expect("read").is_none());
    let gone = vcenter.power_off(&vm.moref).await.expect_err("gone");
    assert!(gone.is_not_found(), "{gone:?}");
}

#[tokio::test]
async fn the_connection_test_says_what_is_missing() {
    let vcsim = Vcsim::start(&[]);
    let titles = |steps: &[vsphere::Step]| steps.iter().map(|s| (s.title.clone(), s.ok)).collect::<Vec<_>>();
    let steps = check_connection(
        &vcsim.connection(),
        &Secret::from(PASSWORD),
        Arc::new(Recorder::default()),
    )
    .await;
    assert!(
        steps.len() == 5 && steps.iter().all(|s| s.ok && s.hint.is_empty()),
        "{steps:?}"
    );
    let steps = check_connection(
        &vcsim.connection(),
        &Secret::from("wrong"),
        Arc::new(Recorder::default()),
    )
    .await;
    assert_eq!(
        titles(&steps),
        [
            ("Reach the server".into(), true),
            ("Trust its certificate".into(), true),
            ("Sign in".into(), false)
        ]
    );
    assert!(!steps[2].hint.is_empty());
}
