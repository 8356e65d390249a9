//! 2,000 machines from VMware's own simulator, timed. Alone in its binary, so that no other test of this crate runs beside it.

mod support;

use futures::StreamExt;
use std::collections::BTreeSet;
use std::time::Instant;
use support::Vcsim;

/// The figures promised: first rows within 0.5 s, all within 2 s, from the click: with TLS and sign-in.
/// Each is reached in one of eight rounds, because other programs may be using the computer.
#[tokio::test]
async fn two_thousand_machines_stream_in() {
    let vcsim = Vcsim::start(&[
        "-dc", "2", "-cluster", "5", "-host", "10", "-vm", "200", "-ds", "4", "-pg", "4",
    ]);
    let (mut first, mut all) = (f64::MAX, f64::MAX);
    for _ in 0..8 {
        let begun = Instant::now();
        let (vcenter, recorder) = vcsim.sign_in().await;
        let signed_in = begun.elapsed().as_secs_f64();
        let mut pages = Box::pin(vcenter.vms(500));
        let (mut vms, mut sizes, mut rows) = (Vec::new(), Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = page.expect("a page");
            rows.get_or_insert_with(|| begun.elapsed().as_secs_f64());
            sizes.push(page.len());
            vms.extend(page);
        }
        let (rows, end) = (rows.expect("rows"), begun.elapsed().as_secs_f64());
        eprintln!("2,000 machines: signed in after {signed_in:.3} s, first rows {rows:.3} s, all {end:.3} s");
        (first, all) = (first.min(rows), all.min(end));

        assert_eq!(sizes, [100, 500, 500, 500, 400]);
        assert_eq!(
            recorder.count("ContinueRetrievePropertiesEx"),
            19 + 1,
            "19 for the machines, one for their places"
        );
        assert_eq!(vms.iter().map(|v| &v.moref).collect::<BTreeSet<_>>().len(), 2_000);
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
        assert_eq!(
            vms.iter().filter(|v| v.firmware.as_deref() == Some("efi")).count(),
            1_000
        );
        assert_eq!(vms.iter().filter(|v| v.secure_boot == Some(true)).count(), 500);
        vcenter.logout().await;
        if first < 0.5 && all < 2.0 {
            return;
        }
    }
    panic!("first rows after {first:.3} s, all after {all:.3} s at best");
}
