use super::*;
use crate::inventory::Vm;
use std::{path::PathBuf, process::Command};

const WEBVM: &str = "\
PS C:\\> .\\readiness.ps1
readiness=1
os=windows
build=10.0.14393.0
admin=1
rdp.deny=1
rdp.policy=
rdp.port=3389
firewall.domain=1,0
firewall.private=1,0
firewall.public=1,0
rule=0,7,Remote Desktop - User Mode (TCP-In)
rule=1,3,Fernwirken 'ä', mit \"Anführung\"; $(Remove-Item C:\\)
san=OfflineShared
updates=2
reboot=servicing,files
bitlocker=C:,0,0
bitlocker.read=1
disk.boot=0
disk.dynamic=
service.Dhcp=2
service.TermService=4
service.Unknown=4
space=C:,30000000000
something.new=yes
end=1
PS C:\\>";

const UBUNTU: &str = "readiness=1\nos=linux\nsystem=ubuntu 22.04\nkernel=5.15.0-91-generic\nadmin=1\nssh.unit=ssh\n\
ssh.running=0\nssh.boot=0\nssh.port=2222\ndriver.hv_vmbus=builtin\ndriver.hv_storvsc=module\ndriver.hv_netvsc=unknown\n\
image.read=1\nfirewall=ufw\nfirewall.ssh=0\nspace=/,1000000000\nend=1\n";

fn facts(output: &str) -> GuestFacts {
    read(output).unwrap()
}

#[test]
fn the_output_of_windows_is_read_and_judged() {
    let f = facts(WEBVM);
    assert_eq!(
        (f.system, f.version.as_str(), f.admin),
        (System::Windows, "10.0.14393.0", Some(true))
    );
    assert_eq!(f.services.len(), 2, "unknown services are kept out");
    let problems: Vec<_> = System::Windows.items().iter().map(|i| i.problem(&f)).collect();
    let want = [
        Some("It is switched off"),
        Some("It is kept out for: public"),
        Some("The policy for new disks is OfflineShared"),
        Some("2 are pending"),
        Some("Pending because of Windows components, files to be replaced"),
        None,
        None,
        Some("TermService starts never, not on demand"),
        None,
    ];
    assert_eq!(problems.iter().map(Option::as_deref).collect::<Vec<_>>(), want);
    for item in System::Windows.items() {
        assert!(item.found(&f).is_some(), "{item:?} was read");
    }
}

#[test]
fn the_output_of_linux_is_read_and_judged() {
    let f = facts(UBUNTU);
    let problems: Vec<_> = System::Linux.items().iter().map(|i| i.problem(&f)).collect();
    let want = [
        Some("It does not run"),
        Some("ufw keeps it out"),
        Some("hv_storvsc is not in the boot image"),
        Some("/ has 953 MiB free; it needs 2048 MiB"),
    ];
    assert_eq!(problems.iter().map(Option::as_deref).collect::<Vec<_>>(), want);
}

#[test]
fn what_a_script_cannot_tell_is_not_a_finding() {
    let f = facts("readiness=1\nos=windows\nrdp.deny=\nsan=\nupdates=unknown\nspace=C:,\nend=1");
    for item in System::Windows.items() {
        assert_eq!((item.found(&f), item.problem(&f)), (None, None), "{item:?}");
    }
    assert!(System::Windows.items().iter().all(|i| fix(*i, &f).is_none()));
}

