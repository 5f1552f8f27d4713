// The calls of every dialect through a proxy that checks requests and answers against the served documents.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Proxy, startProxy } from "./proxy.js";
import { createUser, directory, elsewhere, fields, freshEmail, manager, sandbox, testinium, url, worth } from "./server.js";

const proxies: Record<string, Proxy> = {};

function proxy(document: string): Proxy {
  const found = proxies[document];
  assert.ok(found, `there is no proxy for ${document}`);
  return found;
}

before(async () => {
  for (const document of ["worth", "testinium", "directory"]) {
    proxies[document] = await startProxy(url, document);
  }
});
after(() => Promise.all(Object.values(proxies).map((p) => p.close())));

/** Fails if the proxy answered in place of the server while calls ran. */
async function withoutViolation(document: string, calls: () => Promise<void>): Promise<void> {
  const p = proxy(document);
  const [violations, forwarded] = [p.violations.length, p.forwarded()];
  try {
    await calls();
  } finally {
    assert.deepEqual(p.violations.slice(violations), []);
  }
  assert.ok(p.forwarded() > forwarded, "nothing went through the proxy");
}

test("Worth's calls are as its document says", () =>
  withoutViolation("worth", async () => {
    const { uuid } = await createUser();
    const api = worth(manager, proxy("worth").url);
    const params = { path: { customerID: sandbox.uuid, userID: uuid } };
    const customer = { path: { customerID: sandbox.uuid } };

    const created = await api.POST("/customers/{customerID}/users", {
      params: customer,
      body: {
        first_name: "Übung",
        last_name: "Jackson",
        email: `ü${freshEmail()}`,
        subrole: { id: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", code: "risk_analyst", label: "Risk Analyst" },
      },
    });
    assert.equal(created.response.status, 200);
    const read = await api.GET("/customers/{customerID}/users/{userID}", { params });
    assert.equal(read.response.status, 200);
    assert.equal(read.data?.data.company_details.created_by, null); // a null in an answer
    const list = await api.GET("/customers/{customerID}/users", { params: { ...customer, query: { search: "Jackson" } } });
    assert.equal(list.response.status, 200);
    assert.equal(list.data?.data.records[0]?.ext_auth_ref_id, null);
    assert.equal((await api.GET("/customers/{customerID}/subroles", { params: customer })).response.status, 200);

    const tag = read.response.headers.get("ETag");
    assert.ok(tag);
    const unchanged = await api.GET("/customers/{customerID}/users/{userID}", { params: { ...params, header: { "If-None-Match": tag } } });
    assert.equal(unchanged.response.status, 304);
    const update = () =>
      api.PATCH("/customers/{customerID}/users/{userID}", {
        params: { ...params, header: { "If-Match": tag } },
        body: { first_name: "Mary W.", status: "ACTIVE" },
      });
    const patched = await update();
    assert.equal(patched.response.status, 200);
    assert.equal(patched.response.headers.get("ETag"), '"2"');
    assert.equal((await update()).response.status, 412);

    const denied = await worth(elsewhere, proxy("worth").url).GET("/customers/{customerID}/users/{userID}", { params });
    assert.equal(denied.response.status, 403);
    const anonymous = await worth(undefined, proxy("worth").url).GET("/customers/{customerID}/users/{userID}", { params });
    assert.equal(anonymous.response.status, 401);
    const nobody = await api.GET("/customers/{customerID}/users/{userID}", {
      params: { path: { ...params.path, userID: "1cf29daf-e5ce-4ccd-ac7a-9aba8a5b600c" } },
    });
    assert.equal(nobody.response.status, 404);
    // The document does not say which subroles there are; the server does.
    const refused = await api.PATCH("/customers/{customerID}/users/{userID}", { params, body: { subrole: { code: "pilot" } } });
    assert.equal(refused.response.status, 400);
    assert.deepEqual(fields(refused.error?.data), ["subrole.code"]);
  }));

test("Testinium's calls are as its document says", () =>
  withoutViolation("testinium", async () => {
    const { email } = await createUser();
    const api = testinium(manager, proxy("testinium").url);
    const users = { path: { id: sandbox.id }, header: sandbox.company };
    const user = (userId: number) => ({ path: { id: sandbox.id, userId }, header: sandbox.company });

    const list = await api.GET("/customers/{id}/users", { params: users });
    const listed = list.data?.find((u) => u.email === email);
    assert.ok(listed);
    const params = user(listed.entityId);
    const read = await api.GET("/customers/{id}/users/{userId}", { params });
    assert.ok(read.data);
    assert.equal(read.data.password, null);
    const tag = read.response.headers.get("ETag");
    assert.ok(tag);
    const unchanged = await api.GET("/customers/{id}/users/{userId}", {
      params: { ...params, header: { ...sandbox.company, "If-None-Match": tag } },
    });
    assert.equal(unchanged.response.status, 304);

    // Every null that a GET shows goes back in a PUT.
    const body = { ...read.data, name: "Mary W." };
    const update = () =>
      api.PUT("/customers/{id}/users/{userId}", { params: { ...params, header: { ...sandbox.company, "If-Match": tag } }, body });
    const put = await update();
    assert.deepEqual(put.data, body);
    assert.equal(put.response.headers.get("Dragoman-Ignored"), null);
    assert.equal((await update()).response.status, 412);

    const refused = await api.PUT("/customers/{id}/users/{userId}", { params, body: { ...body, authorities: [{ name: "ROLE_PILOT" }] } });
    assert.equal(refused.response.status, 400);
    assert.deepEqual(fields(refused.error), ["authorities.0.name"]);
    assert.equal((await api.GET("/customers/{id}/users/{userId}", { params: user(Number.MAX_SAFE_INTEGER) })).response.status, 404);
    const other = await api.PUT("/customers/{id}/users/{userId}", { params, body: { ...body, entityId: Number.MAX_SAFE_INTEGER } });
    assert.equal(other.response.status, 400);
    const highest = await api.GET("/customers/{id}/users/{userId}", { params: user(2 ** 52) });
    assert.equal(highest.data?.entityId, 2 ** 52);
    const elsewhereToo = await testinium(elsewhere, proxy("testinium").url).GET("/customers/{id}/users", { params: users });
    assert.equal(elsewhereToo.response.status, 403);

    // The vendor's page has the path with a slash at its end.
    const slashed = await fetch(`${proxy("testinium").url}/account/api/v1/customers/${sandbox.id}/users/`, {
      headers: { Authorization: `Bearer ${manager}`, "current-company-id": "5251" },
    });
    assert.equal(slashed.status, 200);
  }));

test("the directory's calls are as its document says", () =>
  withoutViolation("directory", async () => {
    const api = directory(manager, proxy("directory").url);
    const feed = await api.GET("/changes", { params: { query: { limit: 1000 } } });
    assert.equal(feed.response.status, 200);
    const history = await api.GET("/customers/{id}/users/{userId}/history", {
      params: { path: { id: sandbox.id, userId: 2 ** 52 } },
    });
    assert.ok(history.data && history.data.changes.length > 0);
    const nobody = await api.GET("/customers/{id}/users/{userId}/history", {
      params: { path: { id: sandbox.id, userId: Number.MAX_SAFE_INTEGER } },
    });
    assert.equal(nobody.response.status, 404);
    const anonymous = await directory(undefined, proxy("directory").url).GET("/changes", {});
    assert.equal(anonymous.response.status, 401);
  }));

/** Sends what a typed client would not, and returns what the proxy answers. */
async function refused(document: string, method: string, path: string, body: unknown): Promise<number> {
  const p = proxy(document);
  const [violations, forwarded] = [p.violations.length, p.forwarded()];
  const answer = await fetch(p.url + path, {
    method,
    headers: { Authorization: `Bearer ${manager}`, "Content-Type": "application/json", "current-company-id": "5251" },
    body: JSON.stringify(body),
  });
  assert.equal(p.violations.length, violations + 1, `${document} ${method} ${path} was let through: ${answer.status}`);
  assert.equal(p.forwarded(), forwarded);
  return answer.status;
}

test("a wrong type is the proxy's 400", async () => {
  const { uuid, email } = await createUser();
  const path = `/auth/api/v1/customers/${sandbox.uuid}/users/${uuid}`;
  for (const body of [{ first_name: 1 }, { mobile: null }, { email: "mary" }, { status: "GONE" }, { subrole: "cro" }]) {
    assert.equal(await refused("worth", "PATCH", path, body), 400);
  }
  const { data } = await testinium(manager).GET("/customers/{id}/users", { params: { path: { id: sandbox.id }, header: sandbox.company } });
  const listed = data?.find((u) => u.email === email);
  assert.ok(listed);
  const user = `/account/api/v1/customers/${sandbox.id}/users/${listed.entityId}`;
  for (const wrong of [{ name: null }, { enabled: "perhaps" }, { createdDate: {} }, { vcsPassword: [] }, { authorities: [1] }]) {
    assert.equal(await refused("testinium", "PUT", user, { ...listed, ...wrong }), 400);
  }
});

test("an answer that is not as the document says is the proxy's 500", async () => {
  const server = await import("node:http").then(({ createServer }) =>
    createServer(async (req, res) => {
      if (req.url?.startsWith("/openapi/")) {
        res.end(await (await fetch(url + req.url)).text());
        return;
      }
      res.setHeader("Content-Type", "application/json");
      res.end('{"status":"success","message":"Success","data":{}}');
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address && typeof address === "object");
  const p = await startProxy(`http://127.0.0.1:${address.port}`, "worth");
  try {
    const answer = await fetch(`${p.url}/auth/api/v1/customers/${sandbox.uuid}/users/${sandbox.uuid}`);
    assert.equal(answer.status, 500);
    assert.equal(p.violations.length, 1);
  } finally {
    await p.close();
    server.closeAllConnections();
    server.close();
  }
});
