import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { components } from "../generated/testinium.js";
import { createUser, directory, elsewhere, fields, manager, reader, sandbox, testinium, worth } from "./server.js";

type User = components["schemas"]["User"];

const users = { path: { id: sandbox.id }, header: sandbox.company };
const user = (userId: number) => ({ path: { id: sandbox.id, userId }, header: sandbox.company });

/** A user whom nobody else changes, as the list shows them. */
async function freshUser(): Promise<{ uuid: string; listed: User }> {
  const { uuid, email } = await createUser();
  const { data } = await testinium(manager).GET("/customers/{id}/users", { params: users });
  const listed = data?.find((u) => u.email === email);
  assert.ok(listed, "who was created through Worth is not in Testinium's list");
  return { uuid, listed };
}

test("get, change one member, put: only that changed", async () => {
  const { uuid, listed } = await freshUser();
  const api = testinium(manager);
  const { data: read } = await api.GET("/customers/{id}/users/{userId}", { params: user(listed.entityId) });
  assert.ok(read);
  // What a GET showed has the type that a PUT takes.
  const { data: put, response } = await api.PUT("/customers/{id}/users/{userId}", {
    params: user(listed.entityId),
    body: { ...read, surname: "Winston Jackson" },
  });
  assert.deepEqual(put, { ...read, surname: "Winston Jackson" });
  assert.equal(response.headers.get("Dragoman-Changed"), "surname");
  assert.equal(response.headers.get("Dragoman-Ignored"), null);

  // The PUT has no word for the mobile number.
  const { data } = await worth(manager).GET("/customers/{customerID}/users/{userID}", {
    params: { path: { customerID: sandbox.uuid, userID: uuid } },
  });
  assert.equal(data?.data.mobile, "+1 757 555 0100");
  assert.equal(data?.data.last_name, "Winston Jackson");
});

test("a PUT under If-Match is written once", async () => {
  const { listed } = await freshUser();
  const api = testinium(manager);
  const update = (name: string) =>
    api.PUT("/customers/{id}/users/{userId}", {
      params: { path: { id: sandbox.id, userId: listed.entityId }, header: { ...sandbox.company, "If-Match": '"1"' } },
      body: { ...listed, name },
    });
  const first = await update("Mary W.");
  assert.equal(first.response.status, 200);
  assert.equal(first.response.headers.get("ETag"), '"2"');
  const second = await update("Mary");
  assert.equal(second.response.status, 412);
  assert.equal(second.error?.message, "PRECONDITION_FAILED");
});

test("a PUT is told all that is wrong with it", async () => {
  const { listed } = await freshUser();
  const { error, response } = await testinium(manager).PUT("/customers/{id}/users/{userId}", {
    params: user(listed.entityId),
    body: { ...listed, email: "mary", authorities: [{ name: "ROLE_USER" }, { name: "ROLE_PILOT" }] },
  });
  assert.equal(response.status, 400);
  assert.equal(error?.message, "INVALID_REQUEST");
  assert.deepEqual(fields(error), ["authorities.1.name", "email"]);
});

test("all nine members of a PUT are required, for the compiler and for the server", async () => {
  const { listed } = await freshUser();
  const { username: _, ...rest } = listed;
  const { error, response } = await testinium(manager).PUT("/customers/{id}/users/{userId}", {
    params: user(listed.entityId),
    // @ts-expect-error the username is required
    body: rest,
  });
  assert.equal(response.status, 400);
  assert.deepEqual(fields(error), ["username"]);
});

test("who may not, is told so: 400 without a company, 401, 403, 404", async () => {
  const { listed } = await freshUser();
  const update = (token: string | undefined, params: ReturnType<typeof user>) =>
    testinium(token).PUT("/customers/{id}/users/{userId}", { params, body: { ...listed, entityId: null } });

  const anonymous = await update(undefined, user(listed.entityId));
  assert.equal(anonymous.response.status, 401);
  assert.equal(anonymous.error?.message, "UNAUTHORIZED");
  for (const token of [reader, elsewhere]) {
    const { error, response } = await update(token, user(listed.entityId));
    assert.equal(response.status, 403);
    assert.equal(error?.message, "ACCESS_DENIED");
  }
  const nobody = await update(manager, user(1));
  assert.equal(nobody.response.status, 404);
  assert.equal(nobody.error?.message, "USER_NOT_FOUND");

  const { error, response } = await testinium(manager).GET("/customers/{id}/users/{userId}", {
    // @ts-expect-error the header is required
    params: { path: { id: sandbox.id, userId: listed.entityId } },
  });
  assert.equal(response.status, 400);
  assert.deepEqual(fields(error), ["current-company-id"]);
});

