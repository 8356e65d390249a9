//! Templates: read from disk, checked, and deployed to the lab and to VMware's own simulator.

#![allow(clippy::panic)]

mod support;

use jiff::SignedDuration;
use lab::Lab;
use lab::onprem::{LabPermission, LabRole, LeaseState};
use plan::appliance::{DeploymentPlaces, Placement, Provisioning};
use plan::design::VCenterConnection;
use secrets::Secret;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use support::{Gate, Recorder, Vcsim, connect};
use tokio::sync::watch;
use vsphere::{ImportError, ImportStep, Package, Settled, VCenter};

const MARK: &str = "0c4bd1a6-mark";
const SECRET: &str = "canary-Appl1ance";
const DISK: u64 = 3 << 20;

fn template(folder: &Path, bytes: u64) -> PathBuf {
    let path = folder.join("appliance.ova");
    lab::template::write(&path, bytes).expect("written");
    path
}

/// The parts of an archive, and one made of parts; the headers are the reader's business.
fn unpack(ova: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(ova).expect("read");
    let (mut at, mut parts) = (0, vec![]);
    while bytes[at] != 0 {
        let name = String::from_utf8_lossy(&bytes[at..at + 100])
            .trim_end_matches('\0')
            .to_owned();
        let size = std::str::from_utf8(&bytes[at + 124..at + 135]).expect("octal");
        let size = usize::from_str_radix(size, 8).expect("octal");
        parts.push((name, bytes[at + 512..at + 512 + size].to_vec()));
        at += 512 + size.next_multiple_of(512);
    }
    parts
}

/// The same template beside its archive, with another descriptor and no manifest.
fn altered(ova: &Path, change: impl Fn(&str) -> String) -> Package {
    let folder = ova.parent().expect("a folder");
    for (name, bytes) in unpack(ova) {
        match std::str::from_utf8(&bytes) {
            _ if name.ends_with(".mf") => continue,
            Ok(text) => fs::write(folder.join(name), change(text)),
            Err(_) => fs::write(folder.join(name), bytes),
        }
        .expect("written");
    }
    Package::open(&folder.join("appliance.ovf")).expect("opened")
}

fn entry(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..262].copy_from_slice(b"ustar");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.extend_from_slice(body);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn pack(path: &Path, entries: &[Vec<u8>]) {
    fs::write(path, [entries.concat(), vec![0; 1024]].concat()).expect("written");
}

#[test]
fn a_template_is_read_from_an_archive_and_from_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let ova = template(folder.path(), DISK);
    let package = Package::open(&ova).expect("opened");
    assert_eq!(
        (package.template.upload_bytes(), package.manifest, package.signed),
        (DISK, true, false)
    );
    let mut last = 0;
    assert!(
        package
            .verify(|n| {
                last = n;
                true
            })
            .expect("checked")
    );
    assert_eq!(last, package.checked_bytes());
    assert!(!package.verify(|_| false).expect("stopped"));

    // The same from a folder, and from an archive with extended headers.
    let parts = unpack(&ova);
    for (name, bytes) in &parts {
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    let beside = Package::open(&folder.path().join("appliance.ovf")).expect("opened");
    assert_eq!(beside.template, package.template);
    assert!(beside.verify(|_| true).expect("checked"));
    let [ovf, mf, disk] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    let pax = "29 path=appliance-disk1.vmdk\n".to_owned() + &format!("16 size={DISK}\n");
    let extended = folder.path().join("extended.ova");
    pack(
        &extended,
        &[
            entry("././@LongLink", b'L', b"appliance.ovf\0"),
            entry("x", b'0', &ovf.1),
            entry("appliance.mf", b'0', &mf.1),
            entry("appliance.cert", b'0', b"-----BEGIN CERTIFICATE-----"),
            entry("pax", b'x', pax.as_bytes()),
            entry("x", b'0', &disk.1),
        ],
    );
    let extended = Package::open(&extended).expect("opened");
    assert!(extended.signed && extended.verify(|_| true).expect("checked"));
}

