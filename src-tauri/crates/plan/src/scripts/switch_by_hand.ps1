Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Add-Type -AssemblyName System.Data

function Get-First($parts, [string[]]$keys) {
    foreach ($key in $keys) { if ($parts.ContainsKey($key)) { return [string]$parts[$key] } }
    ''
}
function Read-Parts([string]$value) {
    $parts = New-Object Data.Common.DbConnectionStringBuilder
    $parts.set_ConnectionString($value)
    , $parts
}
$serverKeys = @('data source', 'server', 'addr', 'address', 'network address')
$databaseKeys = @('initial catalog', 'database')
# Only the source's own names: another instance of the same machine stays.
function Test-Source([string]$server) {
    $plain = ($server.Trim() -replace '^(tcp|np|lpc|admin):', '' -split ',')[0].Trim()
    foreach ($source in $sources) {
        if ($plain -eq $source) { return $true }
        if ($plain -notmatch '^[\d.]+$' -and $plain -notmatch '\\' -and $plain.Split('.')[0] -eq $source) { return $true }
    }
    $false
}
# The new string; nothing when it leads elsewhere.
function Convert-String([string]$value) {
    try { $parts = Read-Parts $value } catch { return }
    # Entity Framework keeps the real one inside.
    if ($parts.ContainsKey('provider connection string')) {
        $inner = Convert-String ([string]$parts['provider connection string'])
        if (-not $inner) { return }
        $parts['provider connection string'] = $inner
        return $parts.get_ConnectionString()
    }
    $database = Get-First $parts $databaseKeys
    if (-not $databases.ContainsKey($database) -or -not (Test-Source (Get-First $parts $serverKeys))) { return }
    $to = Read-Parts $databases[$database].Trim()
    $old = $serverKeys + $databaseKeys + @('user id', 'uid', 'user', 'password', 'pwd', 'integrated security', 'trusted_connection', 'failover partner', 'encrypt', 'trustservercertificate', 'trust server certificate')
    foreach ($key in $old) { [void]$parts.Remove($key) }
    foreach ($key in @('Server', 'Initial Catalog', 'User ID', 'Password', 'Encrypt', 'TrustServerCertificate')) { $parts[$key] = $to[$key] }
    $parts.get_ConnectionString()
}

$files = @([IO.Path]::GetFullPath($path))
$plan = @()
$names = @()
for ($at = 0; $at -lt $files.Count; $at++) {
    $file = $files[$at]
    $reader = New-Object IO.StreamReader $file, (New-Object Text.UTF8Encoding $false, $true), $true
    try { $text = $reader.ReadToEnd(); $encoding = $reader.CurrentEncoding } finally { $reader.Dispose() }
    if ($text -match '^<\?xml[^>]*encoding=["'']([^"'']+)' -and $Matches[1] -notmatch '^utf-(8|16)$') {
        throw "$file is written in $($Matches[1]). Save it as UTF-8, and change its declaration; then run this again."
    }
    if ($text -match '<(connectionStrings|appSettings)[^>]*configProtectionProvider') {
        throw "$file is encrypted. Decrypt it with aspnet_regiis.exe -pdf connectionStrings FOLDER, run this again, and encrypt it with -pef."
    }
    $comments = @([regex]::Matches($text, '(?s)<!--.*?-->'))
    foreach ($other in [regex]::Matches($text, '<connectionStrings[^>]*configSource\s*=\s*["'']([^"'']+)')) {
        $files += [IO.Path]::GetFullPath((Join-Path ([IO.Path]::GetDirectoryName($file)) $other.Groups[1].Value))
    }
    $edits = @()
    foreach ($entry in [regex]::Matches($text, '<add\b[^>]*?\bconnectionString\s*=\s*("[^"]*"|''[^'']*'')[^>]*>')) {
        if (@($comments | Where-Object { $_.Index -le $entry.Index -and $entry.Index -lt $_.Index + $_.Length }).Count) { continue }
        $raw = $entry.Groups[1]
        $new = Convert-String ([Net.WebUtility]::HtmlDecode($raw.Value.Substring(1, $raw.Length - 2)))
        if (-not $new) { continue }
        $name = if ($entry.Value -match '\bname\s*=\s*["'']([^"'']*)') { $Matches[1] } else { '?' }
        $names += $name
        $edits += , @($raw.Index, $raw.Length, ('"' + [Security.SecurityElement]::Escape($new) + '"'))
        "${file}: $name leads to $(Get-First (Read-Parts $new) @('server')) from now on."
    }
    if ($edits.Count) { $plan += , @($file, $text, $encoding, $edits) }
}
if ($names.Count -eq 0) { throw "No connection string in $path leads to the source database." }
if ($required -and $names -notcontains $required) { throw "No connection string $required in $path leads to the source database." }
if ((Read-Host 'Type yes to write') -ne 'yes') { throw 'Nothing was changed.' }
foreach ($one in $plan) {
    $file, $text, $encoding, $edits = $one
    Copy-Item -LiteralPath $file -Destination "$file.rehost-$(Get-Date -Format yyyyMMddHHmmss).config"
    for ($n = $edits.Count - 1; $n -ge 0; $n--) {
        $from, $length, $value = $edits[$n]
        $text = $text.Remove($from, $length).Insert($from, $value)
    }
    [IO.File]::WriteAllText($file, $text, $encoding)
}
iisreset.exe /restart
'switched=ok'
