param([string]$Does, [string]$Path, [string]$Key = '', [int]$Part = 0, [string]$Change = '')
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$utf8 = New-Object Text.UTF8Encoding $false

function Stop-For([string]$code, [string]$words) { throw (New-Object InvalidOperationException "refused=$code $words") }
function To-Base64([string]$text) { [Convert]::ToBase64String($utf8.GetBytes($text)) }
function From-Base64([string]$text) { $utf8.GetString([Convert]::FromBase64String($text)) }
function Get-Hash([byte[]]$bytes) {
    $sha = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    ([BitConverter]::ToString($sha.ComputeHash($bytes)) -replace '-', '').ToLowerInvariant()
}
function Get-FileHashOf([string]$file) { Get-Hash ([IO.File]::ReadAllBytes($file)) }
# A file is there whole or not at all.
function Write-Whole([string]$file, [byte[]]$bytes) {
    $stream = [IO.File]::Create($file)
    try { $stream.Write($bytes, 0, $bytes.Length); $stream.Flush($true) } finally { $stream.Dispose() }
}
function Set-Whole([string]$file, [byte[]]$bytes) {
    Write-Whole "$file.rehost-new" $bytes
    # Keeps owner, rights and attributes of the old file.
    [IO.File]::Replace("$file.rehost-new", $file, [NullString]::Value)
}
function Open-Xml([string]$file) {
    $xml = New-Object Xml.XmlDocument
    $xml.XmlResolver = $null
    $settings = New-Object Xml.XmlReaderSettings
    $settings.DtdProcessing = 'Prohibit'
    $settings.XmlResolver = $null
    $stream = [IO.File]::OpenRead($file)
    # What is no XML is sent as it is, and refused by Rehost with the line.
    try { $xml.Load([Xml.XmlReader]::Create($stream, $settings)); $xml } catch { $null } finally { $stream.Dispose() }
}
$sections = "//*[local-name()='connectionStrings' or local-name()='appSettings']"
# The configuration and the files that hold sections of it, each with its encrypted sections.
function Get-Files {
    if (-not (Test-Path -LiteralPath $Path -PathType Leaf)) { Stop-For 'missing' "$Path is not there." }
    $queue = New-Object Collections.Queue
    $queue.Enqueue([IO.Path]::GetFullPath($Path))
    $seen = @{}
    while ($queue.Count -gt 0) {
        $file = $queue.Dequeue()
        if ($seen.ContainsKey($file)) { continue }
        $seen[$file] = $true
        $encrypted = @{}
        $xml = Open-Xml $file
        if ($xml) {
            foreach ($node in $xml.SelectNodes($sections)) {
                $provider = $node.GetAttribute('configProtectionProvider')
                if ($provider) { $encrypted[$node.LocalName] = $provider }
                foreach ($name in 'configSource', 'file') {
                    $other = $node.GetAttribute($name)
                    if (-not $other) { continue }
                    $other = [IO.Path]::GetFullPath([IO.Path]::Combine([IO.Path]::GetDirectoryName([IO.Path]::GetFullPath($Path)), $other))
                    if (Test-Path -LiteralPath $other -PathType Leaf) { $queue.Enqueue($other) }
                }
            }
        }
        @{ Path = $file; At = $file; Encrypted = $encrypted }
    }
}
function Invoke-Regiis([string[]]$arguments) {
    & "$env:SystemRoot\Microsoft.NET\Framework64\v4.0.30319\aspnet_regiis.exe" @arguments | Out-Null
    if ($LASTEXITCODE -ne 0) { Stop-For 'encrypted' "aspnet_regiis.exe $($arguments[0]) $($arguments[1]) ended with $LASTEXITCODE." }
}
# Where sections are encrypted, all files are copied to where only administrators read, and decrypted there.
$temporary = [IO.Path]::Combine("$env:SystemRoot\Temp", 'rehost-' + [Guid]::NewGuid().ToString('N'))
function Open-Copy($files) {
    if (@($files | Where-Object { $_.Encrypted.Count -gt 0 }).Count -eq 0) { return }
    [void][IO.Directory]::CreateDirectory($temporary)
    & icacls.exe $temporary /inheritance:r /grant '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' | Out-Null
    if ($LASTEXITCODE -ne 0) { Stop-For 'encrypted' "icacls ended with $LASTEXITCODE." }
    $folder = [IO.Path]::GetDirectoryName($files[0].Path) + '\'
    $files[0].At = "$temporary\web.config"
    foreach ($file in @($files | Select-Object -Skip 1)) {
        if ($file.Path.StartsWith($folder, 'OrdinalIgnoreCase')) { $file.At = "$temporary\" + $file.Path.Substring($folder.Length) }
    }
    foreach ($file in @($files | Where-Object { $_.At -ne $_.Path })) {
        [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($file.At))
        [IO.File]::WriteAllBytes($file.At, [IO.File]::ReadAllBytes($file.Path))
    }
    foreach ($section in @($files | ForEach-Object { $_.Encrypted.Keys } | Select-Object -Unique)) { Invoke-Regiis '-pdf', $section, $temporary }
}

# What is read leaves the machine only compressed, encrypted (AES-256-CBC) and authenticated (HMAC-SHA-256), with a key that
# Rehost has made for this reading, in parts that Azure does not cut off.
function Send-Files($files) {
    $head = ''
    $body = New-Object IO.MemoryStream
    foreach ($file in $files) {
        $bytes = [IO.File]::ReadAllBytes($file.At)
        $names = @($file.Encrypted.Keys | Sort-Object) -join ','
        $head += "$(To-Base64 $file.Path) $(Get-FileHashOf $file.Path) $($bytes.Length) -$names`n"
        $body.Write($bytes, 0, $bytes.Length)
    }
    $head = $utf8.GetBytes("$head`n")
    $packed = New-Object IO.MemoryStream
    $deflate = New-Object IO.Compression.DeflateStream $packed, ([IO.Compression.CompressionMode]::Compress), $true
    $deflate.Write($head, 0, $head.Length)
    $body.WriteTo($deflate)
    $deflate.Dispose()
    $packed = $packed.ToArray()
    $size = 2800
    $parts = [int][Math]::Ceiling($packed.Length / $size)
    $from = $Part * $size
    $keys = [Convert]::FromBase64String($Key)
    $aes = New-Object Security.Cryptography.AesCryptoServiceProvider
    $aes.Key = [byte[]]$keys[0..31]
    $aes.GenerateIV()
    $cipher = $aes.CreateEncryptor().TransformFinalBlock($packed, $from, [Math]::Min($size, $packed.Length - $from))
    $mac = New-Object Security.Cryptography.HMACSHA256 (,[byte[]]$keys[32..63])
    $sealed = [byte[]]($aes.IV + $cipher)
    $tag = $mac.ComputeHash([byte[]]($utf8.GetBytes("$Part/$parts") + $sealed))
    "part=$Part/$parts $([Convert]::ToBase64String([byte[]]($sealed + $tag)))"
}

# Lines `file PATH BEFORE AFTER` with `edit AT LENGTH BYTES` behind each.
function Read-Change {
    $now = $null
    foreach ($line in (From-Base64 $Change).Split("`n")) {
        $words = $line.Split(' ')
        if ($words[0] -eq 'file') {
            if ($now) { $now }
            $now = @{ Path = From-Base64 $words[1]; Before = $words[2]; After = $words[3]; Edits = New-Object Collections.ArrayList }
        } elseif ($words[0] -eq 'edit') {
            [void]$now.Edits.Add(@{ At = [int]$words[1]; Length = [int]$words[2]; Bytes = [Convert]::FromBase64String($words[3]) })
        }
    }
    if ($now) { $now }
}
function Join-Edits([byte[]]$bytes, $edits) {
    $out = New-Object IO.MemoryStream
    $at = 0
    foreach ($edit in $edits) {
        $out.Write($bytes, $at, $edit.At - $at)
        $out.Write($edit.Bytes, 0, $edit.Bytes.Length)
        $at = $edit.At + $edit.Length
    }
    $out.Write($bytes, $at, $bytes.Length - $at)
    , $out.ToArray()
}
function Switch-Files($files) {
    $work = @()
    foreach ($change in @(Read-Change)) {
        $file = @($files | Where-Object { $_.Path -eq $change.Path })
        if ($file.Count -ne 1) { Stop-For 'changed' "$($change.Path) does not belong to the configuration any more." }
        $bytes = [IO.File]::ReadAllBytes($file[0].At)
        $hash = Get-Hash $bytes
        if ($hash -eq $change.After) { continue }
        if ($hash -ne $change.Before) { Stop-For 'changed' "$($change.Path) is not as it was read." }
        $new = Join-Edits $bytes $change.Edits
        if ((Get-Hash $new) -ne $change.After) { Stop-For 'changed' "$($change.Path) would not become what it should." }
        $work += @{ File = $file[0]; New = $new }
    }
    # Backups of all come before the first change.
    foreach ($one in $work) {
        $backup = "$($one.File.Path).rehost-backup"
        if (-not (Test-Path -LiteralPath $backup)) {
            Write-Whole "$backup-new" ([IO.File]::ReadAllBytes($one.File.Path))
            [IO.File]::Move("$backup-new", $backup)
        }
    }
    # In the copy all are changed first: sections in other files are encrypted through the main one.
    foreach ($one in $work) { if ($one.File.At -ne $one.File.Path) { Write-Whole $one.File.At $one.New } }
    $encrypted = @{}
    foreach ($file in $files) { foreach ($section in $file.Encrypted.Keys) { $encrypted[$section] = $file.Encrypted[$section] } }
    foreach ($section in $encrypted.Keys) { Invoke-Regiis '-pef', $section, $temporary, '-prov', $encrypted[$section] }
    foreach ($one in $work) {
        $bytes = $one.New
        if ($one.File.At -ne $one.File.Path) { $bytes = [IO.File]::ReadAllBytes($one.File.At) }
        Set-Whole $one.File.Path $bytes
        if ((Get-FileHashOf $one.File.Path) -ne (Get-Hash $bytes)) { Stop-For 'changed' "$($one.File.Path) was not written as it should be." }
    }
    foreach ($file in $files) {
        $backup = "$($file.Path).rehost-backup"
        if (Test-Path -LiteralPath $backup) { "file=$(To-Base64 $file.Path) $(Get-FileHashOf $backup) $(Get-FileHashOf $file.Path)" }
    }
    'switched=ok'
}

# Lines `PATH BACKUP NOW`: the backup's hash, and that of the file as Rehost left it.
function Restore-Files {
    foreach ($line in @((From-Base64 $Change).Split("`n") | Where-Object { $_ })) {
        $words = $line.Split(' ')
        $file = From-Base64 $words[0]
        $backup = "$file.rehost-backup"
        $hash = Get-FileHashOf $file
        if ($hash -ne $words[1]) {
            if ($words[2] -ne '-' -and $hash -ne $words[2]) { Stop-For 'changed' "$file was changed after the switch." }
            if (-not (Test-Path -LiteralPath $backup)) { Stop-For 'missing' "$backup is not there." }
            $bytes = [IO.File]::ReadAllBytes($backup)
            if ((Get-Hash $bytes) -ne $words[1]) { Stop-For 'changed' "$backup is not the file that was there before." }
            Set-Whole $file $bytes
            if ((Get-FileHashOf $file) -ne $words[1]) { Stop-For 'changed' "$file was not written as it should be." }
        }
        if (Test-Path -LiteralPath $backup) { [IO.File]::Delete($backup) }
    }
    & iisreset.exe /RESTART | Out-Null
    if ($LASTEXITCODE -ne 0) { Stop-For 'iis' "The files are as before, but IISRESET ended with $LASTEXITCODE." }
    'restored=ok'
}

$code = 0
try {
    if ($Does -eq 'restore') { Restore-Files } else {
        $files = @(Get-Files)
        Open-Copy $files
        if ($Does -eq 'switch') { Switch-Files $files } else { Send-Files $files }
    }
} catch {
    $code = 1
    # Other errors may quote what stands in the file.
    $why = $_.Exception
    while ($why.InnerException) { $why = $why.InnerException }
    if ($why.Message.StartsWith('refused=')) { $why.Message }
    elseif ($why -is [IO.IOException] -or $why -is [UnauthorizedAccessException]) { "refused=file $($why.Message)" }
    else { "refused=other $($why.GetType().FullName), line $($_.InvocationInfo.ScriptLineNumber)" }
} finally {
    if (Test-Path -LiteralPath $temporary) { Remove-Item -LiteralPath $temporary -Recurse -Force }
}
exit $code
