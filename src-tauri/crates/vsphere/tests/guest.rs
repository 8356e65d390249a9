//! Work inside machines: against our own lab, which knows rights, accounts, power and what scripts change, and against VMware's
//! simulator with guest managers of the tests' own.

#![allow(clippy::panic)]

mod support;

use jiff::{SignedDuration, Timestamp};
use lab::Lab;
use lab::onprem::Power;
use plan::guest::{Item, System};
use plan::{GuestFacts, guest};
use secrets::Secret;
use std::sync::Arc;
use support::{Recorder, Vcsim};
use vsphere::{ErrorClass, GuestAccount, GuestRun, Shell, VCenter, VsphereError};

const WEBVM: &str = "vm-21";

struct Bench {
    lab: Lab,
    vcenter: VCenter,
    recorder: Arc<Recorder>,
    account: GuestAccount,
}

async fn bench() -> Bench {
    let (lab, _, vcenter, recorder) = support::lab(1000).await;
    let a = lab.addresses();
    let own = a.guests.into_iter().find(|g| g.moref == WEBVM).expect("there");
    let account = GuestAccount {
        user: own.user,
        password: Secret::from(own.password.as_str()),
    };
    Bench {
        lab,
        vcenter,
        recorder,
        account,
    }
}

impl Bench {
    async fn run(&self, script: &str) -> Result<GuestRun, VsphereError> {
        self.vcenter
            .run_in_guest(WEBVM, &self.account, Shell::PowerShell, script)
            .await
    }

    async fn check(&self) -> GuestFacts {
        let run = self.run(&guest::script(System::Windows).text).await.expect("it runs");
        assert_eq!(run.exit_code, 0, "{}", run.output);
        guest::read(&run.output).expect("an output")
    }

    /// What lies in the guest's file system.
    fn left(&self) -> (usize, usize) {
        self.lab.with_world(|w| {
            let guest = &w.onprem.vm(WEBVM).expect("there").guest;
            (guest.files.len(), guest.directories.len())
        })
    }

    fn refused(&self, outcome: Result<GuestRun, VsphereError>, code: &str) -> VsphereError {
        let e = outcome.expect_err("refused");
        assert_eq!(e.code(), code, "{e:?}");
        assert_eq!(self.left(), (0, 0), "nothing stays in the guest");
        e
    }
}

fn problems(f: &GuestFacts) -> Vec<Item> {
    f.system
        .items()
        .iter()
        .copied()
        .filter(|i| i.problem(f).is_some())
        .collect()
}

#[tokio::test]
async fn what_is_wrong_in_a_guest_is_read_put_right_and_taken_back() {
    let b = bench().await;
    let before = b.check().await;
    let fixable = [Item::Rdp, Item::Firewall, Item::San, Item::Services];
    let rest = [Item::Updates, Item::Reboot];
    let all = [
        Item::Rdp,
        Item::Firewall,
        Item::San,
        Item::Updates,
        Item::Reboot,
        Item::Services,
    ];
    assert_eq!(problems(&before), all);
    for item in fixable {
        let fix = guest::fix(item, &before).expect("a script");
        let run = b.run(&fix.text).await.expect("it runs");
        assert_eq!((run.exit_code, run.output.as_str()), (0, "done=1\n"), "{item:?}");
    }
    assert_eq!(problems(&b.check().await), rest);
    for item in fixable {
        let undo = guest::undo(item, &before).expect("a script");
        assert_eq!(b.run(&undo.text).await.expect("it runs").exit_code, 0, "{item:?}");
    }
    assert_eq!(b.check().await, before, "the way back leads to where it began");
    assert_eq!(b.left(), (0, 0));
    // Neither the guest's password nor the tickets of its files are in the record, and the ticket is good once.
    let text = b.recorder.text();
    assert!(!text.contains(b.account.password.expose()) && text.contains("<password>(removed)"));
    assert!(
        text.contains("/guestFile") && !text.contains("guestFile?id"),
        "an address without its ticket"
    );
    b.lab.with_world(|w| assert!(w.onprem.transfers.is_empty()));
}

