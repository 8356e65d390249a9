//! The appliance in step 5, as far as both methods have one: deployed and registered by a person, then found in Azure with
//! what it has registered and discovered.

use super::builder::*;

const VCENTER_ADMIN: &str = "vCenter administrator";

impl Builder<'_> {
    pub(super) fn appliance_node(&self) -> String {
        format!("appliance/{}", self.d.appliance)
    }

    pub(super) fn deploy_appliance(&self, kind: &str, after: &[&str], why: &str, instructions: &[String]) -> T {
        let d = self.d;
        task(
            5,
            "person",
            "deploy-appliance",
            &format!("Deploy the {kind} appliance {}", d.appliance),
            &format!("Waits until a VM named {} runs in vCenter.", d.appliance),
            Action::CheckVmRuns {
                vm: d.appliance.clone(),
            },
        )
        .after(after)
        .after(&[&format!("4/permission/{}", d.datacenter)])
        .why(&format!("{why} It replaces the configuration server."))
        .secs(1200, 86_400, "a person's time")
        .back("Delete the appliance VM in vCenter.")
        .person(VCENTER_ADMIN, instructions, None)
        .nodes(&[self.appliance_node()])
    }

    pub(super) fn register_appliance(&self, title: &str, what: &str, registered: Action, instructions: &[String]) -> T {
        task(5, "person", "register-appliance", title, what, registered)
            .after(&["5/person/deploy-appliance"])
            .why("Only the appliance's own configuration manager can register it; there is no documented call for it.")
            .person(VCENTER_ADMIN, instructions, None)
            .nodes(&[self.appliance_node(), self.home()])
    }

    pub(super) fn check_container(&self, after: &str) -> T {
        task(
            5,
            "check-container",
            self.d.replication_home(),
            "The protection container is there",
            "Reads the container that the registration made.",
            await_some(
                "${asr.fabric}/replicationProtectionContainers",
                vec![Expect::present("/id")],
                vec![fact("asr.container", "/id")],
                "The registration isn't finished yet.",
            ),
        )
        .after(&[after])
    }

    /// `also` and `more` are what one method wants and records beside what both do.
    pub(super) fn check_machine(&self, after: &str, also: Vec<Expect>, more: Vec<Fact>) -> T {
        let d = self.d;
        let mut condition = vec![Expect::equal("/properties/displayName", d.web_vm.as_str())];
        condition.extend(also);
        let mut facts = vec![fact("asr.machine", "/id"), fact("asr.machineName", "/name")];
        facts.extend(more);
        task(
            5,
            "check-machine",
            &d.web_vm,
            &format!("{} was discovered", d.web_vm),
            "Waits until the appliance has discovered the VM through vCenter.",
            await_some(
                "${asr.site}/machines",
                condition,
                facts,
                "Discovery takes 15 minutes or more. If it stays empty, check vCenter address and account in the appliance.",
            ),
        )
        .after(&[after])
        .why("Only discovered machines can be replicated.")
        .secs(900, 1800, "scenario: 15 minutes or more")
        .nodes(&[format!("vm/{}", d.web_vm), self.appliance_node()])
    }
}