test("the history tells who changed what, with the versions of the entity tags", async () => {
  const { listed } = await freshUser();
  const put = await testinium(manager).PUT("/customers/{id}/users/{userId}", {
    params: user(listed.entityId),
    body: { ...listed, surname: "Winston", enabled: true },
  });
  assert.equal(put.response.status, 200);

  const { data } = await directory(manager).GET("/customers/{id}/users/{userId}/history", {
    params: { path: { id: sandbox.id, userId: listed.entityId } },
  });
  assert.equal(data?.changes.length, 2);
  const change = data.changes[1];
  assert.ok(change);
  assert.equal(put.response.headers.get("ETag"), `"${change.version}"`);
  assert.equal(change.user, listed.entityId);
  assert.equal(change.dialect, "testinium");
  assert.equal(change.operation, "updateUser");
  assert.deepEqual(change.fields, [
    { field: "LastName", old: "Jackson", new: "Winston" },
    { field: "Status", old: "INVITED", new: "ACTIVE" },
  ]);

  const rest = await directory(manager).GET("/customers/{id}/users/{userId}/history", {
    params: { path: { id: sandbox.id, userId: listed.entityId }, query: { after: change.version, limit: 1 } },
  });
  assert.deepEqual(rest.data, { changes: [], next: change.version });

  const refused = await directory(reader).GET("/customers/{id}/users/{userId}/history", {
    params: { path: { id: sandbox.id, userId: listed.entityId } },
  });
  assert.equal(refused.response.status, 403);
  assert.equal(refused.error?.title, "Forbidden");

  // A change is in the feed once it has its number, within a second or so.
  let after = 0;
  let found = false;
  for (let tries = 0; !found && tries < 100; tries++) {
    const feed = await directory(manager).GET("/changes", { params: { query: { after } } });
    assert.ok(feed.data);
    found = feed.data.changes.some(({ user, version }) => user === listed.entityId && version === change.version);
    if (feed.data.changes.length === 0) await setTimeout(100);
    after = feed.data.next;
  }
  assert.ok(found);
});

// The highest id that an import may bring along, 2^52. `run` imports who has it, and sees one more refused.
const edge = 2 ** 52;

test("the highest id goes through and comes back", async () => {
  const api = testinium(manager);
  const { data: read } = await api.GET("/customers/{id}/users/{userId}", { params: user(edge) });
  assert.equal(read?.entityId, edge);
  const put = await api.PUT("/customers/{id}/users/{userId}", { params: user(edge), body: { ...read, surname: "Put" } });
  assert.equal(put.data?.entityId, edge);
  assert.equal(put.data.surname, "Put");
  const { data: list } = await api.GET("/customers/{id}/users", { params: users });
  assert.equal(list?.filter(({ entityId }) => entityId === edge).length, 1);
  const { data: history } = await directory(manager).GET("/customers/{id}/users/{userId}/history", {
    params: { path: { id: sandbox.id, userId: edge } },
  });
  assert.ok(history && history.changes.length >= 2);
  assert.ok(history.changes.every((change) => change.user === edge));
});

test("whoever is created next has an id that JavaScript keeps", async () => {
  const { listed } = await freshUser();
  assert.ok(listed.entityId > edge);
  assert.ok(Number.isSafeInteger(listed.entityId));
});

test("an id beyond is nobody's, and one beyond a Long is none", async () => {
  const api = testinium(manager);
  for (const userId of [Number.MAX_SAFE_INTEGER, 2 ** 53]) {
    const { error, response } = await api.GET("/customers/{id}/users/{userId}", { params: user(userId) });
    assert.equal(response.status, 404);
    assert.equal(error?.path, `/account/api/v1/customers/3393/users/${userId}`);
  }
  for (const userId of [2 ** 63, -(2 ** 64), 1.5]) {
    const { error, response } = await api.GET("/customers/{id}/users/{userId}", { params: user(userId) });
    assert.equal(response.status, 400);
    assert.deepEqual(fields(error), ["userId"]);
  }
  const { listed } = await freshUser();
  for (const entityId of [listed.entityId + 1, 2 ** 53, 2 ** 63]) {
    const { error, response } = await api.PUT("/customers/{id}/users/{userId}", {
      params: user(listed.entityId),
      body: { ...listed, entityId },
    });
    assert.equal(response.status, 400);
    assert.deepEqual(fields(error), ["entityId"]);
  }
});