#[test]
fn hostile_and_broken_outputs_are_refused() {
    let with = |line: &str| format!("readiness=1\nos=windows\n{line}\nend=1\n");
    for line in [
        "rdp.deny=2",
        "rdp.port=70000",
        "san=Whatever",
        "updates=-1",
        "reboot=because",
        "firewall.domain=1",
        "rule=1,8,x",
        "rule=1,7,",
        "rule=1",
        "bitlocker=C:,1,101",
        "disk.dynamic=a",
        "service.Dhcp=9",
        "space=C:,much",
        "ssh.unit=ssh; reboot",
        "driver.hv_vmbus=no",
        "os=solaris",
        "build=<script>",
        &format!("kernel={}", "a".repeat(301)),
        &"rule=1,7,x\n".repeat(65),
    ] {
        match read(&with(line)) {
            Err(ReadError::Value { line: 3.., key, .. }) => assert!(line.starts_with(&key), "{line}: {key}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!(read(""), Err(ReadError::NotOutput));
    assert_eq!(read("Access is denied"), Err(ReadError::NotOutput));
    assert_eq!(read("readiness=1\nos=windows\nrdp.deny=1"), Err(ReadError::CutOff));
    assert_eq!(read("readiness=2\nend=1"), Err(ReadError::Version("2".into())));
    assert_eq!(read("readiness=1\nend=1"), Err(ReadError::Missing("os")));
    assert_eq!(read(&"x".repeat(output::MAX_OUTPUT + 1)), Err(ReadError::TooLong));
}

#[test]
fn of_two_outputs_the_last_counts_and_a_mark_before_it_is_no_harm() {
    let f = facts(&format!(
        "{WEBVM}\r\n\u{feff}readiness=1\r\nos=windows\r\nrdp.deny=0\r\nend=1\r\n"
    ));
    assert_eq!(f.rdp.map(|r| r.denied), Some(false));
    assert_eq!(f.updates, None);
}

#[test]
fn fixes_change_what_is_wrong_and_their_way_back_leads_to_what_was_read() {
    let f = facts(WEBVM);
    let text = |script: Option<Script>| script.unwrap().text;
    let key =
        r"Set-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server' -Name 'fDenyTSConnections' -Value";
    assert!(text(fix(Item::Rdp, &f)).contains(&format!("{key} 0 ")));
    assert!(text(undo(Item::Rdp, &f)).contains(&format!("{key} 1 ")));
    let (fixed, back) = (text(fix(Item::Firewall, &f)), text(undo(Item::Firewall, &f)));
    assert!(fixed.contains("$_.Name -eq 'Remote Desktop - User Mode (TCP-In)' } | ForEach-Object { $_.Profiles = 2147483647; $_.Enabled = $true }"), "{fixed}");
    assert!(back.contains("$_.Name -eq 'Remote Desktop - User Mode (TCP-In)' } | ForEach-Object { $_.Profiles = 2147483647; $_.Enabled = $false }"), "{back}");
    assert!(back.contains("$_.Profiles = 3; $_.Enabled = $true"), "{back}");
    // What came out of the guest stays a text, whatever is in it.
    for script in [&fixed, &back] {
        assert!(
            script.contains("-eq 'Fernwirken ''ä'', mit \"Anführung\"; $(Remove-Item C:\\)' }"),
            "{script}"
        );
    }
    assert!(text(undo(Item::San, &f)).contains("-NewDiskPolicy OfflineShared"));
    assert!(text(fix(Item::Services, &f)).contains("Set-Service -Name 'TermService' -StartupType Manual"));
    assert!(text(undo(Item::Services, &f)).contains("Set-Service -Name 'TermService' -StartupType Disabled"));

    let mut policy = f.clone();
    policy.rdp = Some(Rdp {
        denied: true,
        policy: Some(true),
        port: 3390,
    });
    let all = changes(Item::Rdp, &policy);
    assert_eq!(all.len(), 3, "{all:?}");
    let back = text(undo(Item::Rdp, &policy));
    assert!(
        back.find("PortNumber").unwrap() < back.find("fDenyTSConnections").unwrap(),
        "{back}"
    );
    assert!(back.contains("-Value 3390 "), "{back}");
    let person = by_person(Item::Rdp, &policy).unwrap();
    assert!(
        person.steps[0].contains("policy") && person.steps[1].contains("restart"),
        "{person:?}"
    );

    let f = facts(UBUNTU);
    let ssh = text(fix(Item::Ssh, &f));
    assert!(
        ssh.contains("systemctl enable ssh.service\nsystemctl start ssh.service\n"),
        "{ssh}"
    );
    let back = text(undo(Item::Ssh, &f));
    assert!(
        back.contains("systemctl stop ssh.service\nsystemctl disable ssh.service\n"),
        "{back}"
    );
    assert!(text(fix(Item::SshFirewall, &f)).contains("ufw allow 2222/tcp\n"));
}

#[test]
fn what_no_script_does_says_who_does_it() {
    let mut f = facts(WEBVM);
    f.bitlocker = Some(vec![EncryptedVolume {
        drive: "D:".into(),
        state: 1,
        percent: 100,
    }]);
    f.dynamic_disks = Some(vec![0]);
    f.space = Some(Space {
        path: "C:".into(),
        free_bytes: 0,
    });
    for item in [
        Item::Updates,
        Item::Reboot,
        Item::Bitlocker,
        Item::DynamicDisk,
        Item::Space,
    ] {
        assert_eq!((fix(item, &f), undo(item, &f)), (None, None), "{item:?}");
        let person = by_person(item, &f).unwrap();
        assert!(person.who == "Windows administrator" && !person.steps.is_empty());
    }
    assert!(by_person(Item::Bitlocker, &f).unwrap().steps[0].contains("manage-bde -off D:"));
    let clean = facts("readiness=1\nos=windows\nupdates=0\nend=1");
    assert_eq!(by_person(Item::Updates, &clean), None);
}

#[test]
fn every_problem_has_a_script_or_a_person() {
    let (windows, linux) = (facts(WEBVM), facts(UBUNTU));
    for f in [&windows, &linux] {
        for item in f.system.items().iter().filter(|i| i.problem(f).is_some()) {
            assert!(fix(*item, f).is_some() || by_person(*item, f).is_some(), "{item:?}");
            assert_eq!(fix(*item, f).is_some(), undo(*item, f).is_some(), "{item:?}");
        }
    }
}

#[test]
fn the_record_of_changes_is_a_stack_for_each_item() {
    let change = |item, version: &str| GuestChange {
        item,
        at: Timestamp::UNIX_EPOCH,
        before: GuestFacts {
            version: version.into(),
            ..GuestFacts::default()
        },
    };
    let mut state = GuestState {
        changes: vec![change(Item::Rdp, "1"), change(Item::San, "2"), change(Item::Rdp, "3")],
        ..GuestState::default()
    };
    let last = |s: &GuestState| s.last(Item::Rdp).map(|c| c.before.version.clone());
    assert_eq!(last(&state).as_deref(), Some("3"));
    state.forget(Item::Rdp);
    assert_eq!(last(&state).as_deref(), Some("1"));
    state.forget(Item::Rdp);
    assert_eq!((last(&state), state.changes.len()), (None, 1));
}

#[test]
fn the_system_is_that_of_the_machine() {
    let of = |id: &str| {
        System::of(&Vm {
            guest_id: Some(id.into()),
            ..Vm::default()
        })
    };
    assert_eq!(of("windows9Server64Guest"), Some(System::Windows));
    assert_eq!(of("ubuntu64Guest"), Some(System::Linux));
    assert_eq!(of("freebsd12_64Guest"), None);
}

/// Runs a script with `/bin/sh`, with these programs before all others.
fn sh(text: &str, programs: &[(&str, &str)]) -> (bool, String) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script: PathBuf = folder.path().join("script");
    std::fs::write(&script, text).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let done = Command::new("/bin/sh").arg(&script).env("PATH", path).output().unwrap();
    let out = String::from_utf8(done.stdout).unwrap() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), out)
}

