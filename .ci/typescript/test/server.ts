// The server under test, and a client for each of its dialects. `run` says by variables where it is and with which tokens
// it may be asked.
import { createHmac } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import type { paths as DirectoryPaths } from "../generated/directory.js";
import type { paths as TestiniumPaths } from "../generated/testinium.js";
import type { paths as WorthPaths } from "../generated/worth.js";

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    throw new Error(`${name} is not set: start the tests by .ci/typescript/run`);
  }
  return value;
}

export const url = variable("SERVER_URL");

/** A token of the sandbox's administrator. */
export const manager = variable("TOKEN_MANAGER");
/** A token that may only read the sandbox. */
export const reader = variable("TOKEN_READER");
/** A token of another customer's administrator. */
export const elsewhere = variable("TOKEN_ELSEWHERE");
/** The administrator's token, as if it had been signed to expire in so many seconds. */
export function expiring(seconds: number): string {
  const [header, payload] = manager.split(".");
  if (header === undefined || payload === undefined) {
    throw new Error("the administrator's token is no JWT");
  }
  const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
  const changed = { ...Object(claims), exp: Math.floor(Date.now() / 1000) + seconds };
  const signed = `${header}.${Buffer.from(JSON.stringify(changed)).toString("base64url")}`;
  return `${signed}.${createHmac("sha256", variable("TOKEN_SECRET")).update(signed).digest("base64url")}`;
}

function authorization(token: string | undefined): { headers?: { Authorization: string } } {
  return token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } };
}

/** Worth's API, for the bearer of a token. */
export function worth(token?: string, base = url): Client<WorthPaths> {
  return createClient<WorthPaths>({ baseUrl: `${base}/auth/api/v1`, ...authorization(token) });
}

/** Testinium's API, for the bearer of a token. */
export function testinium(token?: string, base = url): Client<TestiniumPaths> {
  return createClient<TestiniumPaths>({ baseUrl: `${base}/account/api/v1`, ...authorization(token) });
}

/** The server's own API, for the bearer of a token. */
export function directory(token?: string, base = url): Client<DirectoryPaths> {
  return createClient<DirectoryPaths>({ baseUrl: `${base}/directory/v1`, ...authorization(token) });
}

/** The sandbox that `serve --dev` invents: its customer, by both ids, and one of its companies. */
export const sandbox = {
  uuid: "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1",
  id: 3393,
  company: { "current-company-id": 5251 },
} as const;

/** The members that an error is about, sorted. */
export function fields(error: { errors?: { field: string }[] } | undefined): string[] {
  return (error?.errors ?? []).map(({ field }) => field).sort();
}

let created = 0;

/** An e-mail address that nobody has yet. */
export function freshEmail(): string {
  created++;
  return `typescript.${process.pid}.${created}@example.com`;
}

/** A user whom nobody else changes: their UUID and e-mail. */
export async function createUser(): Promise<{ uuid: string; email: string }> {
  const email = freshEmail();
  const { data, response } = await worth(manager).POST("/customers/{customerID}/users", {
    params: { path: { customerID: sandbox.uuid } },
    body: {
      first_name: "Mary",
      last_name: "Jackson",
      email,
      mobile: "+1 757 555 0100",
      subrole: { id: "6351c76f-76a3-4950-9cc4-cc37cdc05ec2", code: "risk_analyst", label: "Risk Analyst" },
    },
  });
  if (data === undefined) {
    throw new Error(`a user could not be created: ${response.status}`);
  }
  return { uuid: data.data.user_id, email };
}
