// Recorded roles and rights in vCenter. In the address: &lacking (Rehost's account may not do all), &nobody (the appliance's
// account is not there yet), &rights=other (it has another role), &rights=fail (vCenter refuses to make the role).
import type { OwnRights } from "./gen/OwnRights";
import type { RightsView } from "./gen/RightsView";
import type { RoleView } from "./gen/RoleView";
import type { UiError } from "./gen/UiError";
import type { Commands } from "./types";

const query = new URLSearchParams(location.search);
const has = (name: string) => query.get(name) !== null;

const PRINCIPAL = "CONTOSO\\svc-asr";
const ROLE = "Azure_Site_Recovery";
const DATACENTER = "datacenter contoso-datacenter";
const PRIVILEGES = [
  "Datastore.AllocateSpace",
  "Datastore.Browse",
  "Datastore.DeleteFile",
  "Datastore.FileManagement",
  "Datastore.UpdateVirtualMachineFiles",
  "Network.Assign",
  "Resource.AssignVMToPool",
  "Resource.ColdMigrate",
  "Resource.HotMigrate",
  "Task.Create",
  "Task.Update",
  "VirtualMachine.Config.AddExistingDisk",
  "VirtualMachine.Config.AddNewDisk",
  "VirtualMachine.Config.AddRemoveDevice",
  "VirtualMachine.Config.AdvancedConfig",
  "VirtualMachine.Config.ChangeTracking",
  "VirtualMachine.Interact.PowerOff",
  "VirtualMachine.Interact.PowerOn",
  "VirtualMachine.Provisioning.GetVmFiles",
  "VirtualMachine.State.CreateSnapshot",
  "VirtualMachine.State.RemoveSnapshot",
  "VirtualMachine.State.RevertToSnapshot",
];
const TITLES: Record<number, string> = {
  1: "Prepare the target",
  4: "Prepare VMware and WEBVM",
  5: "Configure replication",
  7: "Migrate",
  8: "Clean up",
};

const own = (
  step: number,
  task: string,
  title: string,
  on: string,
  privileges: string[],
  lacks = false,
): OwnRights => ({
  step,
  stepTitle: TITLES[step] ?? "",
  task: `step-${step}/${task}`,
  title,
  on,
  seen: true,
  privileges,
  missing: lacks && has("lacking") ? privileges.filter((id) => !id.startsWith("Datastore.")) : [],
});

let made = false;

const role = (): RoleView => ({
  name: ROLE,
  place: `${DATACENTER}, propagated to everything in it`,
  privileges: PRIVILEGES,
  unknown: [],
  exists: made,
  missing: [],
  granted: made ? { is: "yes" } : query.get("rights") === "other" ? { is: "other", role: "ReadOnly" } : { is: "no" },
  lacks: made ? [] : null,
});

function view(): RightsView {
  const known = !has("nobody");
  const other = query.get("rights") === "other";
  return {
    user: "rehost@vsphere.local",
    own: [
      own(1, "check-rights/vcenter", "Rehost's account may do all of it", "the vCenter", ["System.View"]),
      own(4, "check-vcenter/vcenter", "vCenter is supported", "the vCenter", ["System.View"]),
      own(4, "check-vm/WEBVM", "WEBVM can be replicated", "WEBVM", ["System.Read"]),
      own(4, `role/${ROLE}`, `vCenter role ${ROLE}`, "the vCenter", ["Authorization.ModifyRoles"], true),
      own(
        4,
        "permission/contoso-datacenter",
        `Grant ${ROLE} on contoso-datacenter`,
        DATACENTER,
        ["Authorization.ModifyPermissions", ...PRIVILEGES],
        true,
      ),
      own(5, "check-vm-runs/ASR-APPLIANCE", "The appliance runs", "ASR-APPLIANCE", ["System.Read"]),
      own(7, "shutdown/SQLVM", "Shut down SQLVM", "SQLVM", ["VirtualMachine.Interact.PowerOff"], true),
      own(8, "rename/WEBVM", "Rename WEBVM to WEBVM-migrated", "WEBVM", ["VirtualMachine.Config.Rename"]),
      own(8, "annotate/WEBVM", "Note in WEBVM where it went", "WEBVM", ["VirtualMachine.Config.Annotation"]),
      own(8, "folder/Migrated", "Folder for retired machines", DATACENTER, ["Folder.Create"]),
    ],
    lacking: has("lacking")
      ? "A vCenter administrator adds them to the role that the account has there (vSphere Client: Administration > Access Control > Roles)."
      : null,
    ownScript: script(
      `Set-Role 'Rehost' @(\n    'Authorization.ModifyRoles'\n    'VirtualMachine.Interact.PowerOff'\n)`,
    ),
    principal: PRINCIPAL,
    principalKnown: known,
    method: "Site Recovery modernized",
    source: "learn.microsoft.com: vmware-azure-set-up-replication-tutorial-modernized (2023-08-01)",
    roles: [role()],
    changes: made
      ? []
      : [
          `Make the role ${ROLE} with ${PRIVILEGES.length} privileges.`,
          ...(known && !other
            ? [`Give ${PRINCIPAL} the role ${ROLE} on ${DATACENTER}, propagated to everything in it.`]
            : []),
        ],
    obstacles: [
      ...(known
        ? []
        : [
            `vCenter's directory does not know ${PRINCIPAL}, so nothing can be granted to it yet. A directory administrator creates it; a vCenter administrator makes sure that its domain is an identity source: vSphere Client > Administration > Single Sign On > Configuration > Identity Sources.`,
          ]),
      ...(other
        ? [
            `On ${DATACENTER} ${PRINCIPAL} has the role ReadOnly already, which does not hold everything that is in ${ROLE}, and an account has one role on an object. Rehost replaces no permission that somebody else has given. A vCenter administrator removes it (vSphere Client: the object > Permissions) or adds the privileges to that role.`,
          ]
        : []),
    ],
    rolesScript: script(`Set-Role '${ROLE}' @(\n${PRIVILEGES.map((id) => `    '${id}'\n`).join("")})`),
    passwordRule:
      "The appliance does not accept a password with one of & ; \" ' ^ \\ % < > £ or anything outside ASCII.",
  };
}

const script = (text: string) => ({
  language: "powershell",
  runOn: "VMware PowerCLI",
  text: `# Sign in before: Connect-VIServer YOUR-VCENTER\n$ErrorActionPreference = 'Stop'\n${text}\n`,
});

const refused: UiError = {
  code: "refused",
  title: "The account lacks a right in vCenter",
  detail: "AddAuthorizationRole needs the privilege Authorization.ModifyRoles on group-d1",
  hint: "In the vSphere Client a vCenter administrator adds the privilege Authorization.ModifyRoles to the account's role on group-d1: Administration > Access Control > Roles.",
  address: null,
  retryable: false,
  correlationId: null,
};

type Names = "vcenter_rights" | "vcenter_roles_apply" | "vcenter_script_save";

export const rightsHandlers: { [C in Names]: (args: Commands[C][0]) => Commands[C][1] } = {
  vcenter_rights: view,
  vcenter_roles_apply: () => {
    if (query.get("rights") === "fail") throw refused;
    made = true;
    return view();
  },
  vcenter_script_save: ({ script: which }) =>
    `/home/admin/Documents/Rehost/${which === "own" ? "Rehost-own-role" : "Rehost-roles"}.ps1`,
};
