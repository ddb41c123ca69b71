-- One wrk script for every row. It is handed a raw HTTP request whose
-- placeholders have a fixed width, so that building the next request is one
-- concatenation and Content-Length never changes:
--   {mmmmmmmmmmmmmm}  an id that no request had before
--   {pppppp}          a person, uniform
--   {iiii}            an item, uniform
-- Arguments: the file of the request, people, items, a tag of the run.
local threads = 0

function setup(thread)
  thread:set("tid", threads)
  threads = threads + 1
end

local chunks, kinds, people, items, tag, count = {}, {}, 1, 1, "", 0

function init(args)
  local f = assert(io.open(args[1], "rb"))
  local text = f:read("*a")
  f:close()
  people, items, tag = tonumber(args[2]), tonumber(args[3]), args[4]
  math.randomseed(tid * 7919 + 17)
  local at = 1
  for from, kind, to in text:gmatch("(){([mpi])[mpi]+}()") do
    chunks[#chunks + 1] = text:sub(at, from - 1)
    kinds[#kinds + 1] = kind
    at = to
  end
  chunks[#chunks + 1] = text:sub(at)
end

function request()
  count = count + 1
  local m, p, i = nil, nil, nil
  local out = {}
  for n = 1, #kinds do
    out[#out + 1] = chunks[n]
    if kinds[n] == "m" then
      m = m or string.format("%s%02d%010d", tag, tid, count)
      out[#out + 1] = m
    elseif kinds[n] == "p" then
      p = p or string.format("%08d", math.random(0, people - 1))
      out[#out + 1] = p
    else
      i = i or string.format("%06d", math.random(0, items - 1))
      out[#out + 1] = i
    end
  end
  out[#out + 1] = chunks[#chunks]
  return table.concat(out)
end

function done(summary, latency)
  local e = summary.errors
  print(string.format("RESULT requests=%d us=%d p50=%d p99=%d status=%d socket=%d",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
