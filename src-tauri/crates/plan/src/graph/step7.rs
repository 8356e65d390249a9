//! Step 7: test, failover, connection string, commit; with Azure Migrate test migration, migration, completion.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step7(&self) -> Step {
        let d = self.d;
        let Moves {
            test,
            cleanup,
            recovery_plan,
            cutover,
            end,
        } = match d.replication {
            ReplicationMethod::InMageRcm => self.moves_by_site_recovery(),
            ReplicationMethod::VMwareCbt => self.moves_by_migrate(),
        };
        let tested = test.0.address.clone();
        let test_vm = d.test_vm();
        let azure_node = format!("azvm/{}", d.web_vm);
        let test_node = format!("azvm/{test_vm}");
        let runs = |name: &str, otherwise: &str| {
            let id = self.azure_vm(name);
            Action::Check {
                id: ResourceId::new(format!("{id}?$expand=instanceView")),
                condition: vec![
                    Expect::equal("/properties/provisioningState", "Succeeded"),
                    Expect::equal("/properties/instanceView/statuses/*/code", "PowerState/running"),
                    Expect::equal("/properties/hardwareProfile/vmSize", d.web_vm_size.as_str()),
                    Expect::equal("/properties/instanceView/vmAgent/statuses/*/displayStatus", "Ready"),
                    // Comes minutes after the start, and run commands are refused before.
                    Expect::equal(
                        "/properties/instanceView/vmAgent/statuses/*/code",
                        "ProvisioningState/succeeded",
                    ),
                ],
                absent: false,
                wait: true,
                facts: vec![fact(
                    &format!("nic.{name}"),
                    "/properties/networkProfile/networkInterfaces/0/id",
                )],
                follow: Follow::Operation,
                otherwise: otherwise.into(),
            }
        };
        let nic = |name: &str, network: &str, subnet: &str| {
            exists(
                ResourceId::new(format!("${{nic.{name}}}")),
                vec![Expect {
                    at: "/properties/ipConfigurations/*/properties/subnet/id".into(),
                    is: Is::Equal(json!(self.vnet(network).child("subnets", subnet))),
                }],
                "The VM is connected to another subnet. Correct the target network of the replicated item and fail over again.",
            )
        };
        let command =
            |name: &str, title: &str, what: &str, script: String, parameters: Vec<Parameter>, expect: &[&str]| {
                task(
                    7,
                    "run-command",
                    name,
                    title,
                    what,
                    Action::RunCommand {
                        vm: self.azure_vm(&d.web_vm),
                        name: format!("rehost-{name}-{}", d.application.to_ascii_lowercase()),
                        location: d.location.clone(),
                        script,
                        parameters,
                        expect: expect.iter().map(|e| (*e).to_owned()).collect(),
                    },
                )
                .secs(30, 300, "learn.microsoft.com: at least 20 seconds")
                .nodes(std::slice::from_ref(&azure_node))
            };
        let plain = |name: &str, value: &str| Parameter {
            name: name.into(),
            value: value.into(),
            protected: false,
        };
        let config = |name: &str, write: bool| {
            let (title, what) = match write {
                false => (
                    "Show how the connection strings are to be changed",
                    "Reads web.config and the files that hold sections of it, encrypted on its way, and shows each change with passwords hidden.",
                ),
                true => (
                    "Switch the connection strings",
                    "Backs up each file beside it and points exactly what was shown at the managed instance; comments, formatting and encryption stay.",
                ),
            };
            task(
                7,
                "run-command",
                name,
                title,
                what,
                Action::SwitchConfig {
                    vm: self.azure_vm(&d.web_vm),
                    location: d.location.clone(),
                    script: scripts::config(),
                    suffix: d.application.to_ascii_lowercase(),
                    path: d.web_config.clone(),
                    connection: d.connection_string_name.clone(),
                    sources: self.source_names(),
                    databases: d.databases().map(str::to_owned).collect(),
                    write,
                },
            )
            .secs(90, 600, "learn.microsoft.com: at least 20 seconds for each command")
            .nodes(std::slice::from_ref(&azure_node))
        };
        let probe = format!(
            "From inside the VM: port 1433 of the managed instance, a query with the application's own connection string, and the site, which must answer 200{}.",
            if d.site_text.is_empty() {
                String::new()
            } else {
                format!(" with the text {}", d.site_text)
            }
        );
        let mut tasks = vec![
                test,
                task(7, "check-vm", &test_vm, "The test VM runs", "Reads size, state and agent of the test VM.", runs(&test_vm, "The test VM is not running yet."))
                    .after_task(tested)
                    .why("The scenario checks that the VM has the right size and runs.")
                    .secs(150, 600, NOT_PUBLISHED)
                    .nodes(std::slice::from_ref(&test_node)),
                task(7, "check-nic", &test_vm, "The test VM is in the test network", "Reads the VM's network interface.", nic(&test_vm, &d.test_network, &d.test_subnet))
                    .after(&[&format!("7/check-vm/{test_vm}")])
                    .why("In any other network the copy could answer for the real WEBVM.")
                    .nodes(std::slice::from_ref(&test_node)),
                task(7, "check-boot", &test_vm, "Azure has a screenshot of the test VM", "Reads the boot diagnostics: screenshot and serial log. Whether it is the sign-in screen, a person sees.", Action::CheckBoot { vm: self.azure_vm(&test_vm) })
                    .after(&[&format!("7/check-vm/{test_vm}")])
                    .why("The screenshot shows whether Windows came up.")
                    .nodes(std::slice::from_ref(&test_node)),
                task(
                    7,
                    "gate",
                    "test",
                    &format!("Is the test failover of {} good?", d.web_vm),
                    "A person looks at the test VM and decides.",
                    gate(
                        &format!("Is the test failover of {} good?", d.web_vm),
                        "The test VM is deleted, and the cutover may be started.",
                        "The run stops before the cutover; the test VM stays for a look.",
                        "The test VM runs in an isolated network. Nothing on-premises has changed.",
                    ),
                )
                .after(&[&format!("7/check-nic/{test_vm}"), &format!("7/check-boot/{test_vm}")])
                .why("Only a person can say that the application behaves.")
                .secs(600, 86_400, "a person's time")
                .nodes(std::slice::from_ref(&test_node)),
                cleanup,
                recovery_plan,
                task(
                    7,
                    "check-replication",
                    &d.web_vm,
                    &format!("Site Recovery reports nothing against moving {}", d.web_vm),
                    "Reads the health of the replicated machine, its errors, the newest events and failed jobs, and keeps them as evidence.",
                    Action::CheckReplication { item: self.item(), vault: self.vault() },
                )
                .after(&[&format!("7/test-cleanup/{}", d.web_vm)])
                .why("What the service knows should be known before the change window, not in it.")
                .nodes(&[format!("vm/{}", d.web_vm), format!("vault/{}", d.replication_home())]),
                task(
                    7,
                    "gate",
                    "cutover",
                    "Cut over now?",
                    "A person starts the change window.",
                    gate(
                        "Cut over now?",
                        "WEBVM is shut down on-premises and started in Azure.",
                        "Nothing changes, replication goes on; choose Retry when the window opens.",
                        "Replication and database are up to date. From here the application is down until the site answers from Azure.",
                    ),
                )
                .after(&[
                    &format!("7/check-replication/{}", d.web_vm),
                    &format!("7/recovery-plan/{}", d.recovery_plan),
                    &format!("1/check-peering/{}", d.mi.network),
                    "4/readiness/rdp",
                    "4/readiness/firewall",
                    "4/readiness/updates",
                    "4/readiness/reboot",
                ])
                .after(&self.databases_ready().iter().map(String::as_str).collect::<Vec<_>>())
                .why("The application stops; that moment belongs to a person.")
                .secs(600, 604_800, "a person's time")
                .nodes(&[format!("vm/{}", d.web_vm), azure_node.clone()]),
                cutover,
                task(7, "check-vm", &d.web_vm, &format!("{} runs in Azure", d.web_vm), "Reads size, state and agent of the Azure VM.", runs(&d.web_vm, "The VM is not running yet."))
                    .after(&[&self.moved()])
                    .why("The scenario checks that the VM appears as expected.")
                    .secs(150, 600, NOT_PUBLISHED)
                    .nodes(std::slice::from_ref(&azure_node)),
                task(7, "check-nic", &d.web_vm, &format!("{} is in {}", d.web_vm, d.prod_frontend_subnet), "Reads the VM's network interface.", nic(&d.web_vm, &d.prod_network, &d.prod_frontend_subnet))
                    .after(&[&format!("7/check-vm/{}", d.web_vm)])
                    .why("Only there it reaches the database and is reached by its users.")
                    .nodes(&[azure_node.clone(), format!("subnet/{}", d.prod_frontend_subnet)]),
                task(7, "check-boot", &d.web_vm, &format!("Azure has a screenshot of {}", d.web_vm), "Reads the boot diagnostics: screenshot and serial log. Whether it is the sign-in screen, a person sees.", Action::CheckBoot { vm: self.azure_vm(&d.web_vm) })
                    .after(&[&format!("7/check-vm/{}", d.web_vm)])
                    .why("The screenshot shows whether Windows came up.")
                    .nodes(std::slice::from_ref(&azure_node)),
            ];
        if d.switched_by_person {
            tasks.extend(self.switched_by_person());
        } else {
            tasks.extend([
                config("read-config", false)
                    .after(&[&format!("7/check-nic/{}", d.web_vm)])
                    .after(&self.all_online().iter().map(String::as_str).collect::<Vec<_>>())
                    .why("What will be changed is seen before it is changed, and what is doubtful stops here.")
                    .back("Nothing to take back: it only reads, and deletes its run commands."),
                config("switch-connection", true)
                    .after(&["7/run-command/read-config"])
                    .why("The application must use the migrated database.")
                    .back("Rehost puts the backup beside each file back, byte for byte, when nobody has changed it since, and runs IISRESET /RESTART."),
                command("iisreset", "IISRESET /RESTART", "Restarts IIS in the VM.", scripts::iisreset(), vec![], &["iisreset=ok"])
                    .after(&["7/run-command/switch-connection"])
                    .why("IIS reads the new connection string when it restarts.")
                    .back("Nothing to take back."),
                command("probe", "The site answers from Azure", &probe, scripts::probe(), vec![
                    plain("Path", &d.web_config),
                    plain("Name", &d.connection_string_name),
                    plain("Server", "${mi.fqdn}"),
                    plain("Text", &d.site_text),
                ], &["tcp=ok", "sql=ok", "http=200", "text=ok"])
                    .after(&["7/run-command/iisreset", &format!("7/check-boot/{}", d.web_vm)])
                    .why("It proves VM, network, IIS and database together."),
            ]);
        }
        if d.replication == ReplicationMethod::VMwareCbt {
            self.turn_boot_diagnostics_on(&mut tasks);
        }
        tasks.extend(end);
        tasks.extend([
            task(
                7,
                "shutdown",
                &d.sql_vm,
                &format!("Shut down {}", d.sql_vm),
                "Shuts the guest down through VMware Tools.",
                Action::ShutDownVm {
                    vm: d.sql_vm.clone(),
                    made_for: None,
                },
            )
            .after(&[&self.completed()])
            .why("The application uses the managed instance; the old server must not be used by mistake.")
            .secs(90, 300, NOT_PUBLISHED)
            .back("Power it on again in vCenter.")
            .nodes(&[format!("vm/{}", d.sql_vm)]),
            task(
                7,
                "check-power",
                &d.web_vm,
                &format!("{} on-premises is off", d.web_vm),
                "Reads the power state in vCenter.",
                Action::CheckPower {
                    vm: d.web_vm.clone(),
                    state: "poweredOff".into(),
                },
            )
            .after(&[&self.completed()])
            .why("Two machines with one name must never run at the same time.")
            .nodes(&[format!("vm/{}", d.web_vm)]),
        ]);
        step(7, "Migrate the VM", tasks)
    }

    /// A person switches the application in the machine, and sees it answer; Rehost has no way in then, and believes it.
    fn switched_by_person(&self) -> [T; 2] {
        let d = self.d;
        let node = format!("azvm/{}", d.web_vm);
        let databases: Vec<&str> = d.databases().collect();
        let by_person =
            |name: &str, question: &str, [accept, reject, safe]: [&str; 3], instructions: &[String], text: String| {
                let script = Script {
                    language: "powershell".into(),
                    run_on: d.web_vm.clone(),
                    text,
                };
                task(
                    7,
                    "gate",
                    name,
                    question,
                    "A person does it in the machine, and says when it is done.",
                    gate(question, accept, reject, safe),
                )
                .person("administrator of the web server", instructions, Some(script))
                .secs(600, 3600, "a person's time")
                .nodes(std::slice::from_ref(&node))
            };
        let sign_in = format!(
            "Sign in to {} in Azure as an administrator, and open Windows PowerShell as administrator.",
            d.web_vm
        );
        [
            by_person(
                "switch-connection",
                "Does the application use the managed instance?",
                [
                    "The connection strings lead to the managed instance, and IIS was restarted.",
                    "Nothing goes on, and the application stays down; choose Retry when it is done.",
                    "Each file has a backup beside it; the databases on the managed instance wait.",
                ],
                &[
                    sign_in.clone(),
                    "Copy the script and run it: it holds the new connection strings with the password, handle it as one.".into(),
                    "Read which strings would change, and type yes. It backs up each file, writes, and runs IISRESET /RESTART.".into(),
                    "To go back, copy the backup over the file, and run IISRESET /RESTART.".into(),
                ],
                scripts::switch_by_hand(&d.web_config, &d.connection_string_name, &self.source_names(), &databases),
            )
            .after(&[&format!("7/check-nic/{}", d.web_vm)])
            .after(&self.all_online().iter().map(String::as_str).collect::<Vec<_>>())
            .why("The application must use the migrated database.")
            .back("Copy the backup over each file, and run IISRESET /RESTART."),
            by_person(
                "site",
                "Does the site answer from Azure?",
                [
                    "The site works with the managed instance.",
                    "Nothing goes on; choose Retry when it works.",
                    "On-premises everything is still there, powered off.",
                ],
                &[
                    sign_in,
                    "Copy the script and run it: it must print tcp=ok, sql=ok, http=200 and text=ok.".into(),
                    "Look at the site as its users do.".into(),
                ],
                scripts::probe_by_hand(&d.web_config, &d.connection_string_name, &d.site_text),
            )
            .after(&["7/gate/switch-connection", &format!("7/check-boot/{}", d.web_vm)])
            .why("It proves VM, network, IIS and database together."),
        ]
    }

    /// The task with which the application uses the managed instance.
    pub(super) fn switched(&self) -> Address {
        let kind = if self.d.switched_by_person {
            "gate"
        } else {
            "run-command"
        };
        Address::new(7, kind, "switch-connection")
    }

    /// Address of the task after which the site answers from Azure.
    pub(super) fn answers(&self) -> String {
        let at = if self.d.switched_by_person {
            "gate/site"
        } else {
            "run-command/probe"
        };
        format!("7/{at}")
    }

    /// By which names the application may know the source server.
    fn source_names(&self) -> Vec<String> {
        let vm = self.inventory.vm(&self.d.sql_vm);
        let mut names = vec![self.d.sql_vm.clone()];
        names.extend(
            vm.into_iter()
                .flat_map(|v| [&v.host_name, &v.ip_address])
                .flatten()
                .cloned(),
        );
        names.retain(|n| !n.is_empty());
        names.dedup();
        names
    }

    fn moves_by_site_recovery(&self) -> Moves {
        let d = self.d;
        let (item, plan) = (self.item(), self.recovery_plan());
        let azure_node = format!("azvm/{}", d.web_vm);
        let test_node = format!("azvm/{}", d.test_vm());
        Moves {
            test: task(
                    7,
                    "test-failover",
                    &d.web_vm,
                    "Run the test failover",
                    &format!("Creates {} from the latest recovery point in {}.", d.test_vm(), d.test_network),
                    Action::Post {
                        id: item.clone(),
                        verb: "testFailover".into(),
                        body: Some(json!({ "properties": { "failoverDirection": "PrimaryToRecovery", "networkType": "VmNetworkAsInput",
                            "networkId": self.vnet(&d.test_network),
                            "providerSpecificDetails": { "instanceType": "InMageRcm", "networkId": self.vnet(&d.test_network), "recoveryPointId": "${asr.recoveryPoint}" } } })),
                        observe: item.clone(),
                        done: vec![Expect::one_of("/properties/testFailoverState", &["WaitingForCompletion", "WaitingForCleanup"])],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "TestFailover")]),
                        allowed: Some(vec![Expect::equal("/properties/allowedOperations/*", "TestFailover")]),
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&format!("5/recovery-point/{}", d.web_vm)])
                .why("It proves that the VM boots in Azure, without touching the one on-premises.")
                .secs(540, 1200, NOT_PUBLISHED)
                .cost("A VM of the target size while the test runs.")
                .back("Clean up the test failover.")
                .nodes(std::slice::from_ref(&test_node)),
            cleanup: task(
                    7,
                    "test-cleanup",
                    &d.web_vm,
                    "Clean up the test failover",
                    "Deletes the test VM and records the observations.",
                    Action::Post {
                        id: item.clone(),
                        verb: "testFailoverCleanup".into(),
                        body: Some(json!({ "properties": { "comments": "Accepted in Rehost." } })),
                        observe: item.clone(),
                        done: vec![Expect::equal("/properties/testFailoverState", "None")],
                        running: Some(vec![Expect::equal("/properties/testFailoverState", "MarkedForDeletion")]),
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&["7/gate/test"])
                .why("A failover is refused while a test is open, and the test VM costs money.")
                .secs(240, 900, NOT_PUBLISHED)
                .back("Run another test failover.")
                .nodes(std::slice::from_ref(&test_node)),
            recovery_plan: task(
                    7,
                    "recovery-plan",
                    &d.recovery_plan,
                    &format!("Recovery plan {}", d.recovery_plan),
                    &format!("Creates the recovery plan with {} in its boot group.", d.web_vm),
                    put(
                        plan.clone(),
                        json!({ "properties": { "primaryFabricId": "${asr.fabric}", "recoveryFabricId": "Microsoft Azure", "failoverDeploymentModel": "ResourceManager",
                            "groups": [{ "groupType": "Boot", "replicationProtectedItems": [{ "id": "${asr.item}", "virtualMachineId": "${asr.machineName}" }], "startGroupActions": [], "endGroupActions": [] }] } }),
                    ),
                )
                .after(&[&format!("5/recovery-point/{}", d.web_vm)])
                .why("The failover runs on the plan, so that more VMs can be added in order.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Delete the plan (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
            cutover: task(
                    7,
                    "failover",
                    &d.web_vm,
                    &format!("Fail over {}", d.web_vm),
                    "Shuts the VM down on-premises, sends the last changes and starts it in Azure from the latest recovery point.",
                    Action::Post {
                        id: plan.clone(),
                        verb: "unplannedFailover".into(),
                        body: Some(json!({ "properties": { "failoverDirection": "PrimaryToRecovery", "sourceSiteOperations": "Required",
                            "providerSpecificDetails": [{ "instanceType": "InMageRcm", "recoveryPointType": "Latest" }] } })),
                        observe: item.clone(),
                        done: vec![Expect::equal("/properties/activeLocation", "Recovery")],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "UnplannedFailover")]),
                        allowed: Some(vec![Expect::equal("/properties/allowedOperations/*", "UnplannedFailover")]),
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&["7/gate/cutover"])
                .why("This is the migration of the web tier.")
                .secs(840, 1800, NOT_PUBLISHED)
                .cost("The VM in Azure is charged from now on.")
                .back("Power WEBVM on again in vCenter and delete the Azure VM; until commit another recovery point can be chosen.")
                .no_return()
                .nodes(&[format!("vm/{}", d.web_vm), azure_node.clone(), "flow/replication".into()]),
            end: vec![task(
                    7,
                    "commit",
                    &d.web_vm,
                    "Commit the failover",
                    "Commits the failover on the recovery plan; other recovery points are given up.",
                    Action::Post {
                        id: plan,
                        verb: "failoverCommit".into(),
                        body: None,
                        observe: item,
                        done: vec![Expect::equal("/properties/protectionState", "UnplannedFailoverCommitted")],
                        running: Some(vec![Expect::equal("/properties/currentScenario/scenarioName", "CommitFailover")]),
                        allowed: None,
                        facts: vec![],
                        follow: self.job(),
                    },
                )
                .after(&[&self.answers()])
                .why("It completes the migration of the VM.")
                .secs(120, 600, NOT_PUBLISHED)
                .back("None: WEBVM on-premises can still be powered on, but Site Recovery can't go to another recovery point.")
                .no_return()
                .nodes(&[azure_node, format!("vault/{}", d.vault)])],
        }
    }
}

/// What moves the machine, in the words of one method.
pub(super) struct Moves {
    pub(super) test: T,
    pub(super) cleanup: T,
    pub(super) recovery_plan: T,
    pub(super) cutover: T,
    /// After the site has answered from Azure.
    pub(super) end: Vec<T>,
}
