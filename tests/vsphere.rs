//! VMware's own client for Python judges the lab's vCenter: each script in tests/judges/vsphere is a test with a lab of its
//! own. A script is called with address, user and password, prints `ok NAME` for each check, and raises for what is wrong. As
//! standard input it has a second account, which has no right yet, the lab's own address, whose clock ends a session, and an
//! account of WEBVM's own system.
//!
//! Needs the Python environment in target/judges-python, which `cargo xtask test` installs.

use crate::{
    recordings::python,
    support::{together, top},
};
use lab::{Lab, Options};
use serde_json::json;

/// Lab time per real time: tasks are soon over, and a session doesn't end between two calls of a script.
const SPEED: u32 = 100;

const ACCOUNT: &str = r"CONTOSO\svc-judge";
/// What XML, shells and URLs have a meaning for.
const PASSWORD: &str = "&;\"'^\\%<>£é 1";

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                judge(stringify!($name)).await;
            }
        )*
    };
}

scripts!(access, guest, imports, inventory, machines);

async fn judge(name: &str) {
    let _machine = together().await;
    let lab = Lab::start(Options {
        speed: SPEED,
        ..Options::default()
    })
    .await
    .unwrap();
    let a = lab.addresses();
    lab.with_world(|w| {
        w.onprem.principals.insert(ACCOUNT.into());
        w.onprem.accounts.insert(ACCOUNT.into(), PASSWORD.into());
    });
    let web = &a.guests[0];
    let more = json!({
        "account": ACCOUNT, "password": PASSWORD, "control": a.control, "ca": a.ca_pem,
        "guest": { "user": web.user, "password": web.password },
    });
    let url = format!("{}/sdk", a.vcenter);
    let script = format!("vsphere/{name}.py");
    let ended = python(
        &script,
        &[&url, &a.vcenter_user, &a.vcenter_password],
        &more.to_string(),
    )
    .await;
    ended.must_end_with(0);
    let checks = ended.stdout.lines().filter(|l| l.starts_with("ok ")).count();
    assert!(checks > 0, "{name}.py checked nothing");
    lab.stop().await;
}

#[test]
fn every_script_is_a_test() {
    let folder = std::fs::read_dir(top().join("tests/judges/vsphere")).unwrap();
    let names = folder.map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = names.filter_map(|n| n.strip_suffix(".py").map(str::to_owned)).collect();
    there.sort();
    let mut listed = SCRIPTS.to_vec();
    listed.sort_unstable();
    assert_eq!(there, listed, "list every script in tests/vsphere.rs, by its name");
}