#[tokio::test]
async fn a_linux_guest_is_read_and_put_right() {
    let b = bench().await;
    let own = b
        .lab
        .addresses()
        .guests
        .into_iter()
        .find(|g| g.moref == "vm-24")
        .expect("there");
    let account = GuestAccount {
        user: own.user,
        password: Secret::from(own.password.as_str()),
    };
    b.lab
        .with_world(|w| w.onprem.vm_mut("vm-24").expect("there").guest.ufw = Some(["80/tcp".to_owned()].into()));
    let run = async |text: &str| {
        let run = b
            .vcenter
            .run_in_guest("vm-24", &account, Shell::Sh, text)
            .await
            .expect("it runs");
        assert_eq!(run.exit_code, 0, "{}", run.output);
        run.output
    };
    let check = async || guest::read(&run(&guest::script(System::Linux).text).await).expect("an output");
    let before = check().await;
    assert_eq!(problems(&before), [Item::Ssh, Item::SshFirewall]);
    for item in [Item::Ssh, Item::SshFirewall] {
        run(&guest::fix(item, &before).expect("a script").text).await;
    }
    assert_eq!(problems(&check().await), []);
    for item in [Item::Ssh, Item::SshFirewall] {
        run(&guest::undo(item, &before).expect("a script").text).await;
    }
    assert_eq!(check().await, before);
}

#[tokio::test]
async fn refusals_say_who_can_do_what() {
    let mut b = bench().await;
    let hint = |e: &VsphereError| e.advice().hint;
    let good = b.account.clone();
    b.account.password = "wrong".into();
    let e = b.refused(b.run("'x'").await, "InvalidGuestLogin");
    assert!(
        e.class() == ErrorClass::Auth && hint(&e).contains("not the account of vCenter"),
        "{e:?}"
    );
    assert_eq!(e.advice().title, "The guest refused the user name or the password");
    b.account = good;

    b.lab
        .with_world(|w| w.onprem.vm_mut(WEBVM).expect("there").tools_running = false);
    let e = b.refused(b.run("'x'").await, "GuestOperationsUnavailable");
    assert!(
        e.class() == ErrorClass::Conflict && hint(&e).contains("VMware Tools"),
        "{e:?}"
    );
    b.lab.with_world(|w| w.set_power(WEBVM, Power::Off));
    b.refused(b.run("'x'").await, "InvalidPowerState");
    b.lab.with_world(|w| w.set_power(WEBVM, Power::On));

    // A role without the right to change files in guests.
    b.lab.with_world(|w| w.onprem.permissions[0].role = -2);
    let e = b.refused(b.run("'x'").await, "NoPermission");
    assert!(hint(&e).contains("VirtualMachine.GuestOperations.Query"), "{e:?}");
    b.lab.with_world(|w| w.onprem.permissions[0].role = -1);

    let gone = b.vcenter.run_in_guest("vm-99", &b.account, Shell::PowerShell, "'x'");
    let gone = gone.await.expect_err("gone");
    assert!(gone.is_not_found(), "{gone:?}");
    b.run("'x'").await.expect("signed in");
}

#[tokio::test]
async fn a_script_that_fails_says_what_it_printed_and_leaves_nothing() {
    let b = bench().await;
    let run = b.run("'begun=1'\nFormat-Volume C\n'never'").await.expect("it runs");
    assert_eq!(run.exit_code, 1);
    assert!(
        run.output.starts_with("begun=1\n") && run.output.contains("Format-Volume"),
        "{}",
        run.output
    );
    assert!(!run.output.contains("never"));
    assert_eq!(b.left(), (0, 0));
}

#[tokio::test]
async fn a_guest_that_restarts_while_a_script_runs_has_lost_it() {
    let b = bench().await;
    let script = guest::script(System::Windows).text;
    let restart = async {
        while b.recorder.count("StartProgramInGuest") == 0 {
            tokio::task::yield_now().await;
        }
        b.lab.with_world(|w| {
            w.set_power(WEBVM, Power::Off);
            w.set_power(WEBVM, Power::On);
        });
    };
    let (outcome, ()) = tokio::join!(b.run(&script), restart);
    let e = b.refused(outcome, "GuestProcessNotFound");
    assert!(e.advice().hint.contains("restarted"), "{e:?}");
}