#[cfg(unix)]
#[test]
fn the_script_for_linux_runs_here() {
    let (ended, output) = sh(&script(System::Linux).text, &[]);
    assert!(ended, "{output}");
    let f = facts(&output);
    assert_eq!(f.system, System::Linux);
    assert_eq!(
        f.kernel,
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim()
    );
    assert!(
        f.space.as_ref().is_some_and(|s| s.path == "/" && s.free_bytes > 0),
        "{f:?}"
    );
    assert!(f.ssh.is_some() && f.admin.is_some());
}

#[cfg(unix)]
#[test]
fn the_script_for_linux_sees_daemon_firewall_and_boot_image() {
    let programs = [
        (
            "systemctl",
            "case \"$1 $2\" in\n'cat ssh.service' | 'is-active ssh.service' | 'list-unit-files ') exit 0;;\nesac\nexit 1",
        ),
        (
            "ufw",
            "printf 'Status: active\\n\\nTo    Action  From\\n80/tcp  ALLOW  Anywhere\\n'",
        ),
        ("sshd", "echo 'port 2222'"),
    ];
    let (ended, output) = sh(&script(System::Linux).text, &programs);
    assert!(ended, "{output}");
    let f = facts(&output);
    let ssh = f.ssh.clone().unwrap();
    assert_eq!(
        (ssh.unit.as_deref(), ssh.running, ssh.at_boot, ssh.port),
        (Some("ssh"), true, Some(false), 2222)
    );
    assert_eq!(
        f.ssh_firewall,
        Some(SshFirewall {
            kind: "ufw".into(),
            open: false
        })
    );
    // What the fixes say is what is done, in their order.
    let log = tempfile::NamedTempFile::new().unwrap();
    let note = format!("echo \"$(basename \"$0\") $*\" >> '{}'", log.path().display());
    let programs = [("id", "echo 0"), ("systemctl", note.as_str()), ("ufw", note.as_str())];
    for item in [Item::Ssh, Item::SshFirewall] {
        for script in [fix(item, &f), undo(item, &f)] {
            let (ended, output) = sh(&script.unwrap().text, &programs);
            assert!(ended && output.ends_with("done=1\n"), "{output}");
        }
    }
    assert_eq!(
        std::fs::read_to_string(log.path()).unwrap(),
        "systemctl enable ssh.service\nsystemctl disable ssh.service\nufw allow 2222/tcp\nufw delete allow 2222/tcp\n"
    );
    let (ended, output) = sh(&fix(Item::Ssh, &f).unwrap().text, &[("id", "echo 1000")]);
    assert!(!ended && output.contains("as root"), "{output}");
}