#[test]
fn a_template_that_is_not_what_it_says_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ova = template(folder.path(), 4096);
    let whole = fs::read(&ova).expect("read");
    let parts = unpack(&ova);
    let [ovf, mf, disk] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    let (ovf, mf, disk) = (ovf.1.as_slice(), mf.1.as_slice(), disk.1.as_slice());
    let text = String::from_utf8(ovf.to_vec()).expect("text");
    let e = |name: &str, body: &[u8]| entry(name, b'0', body);
    let bad = folder.path().join("bad.ova");
    let refused = |entries: &[Vec<u8>], code: &str, word: &str| {
        pack(&bad, entries);
        let error = Package::open(&bad).expect_err(word);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    };
    let name = "appliance-disk1.vmdk";
    refused(&[e("appliance.ovf", ovf)], "Damaged", "is missing");
    refused(&[e(name, disk)], "Damaged", "no descriptor");
    refused(
        &[e("appliance.ovf", ovf), e("b.ovf", ovf), e(name, disk)],
        "Lies",
        "two descriptors",
    );
    refused(
        &[e("appliance.ovf", ovf), e(name, disk), e(name, disk)],
        "Lies",
        "twice",
    );
    refused(
        &[e("appliance.ovf", ovf), e("../x", b"x"), e(name, disk)],
        "Lies",
        "outside",
    );
    refused(
        &[e("appliance.ovf", ovf), e("/etc/x", b"x"), e(name, disk)],
        "Lies",
        "outside",
    );
    refused(&[e("appliance.ovf", ovf), entry(name, b'2', b"")], "Lies", "link");
    refused(&[e("appliance.ovf", ovf), e(name, &disk[..3584])], "Lies", "bytes");
    refused(
        &[e("appliance.ovf", ovf), e(name, &[0; 4096])],
        "Unsupported",
        "stream-optimized",
    );
    refused(
        &[e("appliance.ovf", ovf), e(name, &[&[0x1f, 0x8b], &disk[2..]].concat())],
        "Unsupported",
        "gzip",
    );
    let smaller = text.replace("ovf:capacity=\"80\"", "ovf:capacity=\"60\"");
    refused(
        &[e("appliance.ovf", smaller.as_bytes()), e(name, disk)],
        "Lies",
        "the descriptor says",
    );
    let only_disk = format!("SHA1({name})= {}\n", "0".repeat(40));
    refused(
        &[
            e("appliance.ovf", ovf),
            e("appliance.mf", only_disk.as_bytes()),
            e(name, disk),
        ],
        "Lies",
        "no checksum",
    );
    refused(
        &[e("appliance.ovf", ovf), e("appliance.mf", b"MD5(x)= 00"), e(name, disk)],
        "Damaged",
        "no checksum",
    );
    let more = [mf, b"SHA256(other)= ", "0".repeat(64).as_bytes()].concat();
    refused(
        &[e("appliance.ovf", ovf), e("appliance.mf", &more), e(name, disk)],
        "Damaged",
        "is missing",
    );
    refused(&[vec![1; 512]], "Damaged", "no archive");
    refused(&[], "Damaged", "no descriptor");

    // Cut off in the middle, as a download that broke is.
    for length in [whole.len() - 2048, 700, 100] {
        fs::write(&bad, &whole[..length]).expect("written");
        assert_eq!(Package::open(&bad).expect_err("cut").code(), "Damaged");
    }
    // The manifest finds out what sizes don't.
    let mut other = disk.to_vec();
    other[1000] ^= 1;
    pack(&bad, &[e("appliance.ovf", ovf), e("appliance.mf", mf), e(name, &other)]);
    let error = Package::open(&bad)
        .expect("opened")
        .verify(|_| true)
        .expect_err("changed");
    assert!(error.code() == "Lies" && error.to_string().contains(name), "{error}");

    #[cfg(unix)]
    {
        fs::write(folder.path().join("link.ovf"), ovf).expect("written");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(name)).expect("a link");
        let error = Package::open(&folder.path().join("link.ovf")).expect_err("a link");
        assert!(error.code() == "Lies" && error.to_string().contains("link"), "{error}");
    }
    assert_eq!(
        Package::open(&folder.path().join("x.zip")).expect_err("a name").code(),
        "Damaged"
    );
}

