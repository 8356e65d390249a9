// A SQL Server in place of one, see fixture.ts. In the address: &sql=read (it was read before), &sql=refused (it can't be).
import type { Finding } from "./gen/Finding";
import type { SqlDatabase } from "./gen/SqlDatabase";
import type { SqlInstance } from "./gen/SqlInstance";
import type { SqlMessage } from "./gen/SqlMessage";
import type { SqlView } from "./gen/SqlView";
import type { Commands } from "./types";

const mode = new URLSearchParams(location.search).get("sql");
const GIB = 1024 ** 3;

const database = (id: number, name: string, gib: number, more: Partial<SqlDatabase> = {}): SqlDatabase => ({
  id,
  name,
  state: "ONLINE",
  recovery: "FULL",
  compatibility: 130,
  collation: "SQL_Latin1_General_CP1_CI_AS",
  owner: "sa",
  readOnly: false,
  dataBytes: gib * GIB,
  logBytes: (gib * GIB) / 8,
  encrypted: false,
  certificate: null,
  contained: false,
  backups: {
    known: true,
    full: {
      kind: "full",
      finished: "2026-11-21T01:12:00",
      first: "1",
      last: "2",
      checksum: true,
      damaged: false,
      bytes: gib * GIB,
    },
    after: [
      {
        kind: "log",
        finished: "2026-11-21T18:45:00",
        first: "2",
        last: "3",
        checksum: true,
        damaged: false,
        bytes: GIB,
      },
    ],
  },
  details: {
    users: [{ name: "smarthotel", kind: "SQL_USER", sid: "01", login: "smarthotel", ownPassword: false }],
    memoryOptimised: false,
    filestream: false,
    uses: [],
  },
  ...more,
});

const instance: SqlInstance = {
  name: "SQLVM",
  version: "13.0.6300.2",
  edition: "Standard Edition (64-bit)",
  engineEdition: 2,
  collation: "SQL_Latin1_General_CP1_CI_AS",
  login: "svc-rehost",
  sysadmin: true,
  settings: [],
  logins: ["svc-rehost", "smarthotel", "CONTOSO\\svc-backup"].map((name) => ({
    name,
    kind: name.includes("\\") ? "WINDOWS_LOGIN" : "SQL_LOGIN",
    sid: name,
    disabled: false,
    defaultDatabase: "master",
  })),
  jobs: [{ name: "Nightly full backup", enabled: true, subsystems: ["TSQL"], databases: ["master"] }],
  linkedServers: [{ name: "ERP", product: "SQL Server", source: "ERPSQL" }],
  credentials: [],
  certificates: [],
  databases: [
    ...["master", "tempdb", "model", "msdb"].map((name, i) => database(i + 1, name, 0.01, { recovery: "SIMPLE" })),
    database(5, "SmartHotelDB", 42),
    database(6, "SmartHotelReports", 11, { recovery: "SIMPLE", backups: { known: true, full: null, after: [] } }),
    database(7, "Archive_2019 (do not delete)", 310, { compatibility: 100, state: "ONLINE", readOnly: true }),
    database(8, "Registration", 3, { recovery: "BULK_LOGGED", encrypted: true, certificate: "A1" }),
  ],
  unread: [
    { what: "sys.databases.containment", database: "", reason: "version", detail: "" },
    { what: "msdb.dbo.sysjobs", database: "", reason: "denied", detail: "The SELECT permission was denied." },
  ],
};

const finding = (
  rule: string,
  severity: Finding["severity"],
  title: string,
  detail: string,
  command: string,
): Finding => ({
  rule,
  severity,
  about: "SQLVM",
  title,
  detail,
  who: "database administrator of the source",
  command,
  source: "learn.microsoft.com: Migrate databases with Log Replay Service (2026-11)",
});

const view: SqlView = {
  readAt: "2026-11-21T18:58:00Z",
  instance,
  databases: [
    {
      database: "SmartHotelDB",
      findings: [
        finding(
          "sql-windows-logins",
          "warning",
          "Windows accounts can't sign in to the managed instance as they are",
          "CONTOSO\\svc-backup. Applications that sign in as these fail after the move.",
          "CREATE LOGIN [svc-backup@contoso.com] FROM EXTERNAL PROVIDER",
        ),
        finding("sql-jobs", "information", "Agent jobs are not moved by the service", "Nightly full backup.", ""),
      ],
    },
    {
      database: "SmartHotelReports",
      findings: [
        finding(
          "sql-recovery",
          "blocking",
          "SmartHotelReports is not in the FULL recovery model",
          "Its log can't be backed up, so nothing that is written after the full backup arrives.",
          "ALTER DATABASE [SmartHotelReports] SET RECOVERY FULL; then take a full backup",
        ),
      ],
    },
    { database: "Archive_2019 (do not delete)", findings: [] },
    {
      database: "Registration",
      findings: [
        finding(
          "sql-tde",
          "blocking",
          "The certificate that encrypts Registration is not on the managed instance",
          "Without it the first restore fails, after the upload.",
          "BACKUP CERTIFICATE [TDE] TO FILE = N'D:\\TDE.cer' WITH PRIVATE KEY (FILE = N'D:\\TDE.pvk', ENCRYPTION BY PASSWORD = N'…')",
        ),
      ],
    },
  ],
};

let known: SqlView | null = mode === "read" ? view : null;

export const sqlHandlers: Pick<{ [C in keyof Commands]: (args: Commands[C][0]) => Commands[C][1] }, "sql_get"> = {
  sql_get: () => known,
};

/** Plays a reading: instance, each database, the end. */
export function readSql(send: (message: SqlMessage) => void): () => void {
  let looked = 0;
  const steps: SqlMessage[] =
    mode === "refused"
      ? [
          {
            type: "failed",
            error: {
              code: "signIn",
              title: "SQL Server refused the login",
              detail: "Login failed for user 'svc-rehost' (error 18456, state 8).",
              hint: "The password is wrong. Enter it in Connections, and test it there.",
              address: null,
              retryable: true,
              correlationId: null,
            },
          },
        ]
      : [
          { type: "instance", instance },
          ...view.databases.map((): SqlMessage => ({ type: "looked", databases: (looked += 1) })),
          { type: "done", view, millis: 740 },
        ];
  const timer = setInterval(() => {
    const next = steps.shift();
    if (!next) return clearInterval(timer);
    if (next.type === "done") known = next.view;
    send(next);
  }, 150);
  return () => clearInterval(timer);
}