/// The grammar of an independent parser.
fn parses(text: &str) -> bool {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
    !parser.parse(text, None).unwrap().root_node().has_error()
}

#[test]
fn the_scripts_for_windows_are_powershell() {
    assert!(!parses("if ($a { 'b' }"), "the grammar finds errors");
    assert!(parses(&script(System::Windows).text));
    let f = facts(WEBVM);
    for item in [Item::Rdp, Item::Firewall, Item::San, Item::Services] {
        for script in [fix(item, &f), undo(item, &f)] {
            let text = script.unwrap().text;
            assert!(parses(&text), "{text}");
        }
    }
    assert!(parses(&crate::scripts::readiness()));
    assert!(parses(&crate::scripts::config()));
    assert!(parses(&crate::scripts::probe()));
    let path = r"C:\it's here\web.config";
    let by_hand = crate::scripts::switch_by_hand(path, "Main", &["SQLVM".into(), "10.0.0.4".into()], &["A'b]", "C"]);
    assert!(parses(&by_hand), "{by_hand}");
    for part in [
        r"$path = 'C:\it''s here\web.config'",
        "$databases['A''b]'] = @'\n${secret:connection/0}\n'@",
        "$databases['C'] = @'\n${secret:connection/1}\n'@",
        "$sources = @('SQLVM', '10.0.0.4')",
    ] {
        assert!(by_hand.contains(part), "{part} is missing in {by_hand}");
    }
    assert!(parses(&crate::scripts::probe_by_hand(path, "Main", "it's up")));
}

#[test]
fn the_script_for_windows_uses_nothing_that_is_new_or_translated() {
    let text = script(System::Windows).text;
    for new in [
        "ConvertTo-Json",
        "Get-CimInstance",
        "[ordered]",
        "-in ",
        "Get-NetFirewall",
        "DisplayGroup",
        ".ForEach(",
        "$using:",
    ] {
        assert!(!text.contains(new), "PowerShell 2.0 or another language lacks {new}");
    }
    assert!(text.is_ascii());
}
