// The inside of machines, see fixture.ts. In the address: &guest=unread, =checked (the usual: nothing was read yet, and no
// account is known), =refused (the guest refuses the account), =notools; &pasted.
import type { GuestFixPreview } from "./gen/GuestFixPreview";
import type { GuestItem } from "./gen/GuestItem";
import type { GuestItemView } from "./gen/GuestItemView";
import type { GuestView } from "./gen/GuestView";
import type { Script } from "./gen/Script";
import type { UiError } from "./gen/UiError";
import type { Commands } from "./types";

const query = new URLSearchParams(location.search);
const mode = query.get("guest");
const READ_AT = "2026-11-21T18:56:00Z";
const powershell = (text: string): Script => ({ language: "powershell", runOn: "the machine itself", text });

const KEY = "'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server'";
const FIXES: Partial<Record<GuestItem, GuestFixPreview>> = {
  rdp: {
    item: "rdp",
    changes: [
      "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\fDenyTSConnections: from 1 to 0",
      "HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp\\PortNumber: from 3390 to 3389",
    ],
    script: powershell(
      `$ErrorActionPreference = 'Stop'\nSet-ItemProperty ${KEY} -Name 'fDenyTSConnections' -Value 0 -Type DWord -Force\n'done=1'\n`,
    ),
    undo: powershell(
      `$ErrorActionPreference = 'Stop'\nSet-ItemProperty ${KEY} -Name 'fDenyTSConnections' -Value 1 -Type DWord -Force\n'done=1'\n`,
    ),
    notes: [
      "The port counts from the next restart of the machine on. To keep port 3390, open it in the network security group in Azure instead.",
    ],
  },
  san: {
    item: "san",
    changes: ["Policy for new disks: from OfflineShared to OnlineAll"],
    script: powershell("'san policy=OnlineAll' | diskpart\n'done=1'\n"),
    undo: powershell("'san policy=OfflineShared' | diskpart\n'done=1'\n"),
    notes: ["Not on a server that shares disks with others outside a cluster: two systems would write to them."],
  },
};

const row = (
  item: GuestItem,
  found: string | null,
  wrong = false,
  more: Partial<GuestItemView> = {},
): GuestItemView => ({
  item,
  rule: `guest-${item}`,
  state: wrong ? "wrong" : found === null ? "unknown" : "right",
  found,
  fixable: wrong && item in FIXES,
  person: null,
  undoableSince: null,
  ...more,
});

const READ: GuestItemView[] = [
  row("rdp", "It is switched off", true),
  row("firewall", "Remote Desktop is let in for all profiles", false, { undoableSince: "2026-11-21T18:52:00Z" }),
  row("san", "The policy for new disks is OfflineShared", true),
  row("updates", "2 are pending", true, {
    person: {
      who: "Windows administrator",
      steps: [
        "Install them in a change window before the move: Settings > Windows Update, or sconfig on Server Core.",
        "Restart, then check again. After a failover with pending updates nobody can sign in until they are done.",
      ],
    },
  }),
  row("reboot", "Pending because of updates", true, {
    person: {
      who: "Windows administrator",
      steps: ["Agree on a time with those who use the machine: shutdown /r /t 0"],
    },
  }),
  row("bitlocker", "No volume is encrypted"),
  row("dynamicDisk", "All disks are basic"),
  row("services", "All start as they should"),
  row("space", null),
];

let items = READ;
let readAt: string | null = mode === "checked" ? READ_AT : null;
let account: string | null = mode === "checked" ? "CONTOSO\\anna" : null;

const view = (moref: string): GuestView => ({
  moref,
  system: "windows",
  readAt,
  pasted: query.get("pasted") !== null,
  version: "10.0.14393.0",
  admin: true,
  account,
  accountReady: account !== null,
  remembered: account !== null,
  toolsRunning: mode !== "notools",
  script: powershell(
    "# rehost-readiness 1 windows\n# Reads what decides whether this machine can be reached after its move to Azure.\n$ErrorActionPreference = 'SilentlyContinue'\nfunction Say($key, $value) { \"$key=$value\" }\n\nSay 'readiness' 1\nSay 'os' 'windows'\n",
  ),
  items: readAt === null ? READ.map((r) => row(r.item, null)) : items,
});

const refuse = (error: Pick<UiError, "title" | "detail" | "hint">): never => {
  // The command's answer, not an exception of ours.
  throw { code: "refused", address: null, retryable: false, correlationId: null, ...error } satisfies UiError;
};

const set = (item: GuestItem, more: Partial<GuestItemView>) => {
  items = items.map((r) => (r.item === item ? { ...r, ...more } : r));
};

export const guestHandlers: Pick<
  { [C in keyof Commands]: (args: Commands[C][0]) => Commands[C][1] },
  "guest_get" | "guest_check" | "guest_fix_preview" | "guest_fix" | "guest_undo" | "guest_paste"
> = {
  guest_get: ({ moref }) => view(moref),
  guest_check: ({ moref, user }) => {
    if (mode === "refused")
      refuse({
        title: "The guest refused the user name or the password",
        detail: "ValidateCredentialsInGuest failed: InvalidGuestLogin",
        hint: "Enter an account of the machine's own operating system that is an administrator there: NAME or DOMAIN\\NAME for Windows, root for Linux. It is not the account of vCenter. Several wrong passwords may lock it.",
      });
    account = user ?? account;
    readAt = READ_AT;
    return view(moref);
  },
  guest_fix_preview: ({ item }) =>
    FIXES[item] ?? refuse({ title: "Nothing is there for a script to change", detail: "", hint: "" }),
  guest_fix: ({ moref, item }) => {
    set(item, { state: "right", found: "As it should be", fixable: false, undoableSince: READ_AT });
    return view(moref);
  },
  guest_undo: ({ moref, item }) => {
    set(item, { state: "wrong", found: "As it was before", fixable: item in FIXES, undoableSince: null });
    return view(moref);
  },
  guest_paste: ({ moref, output }) => {
    if (!output.includes("end=1"))
      refuse({
        title: "This is not the whole output of the script",
        detail: "It has no line `end=1` after the beginning: the script was stopped, or a part was not copied.",
        hint: "Run the script again, select everything that it prints, from readiness=1 to end=1, copy it and paste it here.",
      });
    readAt = READ_AT;
    return view(moref);
  },
};
