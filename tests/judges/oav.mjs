// Microsoft's own validator judges recorded exchanges with the resource manager: `node oav.mjs SPECIFICATIONS PAIRS.ndjson RESULT.json`.
//
// Each line of the input is {"recording": …, "liveRequest": …, "liveResponse": …}, with the api-version already that of the
// specification at hand. What is known to differ stands in exceptions.json, as few general rules with their reasons; a rule
// that nothing needs any more is reported too, so that the list can't rot. The result is one JSON document.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const [, , specifications, pairsFile, resultFile] = process.argv;
if (!resultFile) {
  process.stderr.write("Usage: node oav.mjs SPECIFICATIONS PAIRS.ndjson RESULT.json\n");
  process.exit(2);
}
// The validator writes its own log below the home folder: it goes to a place of its own.
process.env.HOME = fs.mkdtempSync(path.join(os.tmpdir(), "rehost-oav-"));
const { LiveValidator } = await import("oav/dist/lib/liveValidation/liveValidator.js");

const exceptions = JSON.parse(fs.readFileSync(new URL("exceptions.json", import.meta.url), "utf8"));
const used = new Set();

// The first list is taken as relative to the folder, the second is not.
const all = ["specification/**/resource-manager/**/*.json"];
const none = [path.join(specifications, "**/examples/**/*")];
const validator = new LiveValidator(
  {
    directory: specifications,
    swaggerPathsPattern: all,
    excludedSwaggerPathsPattern: none,
    git: { shouldClone: false },
    isPathCaseSensitive: false,
    loadValidatorInInitialize: false,
  },
  // It reports files that hold only definitions, hundreds of them: nothing to act on.
  () => {},
);
await validator.initialize();

const pathOf = (address) => new URL(address, "https://management.invalid").pathname.toLowerCase();
const pairs = fs.readFileSync(pairsFile, "utf8").split("\n").filter(Boolean).map(JSON.parse);
/** Where answers have sent the client, by recording. */
const sent = new Set();
for (const { recording, liveResponse } of pairs) {
  for (const name of ["azure-asyncoperation", "location"]) {
    const address = liveResponse.headers[name];
    if (address) sent.add(`${recording} ${pathOf(address)}`);
  }
}

/** Tells whether an entry of exceptions.json covers a finding, and remembers that it was needed. */
const covered = (finding) => {
  const fits = (e, field) => !e[field] || new RegExp(e[field], field === "path" ? "i" : "").test(String(finding[field]));
  const index = exceptions.findIndex(
    (e) =>
      ["path", "method", "part", "status", "code", "at"].every((field) => fits(e, field)) &&
      (!e.followed || sent.has(`${finding.recording} ${finding.path.toLowerCase()}`)),
  );
  if (index >= 0) used.add(index);
  return index >= 0;
};

/** The outcome of exchanges that were judged already: lists are asked for again and again. */
const known = new Map();
const judge = async (pair) => {
  const { url, method, body } = pair.liveRequest;
  const { statusCode, body: answer } = pair.liveResponse;
  const key = JSON.stringify([method, url, body, statusCode, answer]);
  if (!known.has(key)) known.set(key, await validator.validateLiveRequestResponse(pair));
  return known.get(key);
};

const judged = { pairs: 0, requests: 0, responses: 0, operations: {}, excused: 0, findings: [], unusedExceptions: [] };
for (const pair of pairs) {
  const { method, url } = pair.liveRequest;
  const base = { recording: pair.recording, method, path: new URL(url).pathname, url, status: pair.liveResponse.statusCode };
  const report = (finding) => {
    if (covered(finding)) judged.excused += 1;
    else judged.findings.push(finding);
  };
  judged.pairs += 1;
  const result = await judge(pair);
  for (const [part, outcome] of [
    ["request", result.requestValidationResult],
    ["response", result.responseValidationResult],
  ]) {
    const failed = result.runtimeException ?? outcome.runtimeException;
    if (failed) {
      // Nothing was validated: one finding for the pair is enough.
      report({ ...base, part, code: failed.code, message: failed.message, at: "" });
      break;
    }
    judged[`${part}s`] += 1;
    const operation = outcome.operationInfo?.operationId ?? "?";
    judged.operations[operation] = (judged.operations[operation] ?? 0) + 1;
    for (const e of outcome.errors ?? []) {
      report({ ...base, part, operation, code: e.code, message: e.message, at: (e.pathsInPayload ?? []).join(" ") });
    }
  }
}
judged.unusedExceptions = exceptions.filter((_, i) => !used.has(i)).map((e) => `${e.code} ${e.path ?? ""}`);
fs.rmSync(process.env.HOME, { recursive: true, force: true });
fs.writeFileSync(resultFile, JSON.stringify(judged));
// The validator keeps timers of its own.
process.exit(0);
