// A proxy that checks every request and every answer against the documents that the server serves, by
// express-openapi-validator, as teams put it in front of a server. It forwards what is valid, byte for byte.
import type { AddressInfo } from "node:net";
import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import * as OpenAPIValidator from "express-openapi-validator";
import type { OpenAPIV3 } from "express-openapi-validator/dist/framework/types.js";

/** What the proxy answers in place of the server, when a request or an answer is not what the document says. */
export interface Violation {
  proxy: true;
  status: number;
  message: string;
  errors: unknown[];
}

export interface Proxy {
  url: string;
  /** What it found, requests and answers alike. */
  violations: Violation[];
  /** How many requests it has forwarded. */
  forwarded: () => number;
  close: () => Promise<void>;
}

// Headers of one connection, and those that fetch has already acted on.
const hop = ["connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"];

/** Starts a proxy for one document of the server, on a free port. */
export async function startProxy(server: string, document: string): Promise<Proxy> {
  const apiSpec = (await (await fetch(`${server}/openapi/${document}.json`)).json()) as OpenAPIV3.DocumentV3;
  const violations: Violation[] = [];
  const raw = new WeakMap<object, Buffer>();
  let forwarded = 0;

  const forward: RequestHandler = async (req, res, next) => {
    try {
      forwarded++;
      const headers = new Headers();
      for (const [name, value] of Object.entries(req.headers)) {
        if (value !== undefined && !hop.includes(name)) headers.set(name, String(value));
      }
      const answer = await fetch(server + req.originalUrl, { method: req.method, headers, body: raw.get(req) ?? null });
      const text = await answer.text();
      res.status(answer.status);
      for (const [name, value] of answer.headers) {
        if (!hop.includes(name)) res.setHeader(name, value);
      }
      if (text === "") res.end();
      else res.json(JSON.parse(text)); // the validator checks what goes through json
    } catch (error) {
      next(error);
    }
  };
  const report: ErrorRequestHandler = (error, _req, res, _next) => {
    const violation: Violation = { proxy: true, status: error.status ?? 500, message: String(error.message), errors: error.errors ?? [] };
    violations.push(violation);
    res.status(violation.status).json(violation);
  };

  const app = express();
  app.set("etag", false); // the server's own is passed on
  app.set("x-powered-by", false);
  app.use(express.json({ verify: (req, _res, body) => raw.set(req, body) }));
  // The server answers who has no token; the proxy leaves that to it.
  app.use(OpenAPIValidator.middleware({ apiSpec, validateRequests: true, validateResponses: true, validateSecurity: false }));
  app.use(forward);
  app.use(report);

  const listener = app.listen(0, "127.0.0.1");
  await new Promise((resolve, reject) => listener.once("listening", resolve).once("error", reject));
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    violations,
    forwarded: () => forwarded,
    close: () =>
      new Promise((resolve, reject) => {
        listener.close((error) => (error ? reject(error) : resolve()));
        listener.closeAllConnections();
      }),
  };
}
