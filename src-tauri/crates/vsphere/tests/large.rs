//! 10,000 machines from VMware's own simulator: streamed, read whole, watched. Alone in its binary, so that no other test of
//! this crate runs beside it. `cargo xtask bench vsphere` measures the same; here only what is far off fails.

mod support;

use futures::StreamExt;
use std::collections::BTreeSet;
use std::time::Instant;
use support::Vcsim;
use vsphere::{Change, Part};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_machines() {
    let vcsim = Vcsim::start(&[
        "-dc", "2", "-cluster", "10", "-host", "12", "-vm", "500", "-ds", "6", "-pg", "6",
    ]);
    let (vcenter, recorder) = vcsim.sign_in().await;
    let begun = Instant::now();
    let mut parts = vcenter.discover(500);
    let (mut vms, mut sizes, mut first) = (Vec::new(), Vec::new(), None);
    let Some(Ok(Part::Places(places))) = parts.next().await else {
        panic!("places come first")
    };
    while let Some(part) = parts.next().await {
        let Part::Machines(page) = part.expect("a page") else {
            panic!("places come once")
        };
        first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
        sizes.push(page.len());
        vms.extend(page);
    }
    let (first, all) = (first.expect("rows"), begun.elapsed().as_secs_f64());
    eprintln!("10,000 machines: first rows after {first:.3} s, all after {all:.3} s");
    assert!(first < 3.0 && all < 20.0, "{first} {all}");
    assert_eq!((sizes[0], sizes[1], sizes.len()), (100, 500, 21));
    assert_eq!(
        recorder.count("ContinueRetrievePropertiesEx"),
        99 + 2,
        "99 for the machines, two for their places"
    );
    assert_eq!(places.datacenters, ["DC0", "DC1"]);
    assert_eq!(
        (places.clusters.len(), places.hosts.len(), places.datastores.len()),
        (20, 240, 12)
    );
    assert!(places.clusters.iter().all(|c| c.hosts == 12 && c.datacenter.is_some()));
    for host in &places.hosts {
        assert!(host.version == "6.5.0" && host.product.contains("ESXi"), "{host:?}");
        assert!(host.cores > 0 && host.memory_bytes > 0 && !host.maintenance, "{host:?}");
        assert!(host.cluster.is_some() && host.datacenter.is_some(), "{host:?}");
    }
    for store in &places.datastores {
        assert!(store.accessible && store.capacity_bytes > store.free_bytes, "{store:?}");
        assert!(!store.kind.is_empty() && store.datacenter.is_some(), "{store:?}");
    }
    let networks: Vec<&str> = places.networks.iter().map(|n| n.kind.as_str()).collect();
    assert!(networks.contains(&"Network") && networks.contains(&"DistributedVirtualPortgroup"));

    assert_eq!(vms.iter().map(|v| &v.moref).collect::<BTreeSet<_>>().len(), 10_000);
    for vm in &vms {
        assert!(vm.datacenter.as_deref().is_some_and(|d| d.starts_with("DC")), "{vm:?}");
        assert!(vm.cluster.as_deref().is_some_and(|c| c.contains("_C")), "{vm:?}");
        assert!(
            vm.host.is_some() && vm.ip_address.is_some() && vm.instance_uuid.is_some(),
            "{vm:?}"
        );
        assert_eq!(
            (vm.power_state.as_str(), vm.guest_id.as_deref()),
            ("poweredOn", Some("windows9Server64Guest"))
        );
        assert!(
            vm.cpus > 0 && vm.memory_mib > 0 && vm.disk_count == 1 && vm.nic_count == 1,
            "{vm:?}"
        );
        assert!(
            !vm.template && vm.connection_state.as_deref() == Some("connected"),
            "{vm:?}"
        );
    }
    let with = |wanted: fn(&plan::Vm) -> bool| vms.iter().filter(|v| wanted(v)).count();
    assert_eq!(with(|v| v.firmware.as_deref() == Some("efi")), 5_000);
    assert_eq!(with(|v| v.secure_boot == Some(true)), 2_500);

    // Some of them whole.
    let chosen: Vec<String> = vms.iter().step_by(25).map(|v| v.moref.clone()).collect();
    let begun = Instant::now();
    let whole = vcenter.details(&chosen).await.expect("read");
    eprintln!("400 of them whole: {:.3} s", begun.elapsed().as_secs_f64());
    assert_eq!(
        whole.iter().map(|v| &v.moref).collect::<Vec<_>>(),
        chosen.iter().collect::<Vec<_>>()
    );
    for vm in &whole {
        let listed = vms.iter().find(|v| v.moref == vm.moref).expect("listed");
        let details = vm.details.as_ref().expect("details");
        assert!(
            details.disks.len() == 1 && details.nics[0].network.is_some(),
            "{details:?}"
        );
        let first_pass = plan::Vm {
            details: None,
            readiness: None,
            ..vm.clone()
        };
        assert_eq!(first_pass, *listed);
    }

    // Watched: one change among them is told alone.
    let moref = chosen[0].clone();
    let mut changes = vcenter.watch(vms);
    let begun = Instant::now();
    assert!(
        matches!(changes.next().await, Some(Change::Quiet)),
        "nothing has changed"
    );
    eprintln!("watched after {:.3} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    vcenter.power_off(&moref).await.expect("started");
    let told = loop {
        match changes.next().await {
            Some(Change::Upserted(vms)) => break vms,
            other => assert!(matches!(other, Some(Change::Quiet)), "{other:?}"),
        }
    };
    eprintln!("a change was told after {:.3} s", begun.elapsed().as_secs_f64());
    assert_eq!(
        told.iter()
            .map(|v| (v.moref.as_str(), v.power_state.as_str()))
            .collect::<Vec<_>>(),
        [(moref.as_str(), "poweredOff")]
    );
    vcenter.logout().await;
}
