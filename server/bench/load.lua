-- One request after the other to users drawn at random, each update another value, in this run and any other: a user who is
-- given what they have is not written. BENCH_ variables say which.
local method, path, users = os.getenv("BENCH_METHOD"), os.getenv("BENCH_PATH"), tonumber(os.getenv("BENCH_USERS"))
local body = os.getenv("BENCH_BODY") or ""
local headers = {
  ["Authorization"] = "Bearer " .. (os.getenv("BENCH_TOKEN") or ""),
  ["current-company-id"] = os.getenv("BENCH_COMPANY") or "1",
  ["Content-Type"] = "application/json",
}
local run = tonumber(os.getenv("BENCH_RUN"))
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

function init()
  math.randomseed((run * 64 + seed) * 7919)
  n = (run * 64 + seed) * 10000000
end

local function fill(text, user)
  return (text:gsub("{uuid}", string.format("00000000-0000-4000-8000-%012x", user)):gsub("{id}", string.format("%d", user)):gsub("{n}", string.format("%.0f", n)))
end

function request()
  n = n + 1
  local user = math.random(users)
  local sent = nil
  if body ~= "" then sent = fill(body, user) end
  return wrk.format(method, fill(path, user), headers, sent)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('BENCH {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
