// Plants faults in copies of the documents, and sees that the linter finds each of them. `npm run lint` says that the
// documents themselves have none.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
    [join(here, "node_modules/@redocly/cli/bin/cli.js"), "lint", name, "--format=json", "--max-problems=1000"],
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

test("no rule is off without a reason above it", () => {
  const lines = readFileSync(join(here, "redocly.yaml"), "utf8").split("\n");
  const off = /^\s+[\w/-]+: off$/;
  const withoutReason = lines.filter((line, i) => {
    let above = i - 1;
    while (off.test(lines[above])) above--;
    return off.test(line) && !/^\s+# /.test(lines[above]);
  });
  assert.deepEqual(withoutReason, []);
  assert.ok(lines.some((line) => off.test(line)));
});
