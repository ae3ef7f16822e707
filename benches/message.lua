-- wrk: sends the requests of a file in turn, and checks status and text of every answer.
--
--   wrk … -s message.lua URL -- REQUESTS TEXT
--
-- REQUESTS holds whole requests, each behind its length (4 bytes, big endian). Prints the same fields as load.c.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  requests, at, text, good, wrong = {}, 0, arguments[2], 0, 0
  for a, b, c, d in function() return (file:read(4) or ""):byte(1, 4) end do
    table.insert(requests, file:read(((a * 256 + b) * 256 + c) * 256 + d))
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status, headers, body)
  if status == 200 and body:find(text, 1, true) then good = good + 1 else wrong = wrong + 1 end
end

function done(summary, latency)
  local good, wrong, errors = 0, 0, summary.errors
  for _, thread in ipairs(threads) do
    good, wrong = good + thread:get("good"), wrong + thread:get("wrong")
  end
  print(string.format("good=%d rps=%.1f p50=%d p99=%d errors=%d", good, good / summary.duration * 1e6,
    latency:percentile(50), latency:percentile(99),
    wrong + errors.connect + errors.read + errors.write + errors.timeout))
end
