// Plants faults in copies of the documents, and sees that the linters find each of them. `npm run lint` says that the
// documents themselves have none.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const here = import.meta.dirname;
const put = (document) => document.paths["/customers/{id}/users/{userId}"].put;

// For each document, which rule must find what.
const faults = {
  worth: {
    "operation-operationId": (d) => delete d.paths["/customers/{customerID}/users"].post.operationId,
    "operation-tag-defined": (d) => delete d.tags,
    "no-unused-components": (d) => (d.components.schemas.Nobody = { type: "string", description: "Nobody's." }),
    "no-invalid-media-type-examples": (d) =>
      (d.components.responses.UserNotFound.content["application/json"].example.data = 1),
  },
  testinium: {
    "operation-operationId-unique": (d) => (put(d).operationId = "getUser"),
    "path-parameters-defined": (d) => put(d).parameters.shift(),
    "no-unresolved-refs": (d) => (put(d).responses[400] = { $ref: "#/components/responses/Nowhere" }),
    "security-defined": (d) => (put(d).security = [{ nobody: [] }]),
    "no-required-schema-properties-undefined": (d) => d.components.schemas.User.required.push("nickname"),
    "rule/refusals-are-documented": (d) => delete put(d).responses[503],
    "rule/answers-have-a-request-id": (d) => delete put(d).responses[200].headers["X-Request-Id"],
    "rule/answers-have-headers": (d) => delete d.components.responses.NotFound.headers,
  },
  scim: {
    "response-mime-type": (d) =>
      (d.paths["/{customerID}/Users"].get.responses[200].content = { "application/json": {} }),
    "nullable-type-sibling": (d) => (d.components.schemas.NewUser.properties.active.nullable = true),
  },
  directory: {
    "operation-4xx-problem-details-rfc7807": (d) => delete d.components.schemas.Problem.properties.title,
    "response-mime-type": (d) => (d.paths["/changes"].get.responses[200].content = { "text/csv": {} }),
    struct: (d) => (d.paths["/changes"].get.parameters[0].in = "nowhere"),
  },
};

/** The rules that a document breaks in a copy of the checkout. */
async function lint(checkout, name) {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(here, "node_modules/@redocly/cli/bin/cli.js"), "lint", name === "directory" ? name : `../../gen/documents/${name}.yaml`, "--format=json", "--max-problems=1000"],
    { cwd: join(checkout, ".ci/redocly") },
  ).catch((failed) => failed);
  return JSON.parse(stdout).problems.map(({ ruleId }) => ruleId);
}

for (const [name, plants] of Object.entries(faults)) {
  test(`each fault in ${name} is found`, async (t) => {
    const checkout = mkdtempSync(join(tmpdir(), "dragoman-redocly."));
    t.after(() => rmSync(checkout, { recursive: true }));
    mkdirSync(join(checkout, ".ci/redocly"), { recursive: true });
    mkdirSync(join(checkout, "gen/documents"), { recursive: true });
    copyFileSync(join(here, "redocly.yaml"), join(checkout, ".ci/redocly/redocly.yaml"));
    const document = JSON.parse(readFileSync(join(here, "../../gen/documents", `${name}.json`), "utf8"));
    for (const plant of Object.values(plants)) plant(document);
    writeFileSync(join(checkout, "gen/documents", `${name}.yaml`), JSON.stringify(document)); // JSON is YAML

    const found = await lint(checkout, name);
    assert.deepEqual(Object.keys(plants).filter((rule) => !found.includes(rule)), [], `found: ${found.join(", ")}`);
  });
}

// What Spectral must find.
const spectral = {
  "info-contact": (d) => delete d.info.contact,
  "path-keys-no-trailing-slash": (d) => (d.paths["/slashed/"] = Object.values(d.paths)[0]),
  "operation-operationId-unique": (d) => (d.paths["/twice"] = Object.values(d.paths)[0]),
  "oas3-unused-component": (d) => (d.components.schemas.Nobody = { type: "string" }),
  "oas3-valid-schema-example": (d) => (d.components.schemas.Wrong = { type: "string", example: 1 }),
};

test("Spectral finds each fault, and warnings fail", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "dragoman-spectral."));
  t.after(() => rmSync(folder, { recursive: true }));
  const document = JSON.parse(readFileSync(join(here, "../../gen/documents/directory.json"), "utf8"));
  for (const plant of Object.values(spectral)) plant(document);
  const planted = join(folder, "directory.json");
  writeFileSync(planted, JSON.stringify(document));

  const { stdout, code } = await promisify(execFile)(
    process.execPath,
    [
      join(here, "node_modules/@stoplight/spectral-cli/dist/index.js"),
      ...["lint", planted, "--ruleset", join(here, "spectral.yaml"), "--fail-severity=warn", "--format=json", "--quiet"],
    ],
    { maxBuffer: 1 << 24 },
  ).catch((failed) => failed);
  const found = JSON.parse(stdout).map(({ code }) => code);
  assert.equal(code, 1);
  assert.deepEqual(Object.keys(spectral).filter((rule) => !found.includes(rule)), [], `found: ${found.join(", ")}`);
});

test("no rule is switched off but for SCIM, whose standard demands it", () => {
  const exceptions = {
    "redocly.yaml": ["paths-kebab-case: off", "operation-2xx-response: off"],
    "spectral.yaml": ["overrides:", "operation-success-response: off", "no-$ref-siblings: off"],
  };
  for (const [name, expected] of Object.entries(exceptions)) {
    const text = readFileSync(join(here, name), "utf8");
    const rules = text.split("\n").filter((line) => !line.startsWith("telemetry:"));
    const off = rules.filter((line) => /: ["']?(off|false)\b|exceptions:|overrides:/.test(line)).map((line) => line.trim());
    assert.deepEqual(off, expected, name);
  }
  const [, ofScim] = readFileSync(join(here, "redocly.yaml"), "utf8").split("\n  scim:\n");
  assert.equal(ofScim.match(/: off/g).length, 2);
  const places = readFileSync(join(here, "spectral.yaml"), "utf8").split("\n").filter((line) => /^ +- '/.test(line));
  assert.equal(places.length, 4);
  assert.ok(places.every((line) => line.includes("/scim.yaml#/")));
  for (const name of [".redocly.lint-ignore.yaml", "../../.redocly.lint-ignore.yaml"]) {
    assert.ok(!existsSync(join(here, name)), `${name} has exceptions`);
  }
});
