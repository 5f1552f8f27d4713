-- One request after the other to users drawn at random, each update another value. BENCH_ variables say which.
local method, path, users = os.getenv("BENCH_METHOD"), os.getenv("BENCH_PATH"), tonumber(os.getenv("BENCH_USERS"))
local body = os.getenv("BENCH_BODY") or ""
local headers = {
  ["Authorization"] = "Bearer " .. (os.getenv("BENCH_TOKEN") or ""),
  ["current-company-id"] = "1",
  ["Content-Type"] = "application/json",
}
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

function init()
  math.randomseed(seed * 7919)
  n = seed * 100000000
end

local function fill(text, user)
  return (text:gsub("{uuid}", string.format("00000000-0000-4000-8000-%012x", user)):gsub("{id}", tostring(user)):gsub("{n}", tostring(n)))
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
