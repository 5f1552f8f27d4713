// Zod schemas, generated from the served documents: they compile under the strictness of tsconfig.json, and take what the
// server takes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { schemas as directory } from "../generated/zod/directory.js";
import { schemas as testinium } from "../generated/zod/testinium.js";
import { schemas as worth } from "../generated/zod/worth.js";
import { createUser, directory as directoryAPI, manager, sandbox, testinium as testiniumAPI, worth as worthAPI } from "./server.js";

const update = {
  name: "Mary",
  surname: "Jackson",
  username: "mary",
  email: "mary.jackson@example.com",
  enabled: true,
  accountNonExpired: true,
  accountNonLocked: true,
  credentialNonExpired: true,
  authorities: [{ name: "ROLE_USER" }],
};

const user = {
  first_name: "Mary",
  last_name: "Jackson",
  email: "mary.jackson@example.com",
  mobile: "+1 757 555 0100",
  subrole: { id: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", code: "risk_analyst", label: "Risk Analyst" },
};

// What is one body's e-mail, and what the server says of it.
const emails = {
  "Worth's update": (email: string) => worth.updateCustomerUser_Body.safeParse({ email }).success,
  "Worth's creation": (email: string) => worth.NewUser.safeParse({ ...user, email }).success,
  "Testinium's update": (email: string) => testinium.UserUpdate.safeParse({ ...update, email }).success,
};

for (const [body, takes] of Object.entries(emails)) {
  test(`${body} takes e-mails as the server does`, () => {
    for (const email of ["mary.jackson@example.com", "übung@exämple.de"]) {
      assert.ok(takes(email), email);
    }
    for (const email of ["mary", "mary@", "mary jackson@example.com", "mary\u2028@example.com", "mary@exam\u2029ple.com"]) {
      assert.ok(!takes(email), JSON.stringify(email));
    }
  });
}

test("Testinium's update takes usernames as the server does", () => {
  const takes = (username: string) => testinium.UserUpdate.safeParse({ ...update, username }).success;
  for (const username of ["mary", "übung", "u2028"]) {
    assert.ok(takes(username), username);
  }
  for (const username of ["", "ma ry", "ma\u2028ry", "ma\u2029ry", "ma\u3000ry"]) {
    assert.ok(!takes(username), JSON.stringify(username));
  }
});

test("the schemas take what the server answers", async () => {
  const { uuid, email } = await createUser();
  const read = await worthAPI(manager).GET("/customers/{customerID}/users/{userID}", {
    params: { path: { customerID: sandbox.uuid, userID: uuid } },
  });
  worth.UserDetails.parse(read.data?.data);

  const list = await testiniumAPI(manager).GET("/customers/{id}/users", {
    params: { path: { id: sandbox.id }, header: sandbox.company },
  });
  const listed = list.data?.find((u) => u.email === email);
  testinium.User.parse(listed);
  testinium.UserUpdate.parse(listed); // a PUT takes what a GET showed

  const refused = await testiniumAPI(undefined).GET("/customers/{id}/users", {
    params: { path: { id: sandbox.id }, header: sandbox.company },
  });
  testinium.Error.parse(refused.error);

  const problem = await directoryAPI(undefined).GET("/changes", {});
  directory.Problem.parse(problem.error);
});
