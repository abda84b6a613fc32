-- Each request records a new usage event. Arguments: customers, path, token, and "usage" or "event".
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(arguments)
  math.randomseed(os.time() + id)
  prefix = os.time() .. "-" .. id .. "-" .. math.random(1, 2 ^ 30) .. "-"
  customers = tonumber(arguments[1])
  path = arguments[2]
  kind = arguments[4]
  headers = { ["Authorization"] = "Bearer " .. arguments[3], ["Content-Type"] = "application/json" }
  sent = 0
end

local usage = '{"customer":"customer-%d","quantity":"1.5","occurred_at":"2026-10-15T10:00:00Z","idempotency_key":"%s"}'
local event = '{"specversion":"1.0","id":"%s","source":"bench","type":"calls","subject":"customer-%d",'
  .. '"time":"2026-10-15T10:00:00Z","data":{"value":"1.5"}}'

function request()
  sent = sent + 1
  local key, customer = prefix .. sent, math.random(1, customers)
  local body
  if kind == "event" then
    body = string.format(event, key, customer)
  else
    body = string.format(usage, customer, key)
  end
  return wrk.format("POST", path, headers, body)
end
