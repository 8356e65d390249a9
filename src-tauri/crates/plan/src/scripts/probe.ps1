param([string]$Path, [string]$Name = '', [string]$Server, [string]$Text = '')
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$tcp = New-Object Net.Sockets.TcpClient
try {
    $wait = $tcp.BeginConnect($Server, 1433, $null, $null)
    if (-not $wait.AsyncWaitHandle.WaitOne(15000)) { 'tcp=no answer within 15 s' }
    else { $tcp.EndConnect($wait); 'tcp=ok' }
} catch { "tcp=$($_.Exception.GetBaseException().Message)" } finally { $tcp.Close() }

# .NET itself reads the file, with other files and encrypted sections.
function Find-Connection {
    $map = New-Object Configuration.ExeConfigurationFileMap
    $map.ExeConfigFilename = $Path
    $config = [Configuration.ConfigurationManager]::OpenMappedExeConfiguration($map, [Configuration.ConfigurationUserLevel]::None)
    $all = @($config.ConnectionStrings.ConnectionStrings | ForEach-Object { @{ Name = $_.Name; Value = $_.ConnectionString } })
    $all += @($config.AppSettings.Settings | ForEach-Object { @{ Name = $_.Key; Value = $_.Value } })
    $found = @($all | Where-Object { $_.Value -like "*$Server*" -and (-not $Name -or $_.Name -eq $Name) })
    if ($found.Count -eq 0) { return $null }
    $value = $found[0].Value
    $parts = New-Object Data.Common.DbConnectionStringBuilder
    $parts.set_ConnectionString($value)
    # Entity Framework keeps the real one inside.
    if ($parts.ContainsKey('provider connection string')) { $value = [string]$parts['provider connection string'] }
    $value
}
try {
    Add-Type -AssemblyName System.Configuration, System.Data
    $value = Find-Connection
    if (-not $value) { 'sql=no connection string leads to the managed instance' } else {
        $kind = 'Data.SqlClient.SqlConnection'
        if ($value -match '(^|;)\s*provider\s*=') { $kind = 'Data.OleDb.OleDbConnection' }
        if ($value -match '(^|;)\s*(driver|dsn)\s*=') { $kind = 'Data.Odbc.OdbcConnection' }
        $connection = New-Object $kind $value
        try {
            $connection.Open()
            $command = $connection.CreateCommand()
            $command.CommandText = 'SELECT COUNT(*) FROM sys.tables'
            if ([int]$command.ExecuteScalar() -gt 0) { 'sql=ok' } else { 'sql=the database has no tables' }
        } finally { $connection.Dispose() }
    }
} catch {
    # What the server says names no password; what the parser says may.
    $why = $_.Exception.GetBaseException()
    if ($why -is [Data.Common.DbException]) { "sql=$($why.Message)" } else { "sql=$($why.GetType().FullName)" }
}

$status = 0
$page = ''
try {
    $answer = [Net.HttpWebRequest]::Create('http://localhost/').GetResponse()
    $status = [int]$answer.StatusCode
    $page = (New-Object IO.StreamReader $answer.GetResponseStream()).ReadToEnd()
} catch {
    $why = $_.Exception.GetBaseException()
    if ($why -is [Net.WebException] -and $why.Response) { $status = [int]$why.Response.StatusCode }
}
"http=$status"
if (-not $Text -or $page.IndexOf($Text, [StringComparison]::OrdinalIgnoreCase) -ge 0) { 'text=ok' } else { 'text=not found' }
