import assert from "node:assert/strict";
import { test } from "node:test";
import { createUser, elsewhere, expiring, fields, freshEmail, manager, reader, sandbox, worth } from "./server.js";

const user = (uuid: string) => ({ path: { customerID: sandbox.uuid, userID: uuid } });
const customer = { path: { customerID: sandbox.uuid } };

test("a PATCH changes what it names, and nothing else", async () => {
  const { uuid, email } = await createUser();
  const api = worth(manager);
  const { data, error, response } = await api.PATCH("/customers/{customerID}/users/{userID}", {
    params: user(uuid),
    body: { first_name: "Mary W.", status: "ACTIVE" },
  });
  assert.equal(error, undefined);
  assert.deepEqual(data, { status: "success", message: "User details updated successfully" });
  assert.equal(response.headers.get("Dragoman-Changed"), "first_name, status");

  const { data: read } = await api.GET("/customers/{customerID}/users/{userID}", { params: user(uuid) });
  assert.ok(read);
  assert.equal(read.data.first_name, "Mary W.");
  assert.equal(read.data.last_name, "Jackson");
  assert.equal(read.data.email, email);
  assert.equal(read.data.mobile, "+1 757 555 0100");
  assert.equal(read.data.status, "ACTIVE");
  assert.equal(read.data.subrole?.code, "risk_analyst");
});

test("a PATCH under If-Match is written once", async () => {
  const { uuid } = await createUser();
  const api = worth(manager);
  const { response: read } = await api.GET("/customers/{customerID}/users/{userID}", { params: user(uuid) });
  const version = read.headers.get("ETag");
  assert.equal(version, '"1"');

  const update = (last_name: string) =>
    api.PATCH("/customers/{customerID}/users/{userID}", {
      params: { ...user(uuid), header: { "If-Match": version } },
      body: { last_name },
    });
  const first = await update("Winston");
  assert.equal(first.response.status, 200);
  assert.equal(first.response.headers.get("ETag"), '"2"');
  const second = await update("Jackson");
  assert.equal(second.response.status, 412);
  assert.equal(second.error?.status, "fail");

  const unchanged = await api.GET("/customers/{customerID}/users/{userID}", {
    params: { ...user(uuid), header: { "If-None-Match": '"2"' } },
  });
  assert.equal(unchanged.response.status, 304);
});

test("a PATCH is told all that is wrong with it", async () => {
  const { uuid } = await createUser();
  const { data, error, response } = await worth(manager).PATCH("/customers/{customerID}/users/{userID}", {
    params: user(uuid),
    body: {
      email: "mary",
      subrole: { code: "pilot" },
      // @ts-expect-error the compiler knows which states there are
      status: "GONE",
    },
  });
  assert.equal(data, undefined);
  assert.equal(response.status, 400);
  assert.equal(error?.errorCode, "INVALID");
  assert.equal(error?.data.errorName, "ValidationMiddlewareError");
  assert.deepEqual(fields(error?.data), ["email", "status", "subrole.code"]);
});

test("null is no value of a PATCH, for the compiler and for the server", async () => {
  const { uuid } = await createUser();
  const { error, response } = await worth(manager).PATCH("/customers/{customerID}/users/{userID}", {
    params: user(uuid),
    // @ts-expect-error no property is nullable
    body: { mobile: null },
  });
  assert.equal(response.status, 400);
  assert.deepEqual(fields(error?.data), ["mobile"]);
});

test("a list has pages and filters", async () => {
  const { uuid, email } = await createUser();
  const api = worth(manager);
  const { data } = await api.GET("/customers/{customerID}/users", {
    params: { ...customer, query: { page: 1, itemsPerPage: 5, email, "search_filter[status]": "INVITED" } },
  });
  assert.ok(data);
  assert.equal(data.data.total_items, "1");
  assert.equal(data.data.total_pages, 1);
  const [record] = data.data.records;
  assert.ok(record); // noUncheckedIndexedAccess: it might not be there
  assert.equal(record.id, uuid);
  assert.equal(record.ext_auth_ref_id, null);

  const { error, response } = await api.GET("/customers/{customerID}/users", {
    // @ts-expect-error there is no such filter
    params: { ...customer, query: { emial: email } },
  });
  assert.equal(response.status, 400);
  assert.equal(error?.data.errors[0]?.field, "emial");
});

test("a subrole that the server offers can be given", async () => {
  const { uuid } = await createUser();
  const api = worth(manager);
  const { data: subroles } = await api.GET("/customers/{customerID}/subroles", { params: customer });
  const cro = subroles?.data.find(({ code }) => code === "cro");
  assert.ok(cro);
  const { response } = await api.PATCH("/customers/{customerID}/users/{userID}", {
    params: user(uuid),
    body: { subrole: { id: cro.id } },
  });
  assert.equal(response.status, 200);
  const { data } = await api.GET("/customers/{customerID}/users/{userID}", { params: user(uuid) });
  assert.equal(data?.data.subrole?.display_name, cro.display_name);
});

test("an e-mail that somebody has is refused in the documented words", async () => {
  const { email } = await createUser();
  const { error, response } = await worth(manager).POST("/customers/{customerID}/users", {
    params: customer,
    body: {
      first_name: "Mary",
      last_name: "Golda Ross",
      email: email.toUpperCase(),
      subrole: { id: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", code: "risk_analyst", label: "Risk Analyst" },
    },
  });
  assert.equal(response.status, 400);
  assert.equal(error?.message, "Another customer user exists with the same email.");
  assert.equal(error?.data.errorName, "CustomersApiError");
});

test("who may not, is told so: 401, 403, 404", async () => {
  const { uuid, email } = await createUser();
  const body = { first_name: "Nobody" };
  const update = (token: string | undefined, params: ReturnType<typeof user>) =>
    worth(token).PATCH("/customers/{customerID}/users/{userID}", { params, body });

  for (const token of [undefined, "no.jwt.atall", `${manager}x`, expiring(-3600)]) {
    const { error, response } = await update(token, user(uuid));
    assert.equal(response.status, 401);
    assert.equal(error?.errorCode, "ERR_UNAUTHORIZED");
    assert.match(response.headers.get("WWW-Authenticate") ?? "", /^Bearer/);
  }
  // What the expired token lacked was time.
  const { data: read } = await worth(expiring(3600)).GET("/customers/{customerID}/users/{userID}", { params: user(uuid) });
  assert.equal(read?.data.email, email);
  for (const token of [reader, elsewhere]) {
    const { error, response } = await update(token, user(uuid));
    assert.equal(response.status, 403);
    assert.equal(error?.errorCode, "ERR_FORBIDDEN");
  }
  const { error, response } = await update(manager, user("1cf29daf-e5ce-4ccd-ac7a-9aba8a5b600c"));
  assert.equal(response.status, 404);
  assert.equal(error?.message, "Customer user does not exist");

  const { data } = await worth(reader).GET("/customers/{customerID}/users/{userID}", { params: user(uuid) });
  assert.equal(data?.data.first_name, "Mary", "a refused PATCH changed something");
});

test("the compiler wants what a new user must have", () => {
  // Never called: it is compiled.
  void (() =>
    worth(manager).POST("/customers/{customerID}/users", {
      params: customer,
      // @ts-expect-error a new user has a subrole
      body: { first_name: "Mary", last_name: "Jackson", email: freshEmail() },
    }));
});