#[tokio::test]
async fn a_lost_session_is_renewed_and_no_script_runs_twice() {
    let b = bench().await;
    b.check().await;
    let clock = b.lab.clock();
    clock.advance_to(clock.now() + SignedDuration::from_hours(30));
    b.check().await;
    assert_eq!(
        (b.recorder.count("Login"), b.recorder.count("StartProgramInGuest")),
        (2, 2)
    );
    let now: Timestamp = clock.now();
    b.lab.with_world(|w| {
        let left = w.onprem.vm(WEBVM).expect("there").guest.processes.len();
        assert!(left <= 2 && now > Timestamp::UNIX_EPOCH);
    });
}

fn account() -> GuestAccount {
    GuestAccount {
        user: "Administrator".into(),
        password: "Gu&st<pw>\"é".into(),
    }
}

#[tokio::test]
async fn the_simulator_of_vmware_takes_files_and_programs() {
    for (flags, moref) in [(&[][..], "DC0_C0_RP0_VM0"), (&["-esx"][..], "ha-host_VM0")] {
        let vcsim = Vcsim::start(flags);
        let (vcenter, recorder) = vcsim.sign_in().await;
        let vm = vcenter.find_vm(moref).await.expect("read").expect("there");
        let run = async |shell, script: &str| vcenter.run_in_guest(&vm.moref, &account(), shell, script).await;
        // The simulator runs a shell's script for real.
        let done = run(Shell::Sh, "echo 'R&D <é>'; echo wrong >&2; exit 3")
            .await
            .expect("it runs");
        assert_eq!((done.exit_code, done.output.as_str()), (3, "R&D <é>\nwrong\n"));
        let read = run(Shell::Sh, &guest::script(System::Linux).text)
            .await
            .expect("it runs");
        let facts = guest::read(&read.output).expect("an output");
        assert_eq!(facts.system, System::Linux);

        let wrong = GuestAccount {
            password: "wrong".into(),
            ..account()
        };
        let e = vcenter
            .run_in_guest(&vm.moref, &wrong, Shell::Sh, "")
            .await
            .expect_err("refused");
        assert_eq!(e.code(), "InvalidGuestLogin", "{e:?}");
        // Nothing but PowerShell is where the path says: this simulator has none.
        let e = run(Shell::PowerShell, "'x'").await.expect_err("refused");
        assert_eq!(e.code(), "FileNotFound", "{e:?}");
        assert_eq!(
            recorder.count("CreateTemporaryDirectoryInGuest"),
            recorder.count("DeleteDirectoryInGuest")
        );
        assert!(!recorder.text().contains("Gu&st<pw>") && !recorder.text().contains("Gu&amp;st"));
    }
}

#[tokio::test]
async fn files_go_to_another_host_only_when_it_is_the_one_that_vcenter_knows() {
    // The simulator hands files out under another name than that of the connection, `localhost` for 127.0.0.1.
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.pem");
    std::fs::write(&other, support::identity("localhost").pem).expect("a file");
    for (host, works) in [("own", true), (other.to_str().expect("a path"), false)] {
        let vcsim = Vcsim::start(&["-guesthost", host]);
        let (vcenter, recorder) = vcsim.sign_in().await;
        let vm = vcenter.find_vm("DC0_C0_RP0_VM0").await.expect("read").expect("there");
        let outcome = vcenter
            .run_in_guest(&vm.moref, &account(), Shell::Sh, "echo here")
            .await;
        match works {
            true => {
                assert_eq!(outcome.expect("it runs").output, "here\n");
                assert!(recorder.text().contains("https://localhost:"));
            }
            false => {
                let e = outcome.expect_err("refused");
                assert_eq!(e.code(), "CertificateChanged", "{e:?}");
                assert!(
                    e.advice().hint.contains("ESXi host") && e.advice().title.contains("file"),
                    "{e:?}"
                );
                let text = recorder.text();
                assert!(text.contains("DeleteDirectoryInGuest"));
            }
        }
    }
}
