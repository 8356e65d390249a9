# rehost-readiness 1 windows
# Reads what decides whether this machine can be reached after its move to Azure, and prints it as key=value lines.
# It changes nothing. PowerShell 2.0 is enough, and no name in it depends on the language of Windows.
# Run it as an administrator: powershell -ExecutionPolicy Bypass -File readiness.ps1
$ErrorActionPreference = 'SilentlyContinue'
function Say($key, $value) { "$key=$value" }
function Read-Value($path, $name) { (Get-ItemProperty $path).$name }

Say 'readiness' 1
Say 'os' 'windows'
Say 'build' ([Environment]::OSVersion.Version)
$me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
Say 'admin' ([int]$me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator))

# Remote Desktop: the setting, a group policy over it (empty: none), and the port.
$server = 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server'
Say 'rdp.deny' (Read-Value $server 'fDenyTSConnections')
Say 'rdp.policy' (Read-Value 'HKLM:\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services' 'fDenyTSConnections')
Say 'rdp.port' (Read-Value "$server\WinStations\RDP-Tcp" 'PortNumber')

# The firewall by profile: on, lets nothing in at all. Then the rules of Remote Desktop, by the group's key, which is not
# translated: enabled, profiles (domain 1, private 2, public 4), name.
$firewall = New-Object -ComObject HNetCfg.FwPolicy2
$profiles = @{ 1 = 'domain'; 2 = 'private'; 4 = 'public' }
foreach ($bit in 1, 2, 4) {
    $state = '{0},{1}' -f [int]$firewall.FirewallEnabled($bit), [int]$firewall.BlockAllInboundTraffic($bit)
    if ($firewall) { Say "firewall.$($profiles[$bit])" $state }
}
$firewall.Rules |
    Where-Object { $_.Grouping -eq '@FirewallAPI.dll,-28752' -and $_.Direction -eq 1 -and $_.Action -eq 1 } |
    ForEach-Object { Say 'rule' ('{0},{1},{2}' -f [int]$_.Enabled, ($_.Profiles -band 7), $_.Name) }

# What Windows does with disks that are new to it.
if (Get-Command Get-StorageSetting) {
    Say 'san' (Get-StorageSetting).NewDiskPolicy
} else {
    $policies = @{ 1 = 'OnlineAll'; 2 = 'OfflineShared'; 3 = 'OfflineAll'; 4 = 'OfflineInternal' }
    Say 'san' $policies[[int](Read-Value 'HKLM:\SYSTEM\CurrentControlSet\Services\partmgr\Parameters' 'SanPolicy')]
}

# Updates that are not installed; asking for them can take some minutes.
$pending = 'unknown'
try {
    $search = (New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher()
    $pending = [int]$search.Search('IsInstalled=0 and IsHidden=0').Updates.Count
} catch { $pending = 'unknown' }
Say 'updates' $pending

# Why Windows waits for a restart; empty: it does not.
$why = @()
$current = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
if (Test-Path "$current\Component Based Servicing\RebootPending") { $why += 'servicing' }
if (Test-Path "$current\WindowsUpdate\Auto Update\RebootRequired") { $why += 'updates' }
if (Test-Path "$current\WindowsUpdate\Services\Pending\*") { $why += 'updates' }
if (Read-Value 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' 'PendingFileRenameOperations') { $why += 'files' }
if ((Read-Value 'HKLM:\SOFTWARE\Microsoft\Updates' 'UpdateExeVolatile') -gt 0) { $why += 'installer' }
Say 'reboot' (($why | Select-Object -Unique) -join ',')

# BitLocker: drive, state (0 is decrypted), how many percent are encrypted. Without the feature there is no such class.
$space = 'root\CIMV2\Security\MicrosoftVolumeEncryption'
foreach ($volume in @(Get-WmiObject -Namespace $space -Class Win32_EncryptableVolume)) {
    if ($volume) {
        $state = $volume.GetConversionStatus()
        Say 'bitlocker' ('{0},{1},{2}' -f $volume.DriveLetter, $state.ConversionStatus, $state.EncryptionPercentage)
    }
}
Say 'bitlocker.read' 1

# Disks with partitions of the logical disk manager are dynamic.
$parts = @(Get-WmiObject Win32_DiskPartition)
$boot = @($parts | Where-Object { $_.BootPartition } | ForEach-Object { $_.DiskIndex } | Select-Object -Unique)
$dynamic = @($parts | Where-Object { $_.Type -like '*Logical Disk Manager*' } | ForEach-Object { $_.DiskIndex } |
    Select-Object -Unique)
Say 'disk.boot' ($boot -join ',')
Say 'disk.dynamic' ($dynamic -join ',')

# How services start: 2 automatically, 3 on demand, 4 never.
$needed = 'BFE', 'Dhcp', 'Dnscache', 'IKEEXT', 'iphlpsvc', 'nsi', 'mpssvc', 'RemoteRegistry', 'Netlogon', 'Netman', 'TermService'
foreach ($name in $needed) {
    $start = Read-Value "HKLM:\SYSTEM\CurrentControlSet\Services\$name" 'Start'
    if ($start) { Say "service.$name" $start }
}

$drive = Get-WmiObject Win32_LogicalDisk -Filter "DeviceID='$env:SystemDrive'"
Say 'space' ('{0},{1}' -f $env:SystemDrive, $drive.FreeSpace)
Say 'end' 1