async fn start() -> (Lab, VCenterConnection, VCenter, Arc<Recorder>) {
    // So that nobody waits for vCenter in the lab's time.
    support::lab(10).await
}

fn chosen(places: &DeploymentPlaces, package: &Package) -> Placement {
    let compute = &places.computes[0];
    let folder = places
        .folders
        .iter()
        .find(|f| f.datacenter == compute.datacenter && f.path.is_empty());
    Placement {
        name: "ASR-APPLIANCE".into(),
        compute: compute.moref.clone(),
        host: Some(compute.hosts[0].moref.clone()),
        datastore: compute.datastores[0].moref.clone(),
        folder: folder.expect("its folder").moref.clone(),
        networks: package
            .template
            .networks
            .iter()
            .map(|n| (n.name.clone(), compute.networks[0].moref.clone()))
            .collect(),
        properties: BTreeMap::from([("vami.hostname.App".into(), "R&D <appliance>".into())]),
        option: None,
        provisioning: Provisioning::Thin,
        eulas_accepted: true,
    }
}

/// Keeps what it hears.
#[derive(Default)]
struct Heard(Mutex<Vec<ImportStep>>);

impl Heard {
    fn listen(&self) -> impl Fn(ImportStep) -> Result<(), String> + Send + Sync {
        |step| {
            self.0.lock().expect("heard").push(step);
            Ok(())
        }
    }

    fn lease(&self) -> Option<String> {
        self.0.lock().expect("heard").iter().find_map(|s| match s {
            ImportStep::Leased { lease } => Some(lease.clone()),
            _ => None,
        })
    }
}

fn secrets() -> BTreeMap<String, Secret<String>> {
    BTreeMap::from([("vami.password.App".into(), Secret::from(SECRET))])
}

async fn deploy(
    vcenter: &VCenter,
    package: &Package,
    heard: &Heard,
    stop: watch::Receiver<bool>,
    change: impl Fn(&mut Placement),
) -> Result<String, (ImportError, Option<vsphere::VsphereError>)> {
    let places = vcenter.deployment_places().await.map_err(|e| (e.into(), None))?;
    let mut at = chosen(&places, package);
    change(&mut at);
    let spec = vcenter
        .import_spec(package, &at, &secrets(), &places)
        .await
        .map_err(|e| (e, None))?;
    let listen = heard.listen();
    vcenter.import(package, spec, MARK, stop, &listen).await
}

fn going() -> watch::Receiver<bool> {
    watch::Sender::new(false).subscribe()
}

