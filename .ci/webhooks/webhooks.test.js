// Verifies deliveries with the JavaScript library of Standard Webhooks.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const { SERVER_FOLDER, SERVER_URL, TOKEN_MANAGER } = process.env;
const user = "/account/api/v1/customers/3393/users/6861";

// dragoman runs a command, and returns what it prints as an object.
function dragoman(...args) {
  const out = execFileSync("./dragoman", args, { cwd: SERVER_FOLDER, encoding: "utf8" });
  return Object.fromEntries(out.split("\n").filter((line) => line.includes("=")).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

async function rename(name) {
  const answer = await fetch(SERVER_URL + user, {
    method: "PUT",
    headers: { Authorization: `Bearer ${TOKEN_MANAGER}`, "Content-Type": "application/json", "current-company-id": "5251" },
    body: JSON.stringify({
      name, surname: "Hopper", username: "gracehopper", email: "grace.hopper@example.com", enabled: true, accountNonExpired: true,
      accountNonLocked: true, credentialNonExpired: true, authorities: [{ name: "ROLE_COMPANY_ADMIN" }],
    }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

test("deliveries are verified, also while secrets are replaced", async (t) => {
  const deliveries = [];
  let arrived = () => {};
  const receiver = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    deliveries.push({ body: Buffer.concat(chunks).toString(), headers: request.headers });
    arrived();
    response.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => receiver.close());
  const next = async () => {
    while (deliveries.length === 0) {
      let timer;
      await new Promise((resolve, reject) => {
        arrived = resolve;
        timer = setTimeout(() => reject(new Error("no delivery for 30 seconds")), 30_000);
      });
      clearTimeout(timer);
    }
    return deliveries.shift();
  };

  const { webhook_id: id, secret } = dragoman("webhook", "add", "--dev", "--webhook-allow-http", "--customer", "3393", "--url", `http://127.0.0.1:${receiver.address().port}/`);
  t.after(() => dragoman("webhook", "remove", "--dev", id));
  const secrets = [secret];
  for (let round = 0; round < 3; round++) {
    await rename(`JavaScript ${round}`);
    const end = Date.now() + 60_000;
    for (let attempt = 0; ; attempt++) {
      assert.ok(Date.now() < end, "no delivery has the signatures of all secrets");
      const { body, headers } = await next();
      const verified = secrets.filter((s) => {
        try {
          const event = new Webhook(s).verify(body, headers);
          assert.equal(event.type, "user.changed");
          assert.equal(headers["webhook-id"], `chg_${event.data.number}`);
          return true;
        } catch (error) {
          assert.ok(error instanceof WebhookVerificationError, error);
          return false;
        }
      });
      assert.ok(verified.length > 0, "a delivery has no signature that is verified");
      assert.throws(() => new Webhook(secrets.at(-1)).verify(body + " ", headers), WebhookVerificationError);
      if (verified.length === secrets.length && headers["webhook-signature"].split(" ").length === secrets.length) break;
      await pause(100); // the server limits the requests of a caller
      await rename(`JavaScript ${round} ${attempt}`); // it was under way during the rotation
    }
    secrets.push(dragoman("webhook", "rotate", "--dev", id).secret);
  }
});
