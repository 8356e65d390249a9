//! The client against VMware's own simulator.

mod support;

use futures::StreamExt;
use plan::design::{Proxy, VCenterConnection};
use secrets::Secret;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::{Gate, PASSWORD, Recorder, Vcsim, connect};
use vsphere::{
    Change, Credentials, ErrorClass, Part, TaskState, UnreachableKind, VCenter, VsphereError, check_connection, probe,
};

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
        .grant(("Datacenter", &datacenter), "CONTOSO\\svc-asr", id, true)
        .await
        .expect_err("nobody");
    assert_eq!(nobody.code(), "UserNotFound");
    vcenter
        .grant(("Datacenter", &datacenter), "admin", id, true)
        .await
        .expect("granted");
    vcenter
        .grant(("Datacenter", &datacenter), "root", -1, false)
        .await
        .expect("granted");
    let set = vcenter.permissions("Datacenter", &datacenter).await.expect("read");
    assert_eq!(
        set.iter()
            .map(|p| (p.principal.as_str(), p.role_id, p.propagate))
            .collect::<Vec<_>>(),
        [("admin", id, true), ("root", -1, false)]
    );
    // The simulator's own answer for everybody.
    let all = vcenter
        .privileges_of("admin", "Datacenter", &datacenter)
        .await
        .expect("read")
        .expect("told");
    assert!(wanted.iter().all(|w| all.contains(w)));
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
        &[],
        Arc::new(Recorder::default()),
    )
    .await;
    assert!(
        steps.len() == 4 && steps.iter().all(|s| s.ok && s.hint.is_empty()),
        "{steps:?}"
    );
    let steps = check_connection(
        &vcsim.connection(),
        &Secret::from("wrong"),
        &[],
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

const MACHINES_450: &[&str] = &["-dc", "1", "-cluster", "1", "-vm", "450"];

#[tokio::test]
async fn old_and_new_versions_are_read() {
    for (version, spoken, knows_secure_boot) in [
        ("6.0", "6.0", false),
        ("6.5", "6.5", true),
        ("6.7", "6.7", true),
        ("7.0.3.0", "7.0.3.0", true),
        ("9.1.0.0", "6.0", true),
        ("8.0.3.0", "8.0.3.0", true),
    ] {
        let vcsim = Vcsim::start(&["-apiversion", version, "-dc", "1", "-cluster", "1", "-vm", "200"]);
        let (vcenter, recorder) = vcsim.sign_in().await;
        assert_eq!(vcenter.about().api_version, version);
        let inventory = vcenter.inventory().await.expect("read");
        assert_eq!((inventory.vms.len(), inventory.hosts.len()), (200, 3), "{version}");
        assert_eq!(inventory.vcenter_uuid, vcenter.identity().await.expect("read"));
        let told = inventory.vms.iter().filter(|v| v.secure_boot.is_some()).count();
        assert_eq!(told, if knows_secure_boot { 200 } else { 0 }, "{version}");
        assert!(
            recorder.text().contains(&format!("SOAPAction: urn:vim25/{spoken}\"")),
            "{version}"
        );

        let some: Vec<String> = inventory.vms.iter().take(3).map(|v| v.moref.clone()).collect();
        let whole = vcenter.details(&some).await.expect("read");
        for vm in &whole {
            let d = vm.details.as_ref().expect("details");
            assert_eq!((d.disks.len(), d.nics.len(), d.encrypted), (1, 1, false), "{version}");
            assert_eq!(
                (d.nics[0].network.as_deref(), d.annotation.as_deref()),
                (Some("DC0_DVPG0"), Some(&*format!("R&D <{}>", vm.name)))
            );
            let origins: Vec<_> = d.addresses.iter().map(|a| (a.prefix, a.origin.as_deref())).collect();
            assert_eq!(origins, [(Some(24), Some("manual")), (Some(64), Some("linklayer"))]);
            assert_eq!(
                (d.volumes[0].path.as_str(), d.volumes[0].free_bytes),
                ("C:\\", 40 << 30)
            );
            assert_eq!(
                (d.cbt_supported, d.cbt_enabled, d.guest_operations_ready),
                (Some(true), Some(false), Some(true))
            );
            assert_eq!(d.tools_version.as_deref(), Some("11297"));
        }
        // What the server does not know is found out once for reads, and holds for the watch.
        let asked = recorder.count("RetrievePropertiesEx");
        assert_eq!(asked, if knows_secure_boot { 4 } else { 4 + 2 }, "{version}");
        let mut changes = vcenter.watch(inventory.vms);
        assert!(matches!(changes.next().await, Some(Change::Quiet)), "{version}");
        assert_eq!(recorder.count("CreateFilter"), 1, "{version}");
    }
}

#[tokio::test]
async fn a_host_without_vcenter() {
    let vcsim = Vcsim::start(&["-esx", "-vm", "3"]);
    let (vcenter, _) = vcsim.sign_in().await;
    assert!(!vcenter.about().is_vcenter);
    let inventory = vcenter.inventory().await.expect("read");
    assert_eq!(
        (inventory.vms.len(), inventory.hosts.len(), inventory.clusters.len()),
        (3, 1, 0)
    );
    assert_eq!(inventory.datacenters, ["ha-datacenter"]);
    assert!(uuid_like(&inventory.vcenter_uuid), "{}", inventory.vcenter_uuid);
    assert_eq!(inventory.vcenter_uuid, vcenter.identity().await.expect("read"));
    assert!(inventory.vms.iter().all(|v| v.host.is_some() && v.datacenter.is_some()));
    let moref = inventory.vms[0].moref.clone();
    let whole = vcenter.details(std::slice::from_ref(&moref)).await.expect("read");
    assert_eq!(whole[0].disk_bytes().count(), 1);
    let mut changes = vcenter.watch(inventory.vms);
    assert!(matches!(changes.next().await, Some(Change::Quiet)));
    vcenter.power_off(&moref).await.expect("started");
    match changes.next().await {
        Some(Change::Upserted(vms)) => assert_eq!(vms[0].power_state, "poweredOff"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hosts_of_all_versions_without_vcenter() {
    for version in ["6.0", "6.5", "6.7", "7.0.3.0", "8.0.3.0"] {
        let vcsim = Vcsim::start(&["-esx", "-apiversion", version, "-vm", "20"]);
        let (vcenter, _) = vcsim.sign_in().await;
        assert_eq!(
            (vcenter.about().is_vcenter, &*vcenter.about().api_version),
            (false, version)
        );
        let inventory = vcenter.inventory().await.expect("read");
        assert_eq!((inventory.vms.len(), inventory.hosts.len()), (20, 1), "{version}");
        let morefs: Vec<String> = inventory.vms.iter().map(|v| v.moref.clone()).collect();
        let whole = vcenter.details(&morefs).await.expect("read");
        assert!(
            whole.iter().all(|v| v.details.is_some()) && whole.len() == 20,
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_far_away_server_is_asked_seldom() {
    const LATENCY: std::time::Duration = std::time::Duration::from_millis(120);
    let vcsim = Vcsim::start(&["-dc", "1", "-cluster", "1", "-vm", "200", "-delay", "120"]);
    let begun = std::time::Instant::now();
    let (vcenter, recorder) = vcsim.sign_in().await;
    let mut parts = vcenter.discover(200);
    assert!(matches!(parts.next().await, Some(Ok(Part::Places(_)))));
    assert!(matches!(parts.next().await, Some(Ok(Part::Machines(_)))));
    let first = begun.elapsed();
    let asked = recorder.methods().len();
    let mut read = 0;
    while let Some(part) = parts.next().await {
        match part.expect("read") {
            Part::Machines(vms) => read += vms.len(),
            Part::Places(_) => panic!("places come once"),
        }
    }
    assert!(read > 0);
    // First rows cost what the calls before them cost, and nothing else; each page after that is one call.
    eprintln!("first rows after {first:?} and {asked} calls");
    assert!(asked <= 10, "{:?}", recorder.methods());
    assert!(
        first >= LATENCY * 4 && first < LATENCY * 25,
        "{first:?} for {asked} calls"
    );
    assert_eq!(vcenter.inventory().await.expect("read").vms.len(), 200);
}

fn uuid_like(text: &str) -> bool {
    text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

#[tokio::test]
async fn sessions_that_end_in_the_middle_are_not_noticed() {
    // Six reads of roles, then the tenth call of the inventory is one too many: in its pages.
    let vcsim = Vcsim::start(&[MACHINES_450, &["-calls", "14"]].concat());
    let (vcenter, recorder) = vcsim.sign_in().await;
    for _ in 0..6 {
        vcenter.roles().await.expect("read");
    }
    let inventory = vcenter.inventory().await.expect("read");
    let all: BTreeSet<&str> = inventory.vms.iter().map(|v| v.moref.as_str()).collect();
    assert_eq!((inventory.vms.len(), all.len(), recorder.count("Login")), (450, 450, 2));
    assert!(
        recorder.count("ContinueRetrievePropertiesEx") > 4,
        "it ended in the pages"
    );

    // The watch is built anew as often as its session ends; a change is told once all the same.
    let vm = inventory.vms[0].clone();
    let mut changes = vcenter.watch(inventory.vms);
    assert!(matches!(changes.next().await, Some(Change::Quiet)));
    let signed_in = recorder.count("Login");
    let mut told = Vec::new();
    for on in [false, true, false, true, false, true] {
        let task = if on {
            vcenter.power_on(&vm.moref).await
        } else {
            vcenter.power_off(&vm.moref).await
        };
        let wanted = if on { "poweredOn" } else { "poweredOff" };
        task.map(drop)
            .or_else(|e| if e.code() == "NotAuthenticated" { Ok(()) } else { Err(e) })
            .expect("started");
        loop {
            match changes.next().await {
                Some(Change::Upserted(vms)) => {
                    told.extend(vms.into_iter().map(|v| (v.moref, v.power_state)));
                    if told.last().is_some_and(|(_, power)| power == wanted) {
                        break;
                    }
                }
                Some(Change::Quiet) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(recorder.count("Login") > signed_in, "{:?}", recorder.methods());
    let states: Vec<&str> = told.iter().map(|(_, power)| power.as_str()).collect();
    assert_eq!(
        states,
        [
            "poweredOff",
            "poweredOn",
            "poweredOff",
            "poweredOn",
            "poweredOff",
            "poweredOn"
        ]
    );
    assert!(told.iter().all(|(moref, _)| *moref == vm.moref));
}

#[tokio::test]
async fn machines_that_are_removed_while_they_are_read_are_left_out() {
    let vcsim = Vcsim::start(&["-dc", "1", "-cluster", "1", "-vm", "900", "-delay", "5"]);
    let (vcenter, _) = vcsim.sign_in().await;
    let order = async || {
        let mut parts = vcenter.discover(100);
        let mut morefs = Vec::new();
        while let Some(part) = parts.next().await {
            if let Part::Machines(vms) = part.expect("read") {
                morefs.extend(vms.into_iter().map(|v| v.moref));
            }
        }
        morefs
    };
    let all = order().await;
    assert_eq!(all.len(), 900);
    let last = all[899].clone();

    // The reader waits with full hands; the last page is not read yet.
    let mut parts = vcenter.discover(100);
    assert!(matches!(parts.next().await, Some(Ok(Part::Places(_)))));
    vcenter.power_off(&last).await.expect("started");
    while vcenter.power_on(&last).await.is_err() {}
    vcenter.power_off(&last).await.expect("started");
    let gone = async || {
        vcenter
            .details(std::slice::from_ref(&last))
            .await
            .expect("read")
            .is_empty()
    };
    while !gone().await {
        // A task of the simulator's; refused as long as the machine is on.
        let _ = vcenter.destroy(&last).await;
    }
    let mut read = Vec::new();
    while let Some(part) = parts.next().await {
        match part.expect("read") {
            Part::Machines(vms) => read.extend(vms.into_iter().map(|v| v.moref)),
            Part::Places(_) => panic!("places come once"),
        }
    }
    assert_eq!(read, all[..899]);
    let some = vcenter.details(&[last, all[0].clone()]).await.expect("read");
    assert_eq!(some.iter().map(|v| &v.moref).collect::<Vec<_>>(), [&all[0]]);

    // Told in parts when nothing is known, as real servers tell at most a hundred at once.
    let mut changes = vcenter.watch(Vec::new());
    let mut sizes = Vec::new();
    loop {
        match changes.next().await {
            Some(Change::Upserted(vms)) => sizes.push(vms.len()),
            Some(Change::Quiet) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sizes, [100, 100, 100, 100, 100, 100, 100, 100, 99]);
    let victim = all[1].clone();
    vcenter.power_off(&victim).await.expect("started");
    assert!(matches!(changes.next().await, Some(Change::Upserted(vms)) if vms[0].moref == victim));
    vcenter.destroy(&victim).await.expect("started");
    assert!(matches!(changes.next().await, Some(Change::Removed(gone)) if gone == [victim]));
}

#[tokio::test]
async fn names_and_passwords_may_contain_anything() {
    const AWKWARD: &str = r#"canary & ; " ' ^ \ % < > £ é ]]> 日本"#;
    let vcsim = Vcsim::start(&["-vm", "3", "-password", AWKWARD]);
    let recorder = Arc::new(Recorder::default());
    let vcenter = connect(&vcsim.connection(), AWKWARD, recorder.clone())
        .await
        .expect("signed in");
    let machines = vcenter.inventory().await.expect("read").vms;
    let names = [r#"a/b\c%d "é" 日本 <&>"#, "100% 'über' %2f", "ends with %"];
    for (vm, name) in machines.iter().zip(names) {
        let task = vcenter.rename(&vm.moref, name).await.expect("started");
        while vcenter.task(&task).await.expect("a task").state != TaskState::Success {}
    }
    let now = vcenter.inventory().await.expect("read").vms;
    let found: BTreeSet<&str> = now.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(found, BTreeSet::from(names));
    for name in names {
        let vm = vcenter.find_vm(name).await.expect("read").expect("there");
        assert_eq!(
            vcenter.details(std::slice::from_ref(&vm.moref)).await.expect("read")[0].name,
            name
        );
    }
    assert!(!recorder.text().contains("canary"));
}

#[tokio::test]
async fn the_way_leads_through_the_proxy_of_the_connection() {
    let vcsim = Vcsim::start(&["-vm", "1"]);
    // `Basic` of `CONTOSO\rehost:Pä55`.
    let gate = Gate::guarded(&vcsim.url, Some("Basic Q09OVE9TT1xyZWhvc3Q6UMOkNTU=")).await;
    let connection = VCenterConnection {
        proxy: Proxy::Explicit {
            url: gate.url.clone(),
            user: r"CONTOSO\rehost".into(),
        },
        ..vcsim.connection()
    };
    let with = |proxy_password: &str| Credentials {
        password: PASSWORD.into(),
        proxy_password: Some(proxy_password.into()),
    };
    let (good, wrong) = (with("Pä55"), with("canary"));
    let certificate = probe(&connection, good.proxy_password.as_ref())
        .await
        .expect("a certificate");
    assert_eq!(certificate.sha256, vcsim.thumbprint);
    let vcenter = VCenter::connect(&connection, &good, Arc::new(Recorder::default()))
        .await
        .expect("signed in");
    assert_eq!(vcenter.inventory().await.expect("read").vms.len(), 1);
    assert_eq!(gate.refused(), 0);
    assert!(gate.passed() >= 2);

    let refused = VCenter::connect(&connection, &wrong, Arc::new(Recorder::default()))
        .await
        .expect_err("refused");
    let VsphereError::Unreachable { kind, .. } = &refused else {
        panic!("{refused:?}")
    };
    let advice = refused.advice();
    assert_eq!(
        (*kind, refused.class()),
        (UnreachableKind::Proxy, ErrorClass::Transient)
    );
    assert!(
        advice.detail.contains("proxy 127.0.0.1:") && advice.hint.contains("Connections > vCenter > Proxy"),
        "{advice:?}"
    );
    assert!(!format!("{refused:?} {advice:?}").contains("canary"));

    // Without the proxy nothing goes through it.
    let passed = gate.passed();
    let direct = VCenterConnection {
        proxy: Proxy::Direct,
        ..connection
    };
    VCenter::connect(&direct, &good, Arc::new(Recorder::default()))
        .await
        .expect("signed in");
    assert_eq!(gate.passed(), passed);
}
