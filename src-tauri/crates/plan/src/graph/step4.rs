//! Step 4: accounts, roles and readiness on-premises.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step4(&self) -> Step {
        let d = self.d;
        let vm_node = format!("vm/{}", d.web_vm);
        let (privileges, mobility) = match d.replication {
            ReplicationMethod::InMageRcm => (scripts::SITE_RECOVERY_PRIVILEGES, self.mobility_account()),
            ReplicationMethod::VMwareCbt => (
                scripts::AGENTLESS_PRIVILEGES,
                not_needed(
                    4,
                    "mobility-account",
                    "none",
                    "Account for the Mobility service",
                    "Azure Migrate replicates through VMware's snapshots; no agent is installed in the VM.",
                ),
            ),
        };
        let readiness = |key: &str, value: &str, title: &str, what: &str, why: &str| {
            task(
                4,
                "readiness",
                key,
                title,
                what,
                Action::CheckReadiness {
                    vm: d.web_vm.clone(),
                    key: key.into(),
                    value: value.into(),
                },
            )
            .after(&["4/person/readiness"])
            .why(why)
            .nodes(std::slice::from_ref(&vm_node))
        };
        step(
            4,
            "Prepare VMware and WEBVM",
            vec![
                task(
                    4,
                    "check-vcenter",
                    "vcenter",
                    "vCenter is supported",
                    &format!("Signs in and checks that the version is {} or later.", self.pack.vcenter),
                    Action::CheckVCenter { min_version: self.pack.vcenter.into() },
                )
                .why("Replication is supported only with these versions.")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "check-vm",
                    &d.web_vm,
                    &format!("{} can be replicated", d.web_vm),
                    "Judges operating system, firmware, disks, name and VMware Tools by the rule pack.",
                    Action::CheckVm { vm: d.web_vm.clone(), method: d.replication, size: d.web_vm_size.clone() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("What is not supported would fail hours later, after the initial replication.")
                .nodes(std::slice::from_ref(&vm_node)),
                task(
                    4,
                    "role",
                    &d.vcenter_role,
                    &format!("vCenter role {}", d.vcenter_role),
                    "Creates the role with the privileges that the appliance needs, or adds what is missing.",
                    Action::EnsureRole {
                        role: d.vcenter_role.clone(),
                        privileges: privileges.iter().map(|p| (*p).to_owned()).collect(),
                    },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("Discovery and failover need these rights, and no others.")
                .secs(2, 10, "one request")
                .back("Remove the role (step 8 does).")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "person",
                    "discovery-account",
                    &format!("Account {} exists", d.vcenter_principal),
                    "Waits until vCenter's directory knows the account for discovery.",
                    Action::CheckPrincipal { principal: d.vcenter_principal.clone() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("The appliance signs in to vCenter with it. Only a directory administrator can create it.")
                .secs(360, 86_400, "a person's time")
                .back("Disable the account after the migration.")
                .person(
                    "directory administrator",
                    &[
                        format!("Create the account {} in Active Directory, with a password that never expires during the migration.", d.vcenter_principal),
                        "Avoid these characters in its password: & ; \" ' ^ \\ % < > # £ and anything outside ASCII.".into(),
                        "Make sure that the domain is an identity source of vCenter (Administration, Single Sign On, Configuration).".into(),
                        "Rehost sees the account by itself within a minute.".into(),
                    ],
                    None,
                )
                .nodes(&["vcenter/vcenter".into(), "dc/contosodc1".into()]),
                task(
                    4,
                    "permission",
                    &d.datacenter,
                    &format!("Grant the role on {}", d.datacenter),
                    &format!("Gives {} the role on the datacenter, propagated to everything in it.", d.vcenter_principal),
                    Action::GrantRole {
                        role: d.vcenter_role.clone(),
                        principal: d.vcenter_principal.clone(),
                        datacenter: d.datacenter.clone(),
                    },
                )
                .after(&[&format!("4/role/{}", d.vcenter_role), "4/person/discovery-account"])
                .why("A role without a permission gives no rights.")
                .secs(2, 10, "one request")
                .back("Remove the permission (step 8 does).")
                .nodes(&["vcenter/vcenter".into()]),
                task(
                    4,
                    "person",
                    "readiness",
                    &format!("Prepare {} for Azure", d.web_vm),
                    "Waits until the readiness script has run in the VM and published its result through VMware Tools.",
                    Action::CheckReadiness { vm: d.web_vm.clone(), key: "script".into(), value: "1".into() },
                )
                .after(&["4/check-vcenter/vcenter"])
                .why("After failover only Remote Desktop leads into the VM; it must be open before.")
                .secs(600, 86_400, "a person's time")
                .back("The script prints what it changed; its way back is printed beside each line.")
                .person(
                    "administrator of WEBVM",
                    &[
                        format!("Sign in to {} as a local administrator.", d.web_vm),
                        "Open PowerShell as administrator, paste the script and run it.".into(),
                        "Read what it prints: each line says what it found and what it changed.".into(),
                        "Rehost reads the result through VMware Tools within a minute.".into(),
                    ],
                    Some(Script { language: "powershell".into(), run_on: d.web_vm.clone(), text: scripts::readiness() }),
                )
                .nodes(std::slice::from_ref(&vm_node)),
                readiness("rdp", "1", "Remote Desktop is enabled", "Reads what the readiness script found.", "Without it nobody gets into the VM after failover."),
                readiness(
                    "firewall",
                    "domain,private,public",
                    "The firewall lets Remote Desktop in",
                    "Reads for which profiles the rule is enabled.",
                    "In Azure the network may be detected as public; over the VPN it is domain or private.",
                ),
                readiness("san", "OnlineAll", "SAN policy is OnlineAll", "Reads the policy for new disks.", "Otherwise data disks stay offline in Azure."),
                readiness("updates", "0", "No Windows update is pending", "Reads the number of pending updates.", "With pending updates nobody can sign in until they finish."),
                readiness("reboot", "0", "No restart is pending", "Reads whether Windows waits for a restart.", "A pending restart would run during the failover."),
                mobility,
            ],
        )
    }

    fn mobility_account(&self) -> T {
        let d = self.d;
        task(
                    4,
                    "person",
                    "mobility-account",
                    "Account for the Mobility service",
                    "Waits until the readiness script has proved that the account is a local administrator of the VM.",
                    Action::CheckReadiness { vm: d.web_vm.clone(), key: "mobility".into(), value: d.mobility_account.clone() },
                )
                .after(&["4/person/readiness"])
                .why("Site Recovery installs the Mobility service with it.")
                .secs(60, 86_400, "a person's time")
                .back("Remove the account from the administrators (step 8 reminds).")
                .person(
                    "administrator of WEBVM",
                    &[
                        format!("Create the local account {} on {} and make it a member of Administrators.", d.mobility_account, d.web_vm),
                        "Run the readiness script again: it tells vCenter that the account is there, and sets LocalAccountTokenFilterPolicy.".into(),
                        "Keep the password ready: the appliance asks for it in step 5.".into(),
                    ],
                    Some(Script { language: "powershell".into(), run_on: d.web_vm.clone(), text: scripts::mobility_account(&d.mobility_account) }),
                )
                .nodes(&[format!("vm/{}", d.web_vm)])
    }
}
