//! Scripts that a person runs, and the ones that run inside the migrated VM. They are data of the plan: shown before
//! they run, hashed with it. Names are quoted here, never pasted.
//!
//! The readiness script publishes its findings through VMware Tools (`guestinfo.rehost.readiness`), so that Rehost
//! can read them with nothing but the vCenter session. It uses only what PowerShell 2.0 has, and no localized names.

use crate::{
    privileges::RightNeed,
    task::{Action, Plan, Script},
};

/// Quotes a name for T-SQL: `]` is doubled.
pub(crate) fn name(s: &str) -> String {
    format!("[{}]", s.replace(']', "]]"))
}

/// Quotes a text for T-SQL: `'` is doubled.
fn text(s: &str) -> String {
    format!("N'{}'", s.replace('\'', "''"))
}

/// Quotes a text for PowerShell, which takes four typographic quotes for `'` as well.
pub fn ps(s: &str) -> String {
    let mut quoted = String::from("'");
    for c in s.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted + "'"
}

fn container_url(account: &str, container: &str) -> String {
    // `${blob:account}` is the account's blob address in the connected cloud.
    format!("${{blob:{account}}}/{container}")
}

fn credential(account: &str, container: &str) -> String {
    let url = container_url(account, container);
    format!(
        "IF EXISTS (SELECT 1 FROM sys.credentials WHERE name = {url_text})\n    DROP CREDENTIAL {url_name};\n\
         CREATE CREDENTIAL {url_name}\n    WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = {secret};\nGO\n",
        url_text = text(&url),
        url_name = name(&url),
        secret = text("${secret:sas/backup}"),
    )
}

/// Credential, recovery model and full backup to the container.
pub fn full_backup(database: &str, account: &str, container: &str) -> String {
    let url = container_url(account, container);
    format!(
        "{credential}ALTER DATABASE {db} SET RECOVERY FULL;\nGO\nBACKUP DATABASE {db}\n    TO URL = {to}\n    WITH COMPRESSION, CHECKSUM, STATS = 5;\n",
        credential = credential(account, container),
        db = name(database),
        to = text(&format!("{url}/{database}_full_01.bak")),
    )
}

/// One log backup whose file name holds the time.
pub fn log_backup(database: &str, account: &str, container: &str) -> String {
    let url = container_url(account, container);
    format!(
        "DECLARE @file nvarchar(400) = {prefix} + FORMAT(SYSUTCDATETIME(), 'yyyyMMddHHmmss') + N'.trn';\nBACKUP LOG {db}\n    TO URL = @file\n    WITH COMPRESSION, CHECKSUM;\n",
        prefix = text(&format!("{url}/{database}_log_")),
        db = name(database),
    )
}

/// The last log backup; it leaves the source in RESTORING.
pub fn tail_backup(database: &str, account: &str, container: &str) -> String {
    let url = container_url(account, container);
    format!(
        "USE [master];\nALTER DATABASE {db} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;\nBACKUP LOG {db}\n    TO URL = {to}\n    WITH NORECOVERY, COMPRESSION, CHECKSUM;\n",
        db = name(database),
        to = text(&format!("{url}/{}", tail_name(database))),
    )
}

/// Runs T-SQL on the local instance as the person who is signed in, then tells vCenter, as the readiness script does. What
/// is published is the time, so that a report of an earlier run is not taken for a new one.
fn to_share(sql: &str, key: &str) -> String {
    format!(
        r#"$ErrorActionPreference = 'Stop'
$sql = @'
{sql}'@
$sql | sqlcmd -S . -E -b
if ($LASTEXITCODE -ne 0) {{ throw "The backup failed: sqlcmd ended with $LASTEXITCODE." }}
$tools = Join-Path $env:ProgramFiles 'VMware\VMware Tools\vmtoolsd.exe'
$line = "$(& $tools --cmd 'info-get guestinfo.rehost.readiness' 2>$null)"
$found = @($line.Split(';') | Where-Object {{ $_ -and $_ -notlike '{key}=*' }})
$found += '{key}=' + [DateTime]::UtcNow.ToString('yyyyMMddHHmmss')
& $tools --cmd "info-set guestinfo.rehost.readiness $($found -join ';')"
"Published: $($found -join ';')"
"#
    )
}