#[tokio::test]
async fn a_template_becomes_a_machine_in_the_lab() {
    let (lab, _, vcenter, recorder) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::open(&template(folder.path(), DISK)).expect("opened");
    let places = vcenter.deployment_places().await.expect("places");
    let compute = &places.computes[0];
    assert_eq!(
        (compute.name.as_str(), compute.cluster, compute.datacenter.as_str()),
        ("contosohost1.contoso.com", false, "contoso-datacenter")
    );
    assert!(compute.datastores[0].free_bytes > 1 << 40 && compute.networks[0].name == "VM Network");

    let heard = Heard::default();
    let vm = deploy(&vcenter, &package, &heard, going(), |_| {})
        .await
        .expect("deployed");
    let found = vcenter.find_vm("asr-appliance").await.expect("read").expect("there");
    assert_eq!(
        (
            found.moref.as_str(),
            found.cpus,
            found.memory_mib,
            found.power_state.as_str()
        ),
        (vm.as_str(), 8, 16_384, "poweredOff")
    );
    assert_eq!(found.disk_bytes().collect::<Vec<_>>(), [80 << 30, 620 << 30]);
    lab.with_world(|w| {
        let lease = &w.onprem.leases[0];
        assert_eq!(
            (lease.state.clone(), lease.files[0].received),
            (LeaseState::Done, Some(DISK))
        );
        // The host is vCenter itself.
        assert!(lease.files[0].with_cookie);
    });
    let steps = heard.0.lock().expect("heard").clone();
    assert!(
        matches!(
            steps.as_slice(),
            [
                ImportStep::Leased { .. },
                ImportStep::Sending { .. },
                ..,
                ImportStep::Sent
            ]
        ),
        "{steps:?}"
    );
    let last = steps.iter().rev().find_map(|s| match s {
        ImportStep::Progress(p) => Some((p.sent, p.total)),
        _ => None,
    });
    assert_eq!(last, Some((DISK, DISK)));
    assert!(!recorder.text().contains(SECRET), "a secret was recorded");

    // The name is taken now.
    let (error, left) = deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
        .await
        .expect_err("taken");
    assert!(
        matches!(&error, ImportError::Vsphere(e) if e.code() == "DuplicateName") && left.is_none(),
        "{error}"
    );
    // What was deployed before stays.
    assert!(vcenter.find_vm("asr-appliance").await.expect("read").is_some());
    vcenter.logout().await;
}

