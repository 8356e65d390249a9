//! Step 4: accounts, roles and readiness on-premises.

use super::builder::*;

/// A role for the appliance's account, and where it is granted.
pub(super) struct Grant {
    pub(super) role: String,
    privileges: Vec<String>,
    /// None: the vCenter itself.
    pub(super) datacenter: Option<String>,
}

impl Grant {
    pub(super) fn place(&self) -> &str {
        self.datacenter.as_deref().unwrap_or("vCenter")
    }
}

impl Builder<'_> {
    pub(super) fn step4(&self) -> Step {
        let d = self.d;
        let vm_node = format!("vm/{}", d.web_vm);
        let mobility = match d.replication {
            ReplicationMethod::InMageRcm => self.mobility_account(),
            ReplicationMethod::VMwareCbt => not_needed(
                4,
                "mobility-account",
                "none",
                "Account for the Mobility service",
                "Azure Migrate replicates through VMware's snapshots; no agent is installed in the VM.",
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
        let grants = self.grants();
        let mut tasks = vec![
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
                        PASSWORD_RULE.into(),
                        "Make sure that the domain is an identity source of vCenter (Administration, Single Sign On, Configuration).".into(),
                        "Rehost sees the account by itself within a minute.".into(),
                    ],
                    None,
                )
                .nodes(&["vcenter/vcenter".into(), "dc/contosodc1".into()]),
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
            ];
        // Where a reader looks for them: the roles before the account, the permissions after it.
        tasks.splice(2..2, grants.iter().map(|g| self.role_task(g)));
        tasks.splice(
            3 + grants.len()..3 + grants.len(),
            grants.iter().map(|g| self.permission_task(g)),
        );
        step(4, "Prepare VMware and WEBVM", tasks)
    }

    /// What the appliance's account gets: the role on the datacenter, and what must be held on the vCenter itself.
    pub(super) fn grants(&self) -> Vec<Grant> {
        let d = self.d;
        let needed = Privileges::of(d.replication);
        let mut all = vec![Grant {
            role: d.vcenter_role.clone(),
            privileges: needed.ids(),
            datacenter: Some(d.datacenter.clone()),
        }];
        if !needed.root.is_empty() {
            all.push(Grant {
                role: format!("{}_vCenter", d.vcenter_role),
                privileges: needed.root.iter().map(|id| (*id).to_owned()).collect(),
                datacenter: None,
            });
        }
        all
    }

    fn role_task(&self, g: &Grant) -> T {
        let needed = Privileges::of(self.d.replication);
        task(
            4,
            "role",
            &g.role,
            &format!("vCenter role {}", g.role),
            &format!(
                "Creates the role with the privileges for {}, or adds what is missing. Source: {}.",
                needed.name, needed.source
            ),
            Action::EnsureRole {
                role: g.role.clone(),
                privileges: g.privileges.clone(),
            },
        )
        .after(&["4/check-vcenter/vcenter", "1/check-rights/vcenter"])
        .why("Discovery and failover need these rights, and no others.")
        .secs(2, 10, "one request")
        .back("Remove the role (step 8 does).")
        .nodes(&["vcenter/vcenter".into()])
    }

    fn permission_task(&self, g: &Grant) -> T {
        let d = self.d;
        let what = match &g.datacenter {
            Some(_) => format!(
                "Gives {} the role {}.",
                d.vcenter_principal,
                Privileges::of(d.replication).place
            ),
            None => format!(
                "Gives {} the role on the vCenter's root folder alone, without anything below it.",
                d.vcenter_principal
            ),
        };
        task(
            4,
            "permission",
            g.place(),
            &format!("Grant {} on {}", g.role, g.place()),
            &what,
            Action::GrantRole {
                role: g.role.clone(),
                principal: d.vcenter_principal.clone(),
                datacenter: g.datacenter.clone(),
            },
        )
        .after(&[&format!("4/role/{}", g.role), "4/person/discovery-account"])
        .why("A role without a permission gives no rights.")
        .secs(2, 10, "one request")
        .back("Remove the permission (step 8 does).")
        .nodes(&["vcenter/vcenter".into()])
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