fn file(share: &str, name: &str) -> String {
    text(&format!("{}\\{name}", share.trim_end_matches('\\')))
}

/// Recovery model and full backup to the share, whose folder is made first. It is reported as `key`.
pub fn full_backup_to_share(database: &str, share: &str, key: &str) -> String {
    let sql = format!(
        "ALTER DATABASE {db} SET RECOVERY FULL;\nGO\nBACKUP DATABASE {db}\n    TO DISK = {to}\n    WITH INIT, COMPRESSION, CHECKSUM, STATS = 5;\nGO\n",
        db = name(database),
        to = file(share, &format!("{database}_full_01.bak")),
    );
    let folder = share.replace('\'', "''");
    format!(
        "if (-not (Test-Path -LiteralPath '{folder}')) {{ New-Item -ItemType Directory -Force -Path '{folder}' | Out-Null }}\n{}",
        to_share(&sql, key)
    )
}

/// One log backup to the share, whose file name holds the time.
pub fn log_backup_to_share(database: &str, share: &str, key: &str) -> String {
    let sql = format!(
        "DECLARE @file nvarchar(400) = {prefix} + FORMAT(SYSUTCDATETIME(), 'yyyyMMddHHmmss') + N'.trn';\nBACKUP LOG {db}\n    TO DISK = @file\n    WITH COMPRESSION, CHECKSUM;\nGO\n",
        prefix = file(share, &format!("{database}_log_")),
        db = name(database),
    );
    to_share(&sql, key)
}

/// The last log backup, to the share; it leaves the source in RESTORING.
pub fn tail_backup_to_share(database: &str, share: &str, key: &str) -> String {
    let sql = format!(
        "USE [master];\nALTER DATABASE {db} SET SINGLE_USER WITH ROLLBACK IMMEDIATE;\nBACKUP LOG {db}\n    TO DISK = {to}\n    WITH NORECOVERY, COMPRESSION, CHECKSUM;\nGO\n",
        db = name(database),
        to = file(share, &tail_name(database)),
    );
    to_share(&sql, key)
}

/// File name of the tail-log backup.
pub fn tail_name(database: &str) -> String {
    format!("{database}_tail.trn")
}

/// Registers an installed integration runtime with the service. The key is a placeholder, filled when a person copies it.
pub fn register_runtime() -> String {
    r#"$found = Get-ChildItem "$env:ProgramFiles\Microsoft Integration Runtime" -Recurse -Filter dmgcmd.exe | Select-Object -First 1
if (-not $found) { throw 'Install Microsoft Integration Runtime first.' }
& $found.FullName -RegisterNewNode '${secret:runtime-key}'
& $found.FullName -Start
'Registered. The key works until the service is deleted: close this window.'
"#
    .to_owned()
}