#[tokio::test]
async fn another_host_is_known_by_its_thumbprint_and_gets_no_cookie() {
    let (lab, connection, vcenter, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::open(&template(folder.path(), 8192)).expect("opened");
    let sha1 = vsphere::probe(&connection, None).await.expect("a certificate").sha1;
    let host = connection.url.replace("127.0.0.1", "localhost").replace("/sdk", "");
    for thumbprint in [sha1.clone(), connection.thumbprint.clone()] {
        lab.with_world(|w| {
            w.onprem.upload_host = Some((host.clone(), thumbprint.clone()));
            w.onprem.vms.retain(|v| v.name != "ASR-APPLIANCE");
        });
        deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
            .await
            .expect("deployed");
        lab.with_world(|w| assert!(!w.onprem.leases.last().expect("a lease").files[0].with_cookie));
    }
    // Somebody else answers there, vCenter names nobody whom this computer trusts, or it is no safe address.
    let flipped = if sha1.starts_with('0') { "1" } else { "0" };
    let other = format!("{flipped}{}", &sha1[1..]);
    for (at, thumbprint, code) in [
        (host.clone(), other, "CertificateChanged"),
        (host.clone(), String::new(), "CertificateUnknown"),
        (host.clone(), "12:34".into(), "Parse"),
        (host.replace("https", "http"), sha1.clone(), "Parse"),
    ] {
        lab.with_world(|w| {
            w.onprem.upload_host = Some((at.clone(), thumbprint));
            w.onprem.vms.retain(|v| v.name != "ASR-APPLIANCE");
        });
        let (error, left) = deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
            .await
            .expect_err(code);
        assert!(
            matches!(&error, ImportError::Vsphere(e) if e.code() == code) && left.is_none(),
            "{code}: {error:?}"
        );
        assert!(
            vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_none(),
            "it stays"
        );
    }
}

#[tokio::test]
async fn what_ends_before_its_time_leaves_nothing_behind() {
    let (lab, _, vcenter, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = template(folder.path(), 64 << 20);
    let package = Package::open(&path).expect("opened");
    let nothing_left = async |vcenter: &VCenter, why: &str| {
        assert!(
            vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_none(),
            "{why}: it stays"
        );
    };

    // A person stops it while it is being sent.
    let stop = watch::Sender::new(false);
    let heard = Heard::default();
    let (places, receiver) = (vcenter.deployment_places().await.expect("places"), stop.subscribe());
    let at = chosen(&places, &package);
    let spec = vcenter
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("a spec");
    let listen = |step: ImportStep| {
        if matches!(step, ImportStep::Progress(_)) {
            stop.send_replace(true);
        }
        heard.listen()(step)
    };
    let (error, left) = vcenter
        .import(&package, spec, MARK, receiver, &listen)
        .await
        .expect_err("stopped");
    assert!(
        matches!(error, ImportError::Stopped) && left.is_none(),
        "{error:?} {left:?}"
    );
    nothing_left(&vcenter, "stopped").await;

    // The project can't be written any more.
    let spec = vcenter
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("a spec");
    let full = |_| Err("The disk is full.".to_owned());
    let (error, left) = vcenter
        .import(&package, spec, MARK, going(), &full)
        .await
        .expect_err("full");
    assert!(matches!(error, ImportError::Record(_)) && left.is_none(), "{error:?}");
    nothing_left(&vcenter, "not written").await;

    // The file becomes shorter meanwhile.
    let spec = vcenter
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("a spec");
    let cut = |step: ImportStep| {
        if matches!(step, ImportStep::Leased { .. }) {
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|f| f.set_len(32 << 20))
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    };
    let (error, left) = vcenter
        .import(&package, spec, MARK, going(), &cut)
        .await
        .expect_err("shorter");
    assert!(matches!(error, ImportError::Template(_)) && left.is_none(), "{error:?}");
    nothing_left(&vcenter, "shorter").await;

    // No space, which vCenter finds when it makes the machine.
    let package = Package::open(&template(folder.path(), 8192)).expect("opened");
    lab.with_world(|w| w.onprem.vms[0].committed_bytes = (4 << 40) - (500 << 30));
    let thick = |at: &mut Placement| at.provisioning = Provisioning::Thick;
    let (error, left) = deploy(&vcenter, &package, &Heard::default(), going(), thick)
        .await
        .expect_err("full");
    assert!(
        matches!(&error, ImportError::Vsphere(e) if e.code() == "NoDiskSpace") && left.is_none(),
        "{error:?}"
    );
    nothing_left(&vcenter, "no space").await;
    // Thin there is room.
    deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
        .await
        .expect("deployed");
}

#[tokio::test]
async fn a_session_or_connection_that_is_lost_in_the_middle() {
    let (lab, connection, vcenter, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::open(&template(folder.path(), 8192)).expect("opened");
    // The session ends: the lease with it.
    let lost = |step: ImportStep| {
        if matches!(step, ImportStep::Sending { .. }) {
            let hour = SignedDuration::from_hours(1);
            lab.clock().advance_to(lab.clock().now() + hour);
        }
        Ok(())
    };
    let places = vcenter.deployment_places().await.expect("places");
    let at = chosen(&places, &package);
    let spec = vcenter
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("a spec");
    let (error, left) = vcenter
        .import(&package, spec, MARK, going(), &lost)
        .await
        .expect_err("lost");
    assert!(left.is_none(), "{error:?} {left:?}");
    assert!(vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_none());

    // The connection breaks, and comes back for the tidying.
    let gate = Gate::open(&connection.url).await;
    let via = VCenterConnection {
        proxy: plan::design::Proxy::Explicit {
            url: gate.url.clone(),
            user: String::new(),
        },
        ..connection.clone()
    };
    let password = lab.addresses().vcenter_password;
    let through = connect(&via, &password, Arc::new(Recorder::default()))
        .await
        .expect("signed in");
    let package = Package::open(&template(folder.path(), 64 << 20)).expect("opened");
    let spec = through
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("a spec");
    let heard = Heard::default();
    let broken = |step: ImportStep| {
        if matches!(step, ImportStep::Progress(_)) {
            gate.close();
        }
        heard.listen()(step)
    };
    let (error, left) = through
        .import(&package, spec, MARK, going(), &broken)
        .await
        .expect_err("broken");
    assert!(matches!(&error, ImportError::Vsphere(_)), "{error:?}");
    // Nothing could be tidied up, and that is said. Later it can.
    assert!(left.is_some());
    assert!(vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_some());
    let lease = heard.lease();
    let settled = vcenter
        .settle_import("ASR-APPLIANCE", MARK, lease.as_deref(), false)
        .await;
    assert_eq!(settled.expect("settled"), Settled::Removed);
    assert!(vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_none());
}

#[tokio::test]
async fn after_a_crash_a_whole_machine_is_adopted_and_half_a_one_removed() {
    let (lab, _, vcenter, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::open(&template(folder.path(), 8192)).expect("opened");
    let there = async || vcenter.find_vm("ASR-APPLIANCE").await.expect("read").map(|v| v.moref);

    // Killed after the last file and before the completion was heard, or after it.
    for completed in [true, false] {
        let heard = Heard::default();
        let vm = deploy(&vcenter, &package, &heard, going(), |_| {})
            .await
            .expect("deployed");
        if !completed {
            lab.with_world(|w| w.onprem.leases.last_mut().expect("a lease").state = LeaseState::Ready);
        }
        let lease = heard.lease();
        let settled = vcenter
            .settle_import("ASR-APPLIANCE", MARK, lease.as_deref(), true)
            .await;
        assert_eq!(settled.expect("settled"), Settled::Adopted { vm: vm.clone() });
        lab.with_world(|w| assert_eq!(w.onprem.leases.last().expect("a lease").state, LeaseState::Done));
        // Somebody else's machine of this name is left alone.
        let settled = vcenter.settle_import("ASR-APPLIANCE", "another", None, false).await;
        assert_eq!((settled.expect("settled"), there().await), (Settled::Removed, Some(vm)));
        let settled = vcenter
            .settle_import("ASR-APPLIANCE", MARK, lease.as_deref(), false)
            .await;
        assert_eq!((settled.expect("settled"), there().await), (Settled::Removed, None));
    }
    // Nothing was heard of the upload for too long: vCenter has tidied up by itself.
    let heard = Heard::default();
    deploy(&vcenter, &package, &heard, going(), |_| {})
        .await
        .expect("deployed");
    lab.with_world(|w| {
        let lease = w.onprem.leases.last_mut().expect("a lease");
        lease.state = LeaseState::Ready;
        lease.files[0].received = None;
    });
    let lease = heard.lease().expect("a lease");
    let before_timeout = vcenter.power_on(&there().await.expect("there")).await.expect("started");
    let info = vcenter.task(&before_timeout).await.expect("a task");
    assert_eq!(info.error.expect("held").kind, "TaskInProgress");
    lab.clock()
        .advance_to(lab.clock().now() + SignedDuration::from_mins(20));
    assert_eq!(there().await, None);
    let settled = vcenter.settle_import("ASR-APPLIANCE", MARK, Some(&lease), true).await;
    assert_eq!(settled.expect("settled"), Settled::Removed);
}

#[tokio::test]
async fn an_account_without_the_rights_is_refused() {
    let (lab, connection, _, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::open(&template(folder.path(), 8192)).expect("opened");
    let needed = plan::privileges::deployment_needs("contoso-datacenter");
    let give = |without: &str| {
        lab.with_world(|w| {
            let name = "CONTOSO\\deployer".to_owned();
            w.onprem.principals.insert(name.clone());
            w.onprem.accounts.insert(name.clone(), "pw".into());
            w.onprem.roles.retain(|r| r.id != 70);
            let system = ["System.Anonymous", "System.Read", "System.View"].map(str::to_owned);
            let own = needed[0].privileges.iter().filter(|p| *p != without).cloned();
            w.onprem.roles.push(LabRole {
                id: 70,
                name: "deployer".into(),
                label: "deployer".into(),
                privileges: own.chain(system).collect(),
                system: false,
            });
            w.onprem.permissions.retain(|p| p.principal != name);
            w.onprem.permissions.push(LabPermission {
                entity: "group-d1".into(),
                entity_kind: "Folder".into(),
                principal: name,
                group: false,
                role: 70,
                propagate: true,
            });
        });
    };
    let account = VCenterConnection {
        user: "deployer@contoso.com".into(),
        ..connection
    };
    for without in ["VApp.Import", "Datastore.AllocateSpace", "Network.Assign"] {
        give(without);
        let vcenter = connect(&account, "pw", Arc::new(Recorder::default()))
            .await
            .expect("signed in");
        let rights = vcenter.rights(&needed).await.expect("rights");
        assert_eq!(rights[0].missing, [without]);
        let (error, left) = deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
            .await
            .expect_err(without);
        let ImportError::Vsphere(vsphere::VsphereError::NoPermission { privilege, .. }) = &error else {
            panic!("{error:?}");
        };
        assert!(privilege == without && left.is_none());
        vcenter.logout().await;
    }
    give("");
    let vcenter = connect(&account, "pw", Arc::new(Recorder::default()))
        .await
        .expect("signed in");
    assert!(vcenter.rights(&needed).await.expect("rights")[0].missing.is_empty());
    deploy(&vcenter, &package, &Heard::default(), going(), |_| {})
        .await
        .expect("deployed");
}

#[tokio::test]
async fn what_vcenter_holds_against_a_template_is_told_before() {
    let (lab, _, vcenter, _) = start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ova = template(folder.path(), 8192);
    let package = altered(&ova, |d| d.replace("vmx-13", "vmx-99"));
    let places = vcenter.deployment_places().await.expect("places");
    let at = chosen(&places, &package);
    let spec = vcenter
        .import_spec(&package, &at, &secrets(), &places)
        .await
        .expect("asked");
    assert_eq!(spec.errors[0].kind, "OvfNoSupportedHardwareFamily");
    let (error, left) = vcenter
        .import(&package, spec, MARK, going(), &|_| Ok(()))
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("vmx-99") && left.is_none(), "{error}");
    lab.with_world(|w| assert!(w.onprem.leases.is_empty()));
    for wrong in [
        Placement {
            datastore: "datastore-99".into(),
            ..at.clone()
        },
        Placement {
            compute: "domain-99".into(),
            ..at.clone()
        },
        Placement {
            folder: "group-99".into(),
            ..at.clone()
        },
        Placement {
            host: Some("host-99".into()),
            ..at.clone()
        },
        Placement {
            networks: BTreeMap::new(),
            ..at.clone()
        },
    ] {
        let error = vcenter
            .import_spec(&package, &wrong, &BTreeMap::new(), &places)
            .await
            .expect_err("gone");
        assert!(
            matches!(&error, ImportError::Vsphere(e) if e.code() == "Config"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_template_becomes_a_machine_in_vmwares_own_simulator() {
    let folder = tempfile::tempdir().expect("a folder");
    // The simulator breaks down over a disk without a file.
    let package = altered(&template(folder.path(), 8 << 20), |d| {
        d.lines()
            .filter(|l| !l.contains("vmdisk2"))
            .collect::<Vec<_>>()
            .join("\n")
    });
    for flags in [&[][..], &["-esx"][..]] {
        let vcsim = Vcsim::start(flags);
        let (vcenter, recorder) = vcsim.sign_in().await;
        let heard = Heard::default();
        let vm = deploy(&vcenter, &package, &heard, going(), |_| {})
            .await
            .expect("deployed");
        let found = vcenter.find_vm("ASR-APPLIANCE").await.expect("read").expect("there");
        assert_eq!(
            (found.moref.as_str(), found.cpus, found.memory_mib),
            (vm.as_str(), 8, 16_384)
        );
        assert!(!recorder.text().contains(SECRET), "a secret was recorded");
        // The mark is known, and by it the machine.
        let settled = vcenter
            .settle_import("ASR-APPLIANCE", MARK, heard.lease().as_deref(), true)
            .await;
        assert_eq!(settled.expect("settled"), Settled::Adopted { vm });
        let settled = vcenter
            .settle_import("ASR-APPLIANCE", MARK, heard.lease().as_deref(), false)
            .await;
        assert_eq!(settled.expect("settled"), Settled::Removed);
        assert!(vcenter.find_vm("ASR-APPLIANCE").await.expect("read").is_none());
        vcenter.logout().await;
    }
}