/// Enables Remote Desktop and its firewall rules, sets the SAN policy, counts pending updates, publishes the result.
pub fn readiness() -> String {
    r#"$found = @{}
$ts = 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server'
if ((Get-ItemProperty $ts).fDenyTSConnections -ne 0) {
    Set-ItemProperty $ts -Name fDenyTSConnections -Value 0 -Type DWord -Force
    'Remote Desktop: was off, is on now. Way back: set fDenyTSConnections to 1.'
} else { 'Remote Desktop: is on.' }
$found.rdp = 1 - (Get-ItemProperty $ts).fDenyTSConnections

$profiles = @{ domain = 1; private = 2; public = 4 }
$rules = (New-Object -ComObject HNetCfg.FwPolicy2).Rules |
    Where-Object { $_.Grouping -eq '@FirewallAPI.dll,-28752' -and $_.Direction -eq 1 }
foreach ($rule in $rules) {
    if (-not $rule.Enabled -or ($rule.Profiles -band 7) -ne 7) {
        $rule.Profiles = 7; $rule.Enabled = $true
        "Firewall: enabled '$($rule.Name)' for all profiles. Way back: disable this rule."
    }
}
$open = @('domain', 'private', 'public') | Where-Object { $bit = $profiles[$_]
    @($rules | Where-Object { $_.Enabled -and ($_.Profiles -band $bit) }).Count -gt 0 }
$found.firewall = $open -join ','

'san policy=onlineall' | diskpart | Out-Null
$san = (Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\partmgr\Parameters' -ErrorAction SilentlyContinue).SanPolicy
$found.san = if ($san -eq 1) { 'OnlineAll' } else { "policy$san" }
"SAN policy: $($found.san). Way back: diskpart, san policy=offlineshared."

$search = (New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher()
$found.updates = $search.Search('IsInstalled=0 and IsHidden=0').Updates.Count
"Pending updates: $($found.updates). Install them before the change window."
$reboot = (Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending') -or
    (Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired')
$found.reboot = [int]$reboot
"Restart pending: $reboot."

$tools = Join-Path $env:ProgramFiles 'VMware\VMware Tools\vmtoolsd.exe'
$mark = (& $tools --cmd 'info-get guestinfo.rehost.mobility' 2>$null)
if ($mark) { $found.mobility = $mark }
$line = 'script=1'
foreach ($key in 'rdp', 'firewall', 'san', 'updates', 'reboot', 'mobility') {
    if ($found.ContainsKey($key)) { $line += ";$key=$($found[$key])" }
}
& $tools --cmd "info-set guestinfo.rehost.readiness $line"
"Published: $line"
"#
    .to_owned()
}

/// Tells vCenter that the account for the Mobility service is a local administrator. The person creates the account
/// itself, so that its password never passes through a script.
pub fn mobility_account(account: &str) -> String {
    format!(
        r#"$account = {account}
$admins = (New-Object Security.Principal.SecurityIdentifier 'S-1-5-32-544').Translate([Security.Principal.NTAccount]).Value.Split('\')[1]
net localgroup $admins $account /add 2>$null
if (-not (net localgroup $admins | Where-Object {{ $_ -eq $account }})) {{ throw "$account is not a member of $admins. Create it first." }}
$policy = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System'
Set-ItemProperty $policy -Name LocalAccountTokenFilterPolicy -Value 1 -Type DWord -Force
$tools = Join-Path $env:ProgramFiles 'VMware\VMware Tools\vmtoolsd.exe'
& $tools --cmd "info-set guestinfo.rehost.mobility $account"
'Now run the readiness script again.'
"#,
        account = ps(account)
    )
}

/// Runs in the migrated VM: reads the application's configuration (`-Does read`), writes byte ranges into it (`switch`), and
/// brings the files back as they were (`restore`).
///
/// Each can be repeated: what is written already is left alone, and the first backup is never replaced. Unverified: that
/// `aspnet_regiis -pdf` and `-pef` work on a copy of the folder, as they are documented for any physical folder.
pub fn config() -> String {
    include_str!("scripts/config.ps1").to_owned()
}

/// Runs in the migrated VM.
pub fn iisreset() -> String {
    "$ErrorActionPreference = 'Stop'\niisreset /RESTART | Out-Null\nif ($LASTEXITCODE -ne 0) { throw \"IISRESET ended with $LASTEXITCODE.\" }\n'iisreset=ok'\n".to_owned()
}

/// Runs in the migrated VM: port 1433 of the managed instance, a query with the application's own connection string as
/// .NET reads it from the file, status and text of the site. No value of the file is printed.
pub fn probe() -> String {
    include_str!("scripts/probe.ps1").to_owned()
}

/// For a person who is signed in to the migrated machine: shows which strings would change, and after a `yes` backs up and
/// writes. `required` must be among them; empty = any. The new strings are placeholders, filled when a person copies it.
pub fn switch_by_hand(path: &str, required: &str, sources: &[String], databases: &[&str]) -> String {
    let quoted = |t: &str| format!("'{}'", t.replace('\'', "''"));
    let sources: Vec<String> = sources.iter().map(|s| quoted(s)).collect();
    let mut text = format!(
        "$path = {}\n$required = {}\n$sources = @({})\n$databases = @{{}}\n",
        quoted(path),
        quoted(required),
        sources.join(", ")
    );
    for (n, name) in databases.iter().enumerate() {
        text += &format!("$databases[{}] = @'\n${{secret:connection/{n}}}\n'@\n", quoted(name));
    }
    text + include_str!("scripts/switch_by_hand.ps1")
}

/// The probe for a person who is signed in to the migrated machine.
pub fn probe_by_hand(path: &str, name: &str, site_text: &str) -> String {
    let quoted = |t: &str| format!("'{}'", t.replace('\'', "''"));
    format!(
        "& {{\n{}\n}} -Path {} -Name {} -Server '${{mi.fqdn}}' -Text {}\n",
        probe(),
        quoted(path),
        quoted(name),
        quoted(site_text)
    )
}

/// Functions that the role scripts share. Each can run again: what is there is completed, what is right is left alone, and
/// what somebody else has set is never replaced.
const ROLE: &str = r#"function Set-Role($name, $ids) {
    $all = Get-VIPrivilege -PrivilegeItem
    $wanted = @($all | Where-Object { $id = $_.Id; @($ids | Where-Object { $id -like $_ }).Count -gt 0 })
    $ids | Where-Object { $id = $_; @($wanted | Where-Object { $_.Id -like $id }).Count -eq 0 } |
        ForEach-Object { "This vCenter has no privilege $_; the role goes without it." }
    $role = Get-VIRole | Where-Object { $_.Name -eq $name }
    if (-not $role) {
        New-VIRole -Name $name -Privilege $wanted | Out-Null
        "Role $name created with $($wanted.Count) privileges."
        return
    }
    $lacking = @($wanted | Where-Object { $role.PrivilegeList -notcontains $_.Id })
    if ($lacking.Count -gt 0) { Set-VIRole -Role $role -AddPrivilege $lacking -Confirm:$false | Out-Null }
    "Role $name is there; $($lacking.Count) privileges added."
}
"#;
const PERMISSION: &str = r#"function Get-Root { Get-Folder -Id "Folder-$((Get-View ServiceInstance).Content.RootFolder.Value)" }
function Find-Datacenter($name) {
    $found = @(Get-Datacenter | Where-Object { $_.Name -eq $name })
    if ($found.Count -ne 1) { throw "$($found.Count) datacenters are called $name." }
    $found[0]
}
function Set-Permission($entity, $principal, $role, $propagate) {
    $old = Get-VIPermission -Entity $entity | Where-Object { $_.EntityId -eq $entity.Id -and $_.Principal -eq $principal }
    if (-not $old) {
        New-VIPermission -Entity $entity -Principal $principal -Role (Get-VIRole | Where-Object { $_.Name -eq $role }) -Propagate:$propagate | Out-Null
        "$principal has the role $role on $entity now."
    } elseif ($old.Role -ne $role) {
        throw "$principal already has the role $($old.Role) on $entity. Add the privileges to that role, or choose another account."
    } else {
        if ($old.Propagate -ne $propagate) { Set-VIPermission -Permission $old -Propagate:$propagate | Out-Null }
        "$principal has the role $role on $entity."
    }
}
"#;

fn set_role(role: &str, privileges: &[String]) -> String {
    let ids: String = privileges.iter().map(|id| format!("    {}\n", ps(id))).collect();
    format!("Set-Role {} @(\n{ids})\n", ps(role))
}

fn set_permission(role: &str, principal: &str, datacenter: Option<&str>, propagate: bool) -> String {
    let on = datacenter.map_or_else(|| "Get-Root".to_owned(), |name| format!("Find-Datacenter {}", ps(name)));
    format!("Set-Permission ({on}) {} {} ${propagate}\n", ps(principal), ps(role))
}

fn power_cli(parts: &str) -> Script {
    let functions = [("Set-Role ", ROLE), ("Set-Permission ", PERMISSION)];
    let used = functions
        .iter()
        .filter(|(call, _)| parts.contains(call))
        .map(|(_, f)| *f);
    Script {
        language: "powershell".into(),
        run_on: "VMware PowerCLI".into(),
        text: format!(
            "# Sign in before: Connect-VIServer YOUR-VCENTER\n$ErrorActionPreference = 'Stop'\n{}\n{parts}",
            used.collect::<String>()
        ),
    }
}

fn by_hand_part(action: &Action) -> Option<String> {
    match action {
        Action::EnsureRole { role, privileges } => Some(set_role(role, privileges)),
        Action::GrantRole {
            role,
            principal,
            datacenter,
        } => Some(set_permission(
            role,
            principal,
            datacenter.as_deref(),
            datacenter.is_some(),
        )),
        _ => None,
    }
}

/// For an administrator who does by hand what Rehost would do, when Rehost's own account may not: roles and permissions.
/// Rehost then finds them and goes on.
pub fn by_hand(action: &Action) -> Option<Script> {
    by_hand_part(action).as_deref().map(power_cli)
}

/// All roles and permissions of a plan in one script.
pub fn roles(plan: &Plan) -> Script {
    power_cli(&plan.tasks().filter_map(|t| by_hand_part(&t.action)).collect::<String>())
}

/// The role for Rehost's own account: exactly what the plan needs, granted on the whole vCenter.
pub fn own_role(account: &str, needs: &[RightNeed]) -> Script {
    let mut ids: Vec<String> = needs.iter().flat_map(|n| n.privileges.iter().cloned()).collect();
    ids.retain(|id| !id.starts_with("System."));
    ids.sort();
    ids.dedup();
    power_cli(&(set_role("Rehost", &ids) + &set_permission("Rehost", account, None, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_statements_are_quoted() {
        let sql = full_backup("Odd]'name", "acc", "c");
        assert!(sql.contains("BACKUP DATABASE [Odd]]'name]"), "{sql}");
        assert!(sql.contains("/Odd]''name_full_01.bak'"), "{sql}");
        assert!(mobility_account("o'neill").contains("$account = 'o''neill'"));
    }

    #[test]
    fn backups_to_a_share_are_checked_and_reported() {
        let share = r"\\FILES\it's here\";
        for (script, file) in [
            (
                full_backup_to_share("db", share, "full"),
                r"N'\\FILES\it''s here\db_full_01.bak'",
            ),
            (
                tail_backup_to_share("db", share, "tail"),
                r"N'\\FILES\it''s here\db_tail.trn'",
            ),
            (
                log_backup_to_share("db", share, "log"),
                r"N'\\FILES\it''s here\db_log_'",
            ),
        ] {
            for part in [file, "CHECKSUM", "COMPRESSION", "guestinfo.rehost.readiness"] {
                assert!(script.contains(part), "{part} is missing in {script}");
            }
        }
    }

    #[test]
    fn what_is_done_by_hand_is_what_the_task_does() {
        let action = Action::EnsureRole {
            role: "It's \u{2019}ours".into(),
            privileges: vec!["VirtualMachine.Config.*".into(), "Network.Assign".into()],
        };
        let script = by_hand(&action).expect("a script").text;
        for part in [
            "Set-Role 'It''s \u{2019}\u{2019}ours' @(",
            "\n    'VirtualMachine.Config.*'\n    'Network.Assign'\n)",
            "New-VIRole",
            "Set-VIRole",
        ] {
            assert!(script.contains(part), "{part} is missing in {script}");
        }
        assert!(!script.contains("New-VIPermission"));
        let grant = |datacenter: Option<&str>| Action::GrantRole {
            role: "R".into(),
            principal: r"CONTOSO\svc".into(),
            datacenter: datacenter.map(str::to_owned),
        };
        let script = by_hand(&grant(Some("dc"))).expect("a script").text;
        assert!(
            script.contains("Set-Permission (Find-Datacenter 'dc') 'CONTOSO\\svc' 'R' $true"),
            "{script}"
        );
        let script = by_hand(&grant(None)).expect("a script").text;
        assert!(
            script.contains("Set-Permission (Get-Root) 'CONTOSO\\svc' 'R' $false"),
            "{script}"
        );
        assert!(by_hand(&Action::CheckClassicDms).is_none());
    }
}
